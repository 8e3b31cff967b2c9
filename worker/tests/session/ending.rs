//! How a job and a session end: whatever still runs is ended, and no process is left.

use nix::unistd::Pid;
use poolmap_proto::v1::ChildOptions;

use crate::model::{Session, Yard, gone, lives};

#[tokio::test]
async fn the_end_of_a_job_kills_what_still_runs_of_it_and_nothing_else() {
    let yard = Yard::new();
    let mut session = Session::start(2).await;
    session.python(1, "echo", ChildOptions::default()).await;
    session.python(2, "echo", ChildOptions::default()).await;
    session.batch(1, &[yard.task("block", "doomed"), yard.task("mark", "after")]).await;
    let kept = session.batch(2, &[yard.task("block", "kept")]).await;
    session.batch(1, &[yard.task("mark", "waiting")]).await;
    let (doomed, other) = (yard.blocked("doomed").await, yard.blocked("kept").await);
    session.end_job(1).await;
    gone(doomed).await;
    assert!(lives(other));
    yard.release().await;
    session.outcomes(kept, 1).await;
    assert_eq!(session.run(2, &["[1]", "[2]"]).await, ["1", "2"], "both slots are free again");
    assert_eq!((yard.has("after"), yard.has("waiting")), (false, false));
    session.hang_up().await;
}

#[tokio::test]
async fn the_end_of_a_job_kills_the_command_that_runs() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.command(1, &["sh", "-c", "echo $$ > $0.new; mv $0.new $0; exec sleep 1000", "{}"]).await;
    let path = yard.file("pid");
    session.batch(1, &[format!("{path}\0")]).await;
    let command = yard.blocked("pid").await;
    session.end_job(1).await;
    gone(command).await;
    session.native(2, "double").await;
    assert_eq!(session.run(2, &["[1]"]).await, ["2"]);
    session.hang_up().await;
}

#[tokio::test]
async fn the_children_of_a_job_leave_when_it_ends() {
    for preload in [vec![], vec!["colorsys".to_owned()]] {
        let mut session = Session::start(1).await;
        session.python(1, "pid", ChildOptions { preload, ..ChildOptions::default() }).await;
        let child = Pid::from_raw(session.run(1, &["[]"]).await[0].parse().unwrap());
        assert!(lives(child));
        session.end_job(1).await;
        gone(child).await;
        session.hang_up().await;
    }
}

/// A child that is busy and one that is idle.
async fn children_of(session: &mut Session, options: ChildOptions, yard: &Yard) -> [Pid; 2] {
    session.python(1, "echo", options).await;
    session.batch(1, &[yard.task("block", "stuck")]).await;
    let stuck = yard.blocked("stuck").await;
    let idle = session.run(1, &[r#"{"function": "pid"}"#]).await.remove(0);
    [stuck, Pid::from_raw(idle.parse().unwrap())]
}

#[tokio::test]
async fn no_process_is_left_when_the_coordinator_hangs_up_or_the_worker_is_told_to_stop() {
    for preload in [vec![], vec!["colorsys".to_owned()]] {
        for hangs_up in [true, false] {
            let yard = Yard::new();
            let mut session = Session::start(2).await;
            let options = ChildOptions { preload: preload.clone(), ..ChildOptions::default() };
            let children = children_of(&mut session, options, &yard).await;
            if hangs_up {
                session.hang_up().await;
            } else {
                session.stop().await;
            }
            assert_eq!(children.map(lives), [false, false], "nothing is left once the worker has ended");
        }
    }
}

#[tokio::test]
async fn a_session_that_is_refused_tells_why() {
    let session = Session::start(1).await;
    let told = session.refused_with("go away").await;
    assert!(told.contains("the coordinator ended the session: go away"), "{told}");
}

#[tokio::test]
async fn a_worker_gives_signs_of_life_while_its_slots_are_busy() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    session.batch(1, &[yard.task("block", "stuck")]).await;
    yard.blocked("stuck").await;
    let before = session.heartbeats;
    while session.heartbeats < before + 3 {
        session.listen().await;
    }
    session.hang_up().await;
}
