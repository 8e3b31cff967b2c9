//! Work that is asked back: from where it waits, and from a runner that is stuck in a task.

use poolmap_proto::v1::ChildOptions;

use crate::model::{Session, Yard, gone};

#[tokio::test]
async fn tasks_behind_one_that_is_stuck_are_returned_and_never_run() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let tasks =
        [yard.task("block", "stuck"), yard.task("mark", "b"), yard.task("mark", "c"), yard.task("mark", "d")];
    let batch = session.batch(1, &tasks).await;
    yard.blocked("stuck").await;
    session.take_back(batch, 2).await;
    assert_eq!(session.until(batch, |told| told.returned.is_some()).await.returned, Some(2));
    assert!(session.told(batch).outcomes.is_empty(), "the first task still runs");
    yard.release().await;
    assert_eq!(session.outcomes(batch, 2).await.values(), ["\"stuck\"", "\"b\""]);
    assert_eq!(session.run(1, &["[1]"]).await, ["1"], "the fence is gone for the next batch");
    assert_eq!((yard.has("b"), yard.has("c"), yard.has("d")), (true, false, false));
    session.hang_up().await;
}

#[tokio::test]
async fn the_task_that_runs_is_never_returned() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let batch = session.batch(1, &["[0]", &yard.task("block", "stuck"), &yard.task("mark", "b")]).await;
    yard.blocked("stuck").await;
    session.take_back(batch, u32::MAX).await;
    assert_eq!(session.until(batch, |told| told.returned.is_some()).await.returned, Some(2));
    session.take_back(batch, 2).await;
    session.told.get_mut(&batch).unwrap().returned = None;
    assert_eq!(session.until(batch, |told| told.returned.is_some()).await.returned, Some(2));
    yard.release().await;
    assert_eq!(session.outcomes(batch, 2).await.values(), ["0", "\"stuck\""]);
    session.hang_up().await;
    assert!(!yard.has("b"));
}

#[tokio::test]
async fn a_batch_that_waits_for_a_slot_is_returned_whole() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let running = session.batch(1, &[yard.task("block", "stuck")]).await;
    let waiting = session.batch(1, &[yard.task("mark", "a"), yard.task("mark", "b")]).await;
    yard.blocked("stuck").await;
    session.take_back(waiting, 1).await;
    assert_eq!(session.until(waiting, |told| told.returned.is_some()).await.returned, Some(1));
    session.take_back(waiting, 7).await;
    assert_eq!(session.until(waiting, |told| told.returned == Some(0)).await.outcomes.len(), 0);
    yard.release().await;
    session.outcomes(running, 1).await;
    assert_eq!(session.run(1, &["[1]"]).await, ["1"]);
    assert_eq!((yard.has("a"), yard.has("b")), (false, false));
    session.hang_up().await;
}

#[tokio::test]
async fn tasks_are_returned_while_their_child_still_starts() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let batch = session.batch(1, &[yard.task("mark", "a"), yard.task("mark", "b")]).await;
    session.take_back(batch, 2).await;
    assert_eq!(session.until(batch, |told| told.returned.is_some()).await.returned, Some(0));
    assert_eq!(session.run(1, &["[1]"]).await, ["1"]);
    assert_eq!((yard.has("a"), yard.has("b")), (false, false));
    session.hang_up().await;
}

#[tokio::test]
async fn a_batch_that_is_over_has_nothing_to_return() {
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    session.run(1, &["[1]"]).await;
    session.take_back(1, 1).await;
    session.take_back(99, 1).await;
    assert_eq!(session.run(1, &["[2]"]).await, ["2"]);
    assert_eq!((session.told(1).returned, session.told.contains_key(&99)), (None, false));
    session.hang_up().await;
}

#[tokio::test]
async fn what_was_returned_stays_returned_when_the_child_dies_after_that() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let batch = session.batch(1, &["[0]", &yard.task("block", "stuck"), &yard.task("mark", "b")]).await;
    let child = yard.blocked("stuck").await;
    session.take_back(batch, 1).await;
    session.until(batch, |told| told.returned == Some(2)).await;
    nix::sys::signal::kill(child, nix::sys::signal::SIGKILL).unwrap();
    assert_eq!(session.crash(batch).await.0, 1);
    gone(child).await;
    assert_eq!(session.run(1, &["[1]"]).await, ["1"]);
    assert!(!yard.has("b"));
    session.hang_up().await;
}

#[tokio::test]
async fn taking_back_again_and_again_from_a_busy_runner_loses_and_doubles_nothing() {
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let payloads: Vec<String> = (0..200).map(|number| format!("[{number}]")).collect();
    for round in 0..60 {
        let batch = session.batch(1, &payloads).await;
        for _ in 0..=round % 4 {
            session.take_back(batch, 30).await;
        }
        session.until(batch, |told| told.outcomes.len() as u32 == told.returned.unwrap_or(200)).await;
        let told = session.told(batch);
        let ran = told.outcomes.len();
        assert!(ran >= 80, "{ran} tasks were left of 200 after four times 30 at most");
        assert_eq!(told.values(), (0..ran).map(|number| number.to_string()).collect::<Vec<_>>());
    }
    session.hang_up().await;
}
