//! Children that are replaced between tasks: after their share, or when they have grown.

use std::collections::{BTreeMap, BTreeSet};

use poolmap_proto::v1::ChildOptions;

use crate::model::{Session, lives};
use nix::unistd::Pid;

fn shares(values: &[String]) -> BTreeMap<i64, Vec<u64>> {
    let mut shares: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for value in values {
        let (pid, call): (i64, u64) = serde_json::from_str(value).unwrap();
        shares.entry(pid).or_default().push(call);
    }
    shares
}

#[tokio::test]
async fn each_child_runs_exactly_its_share_over_the_borders_of_batches() {
    for preload in [vec![], vec!["colorsys".to_owned()]] {
        let mut session = Session::start(1).await;
        let options = ChildOptions { max_tasks_per_child: 4, preload, ..ChildOptions::default() };
        session.python(1, "count", options).await;
        let mut values = Vec::new();
        for batch in [3, 1, 2, 9, 4, 1] {
            values.extend(session.run(1, &vec!["[]"; batch]).await);
        }
        let shares = shares(&values);
        assert!(shares.values().all(|calls| *calls == [1, 2, 3, 4]), "{shares:?}");
        assert_eq!(shares.len(), 5);
        session.hang_up().await;
    }
}

#[tokio::test]
async fn two_slots_recycle_independently() {
    let mut session = Session::start(2).await;
    session.python(1, "count", ChildOptions { max_tasks_per_child: 5, ..ChildOptions::default() }).await;
    let batches = [session.batch(1, &["[]"; 10]).await, session.batch(1, &["[]"; 10]).await];
    let mut values = Vec::new();
    for batch in batches {
        values.extend(session.outcomes(batch, 10).await.values().into_iter().map(str::to_owned));
    }
    let shares = shares(&values);
    assert!(shares.len() == 4 && shares.values().all(|calls| *calls == [1, 2, 3, 4, 5]), "{shares:?}");
    session.hang_up().await;
}

#[tokio::test]
async fn a_child_that_has_grown_too_large_leaves_after_its_task() {
    let mut session = Session::start(1).await;
    session
        .python(1, "grow", ChildOptions { max_child_rss_bytes: 50 << 20, ..ChildOptions::default() })
        .await;
    let large = "[60000000]";
    let first = session.run(1, &["[1]"]).await.remove(0);
    assert_eq!(session.run(1, &["[1]", large]).await, [first.as_str(), first.as_str()]);
    let second = session.run(1, &["[1]"]).await.remove(0);
    assert_ne!(second, first);
    assert!(lives(Pid::from_raw(second.parse().unwrap())));
    session.hang_up().await;
}

#[tokio::test]
async fn a_child_that_grows_in_the_middle_of_a_batch_leaves_the_rest_to_its_successor() {
    let mut session = Session::start(1).await;
    session
        .python(1, "grow", ChildOptions { max_child_rss_bytes: 50 << 20, ..ChildOptions::default() })
        .await;
    let mut tasks = vec!["[1]", "[60000000]"];
    tasks.extend(["[60000000]"; 8]);
    let values = session.run(1, &tasks).await;
    let mut children = values.clone();
    children.dedup();
    assert!(children.len() > 1, "such a task takes far longer than looking at the child");
    assert_eq!(values[0], values[1], "a child leaves after it has grown, not before");
    assert_eq!(children.iter().collect::<BTreeSet<_>>().len(), children.len(), "no child comes back");
    session.hang_up().await;
}
