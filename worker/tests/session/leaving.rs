//! Workers that leave in an orderly way: what runs is finished, what has not begun is given back, and no task is lost or blamed.

use std::time::Duration;

use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::{Backend, Batch, ChildOptions, Drain, TaskChunk};
use poolmap_worker::Config;

use crate::model::{Session, Yard, config, gone};

/// Who wants the worker to leave.
#[derive(Clone, Copy, Debug)]
enum By {
    Coordinator,
    Operator,
}

/// A worker with one slot, in which one task runs; another of its batch and a second batch wait.
async fn busy(yard: &Yard, config: Config) -> (Session, [u64; 2]) {
    let mut session = Session::with(config).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let runs = session.batch(1, &["[1]", &yard.task("block", "here"), &yard.task("mark", "next")]).await;
    let waits = session.batch(1, &[yard.task("mark", "last")]).await;
    session.outcomes(runs, 1).await;
    yard.blocked("here").await;
    (session, [runs, waits])
}

#[tokio::test]
async fn a_worker_that_is_drained_finishes_what_runs_and_gives_back_the_rest() {
    for by in [By::Coordinator, By::Operator] {
        let yard = Yard::new();
        let patient = Config { drain_timeout: Duration::from_secs(3600), ..config(1) };
        let (mut session, [runs, waits]) = busy(&yard, patient).await;
        match by {
            By::Coordinator => session.say(Kind::Drain(Drain {})).await,
            By::Operator => session.tell_to_stop(),
        }
        session.until(waits, |told| told.returned == Some(0)).await;
        session.until(runs, |told| told.returned == Some(2)).await;
        assert!(session.is_draining, "{by:?}");
        let late = session.batch(1, &[yard.task("mark", "late")]).await;
        session.until(late, |told| told.returned == Some(0)).await;
        yard.release().await;
        let told = session.left().await;
        assert_eq!(told[&runs].values(), ["1", "\"here\""]);
        assert!(["next", "last", "late"].iter().all(|name| !yard.has(name)));
    }
}

#[tokio::test]
async fn what_does_not_end_in_time_is_stopped_and_not_blamed() {
    let limited = Config { time_limit: Some(Duration::from_secs(4)), ..config(1) };
    for (config, is_told) in [(config(1), true), (limited, false)] {
        let yard = Yard::new();
        let (mut session, [runs, waits]) = busy(&yard, config).await;
        let stuck = yard.blocked("here").await;
        if is_told {
            session.tell_to_stop();
        }
        let told = session.left().await;
        assert_eq!((told[&runs].values(), told[&runs].returned), (vec!["1"], Some(1)));
        assert_eq!((&told[&runs].crashed, told[&waits].returned), (&None, Some(0)));
        gone(stuck).await;
    }
}

#[tokio::test]
async fn a_worker_with_nothing_to_do_leaves_after_a_while() {
    let yard = Yard::new();
    let mut session =
        Session::with(Config { idle_timeout: Some(Duration::from_millis(300)), ..config(1) }).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let batch = session.batch(1, &[yard.task("block", "here")]).await;
    yard.blocked("here").await;
    let before = session.heartbeats;
    while session.heartbeats < before + 30 {
        session.listen().await;
    }
    assert!(!session.is_draining, "it runs a task");
    yard.release().await;
    let told = session.left().await;
    assert_eq!(told[&batch].values(), ["\"here\""]);
}

/// What a worker says of a batch.
async fn answer_to(lengths: Vec<u32>, payloads: &'static [u8], job_id: u64) -> String {
    let session = Session::start(1).await;
    session.native(1, "double").await;
    let tasks = Some(TaskChunk { first_index: 0, lengths, payloads: payloads.into() });
    session.say(Kind::Batch(Batch { batch_id: 7, job_id, attempt: 1, tasks })).await;
    session.fails().await
}

#[tokio::test]
async fn a_batch_that_makes_no_sense_ends_the_session() {
    let told = answer_to(vec![], b"", 1).await;
    assert!(told.ends_with("batch 7 has no tasks"), "{told}");
    let told = answer_to(vec![3, 4], b"[1][2]", 1).await;
    assert!(told.ends_with("the payloads of batch 7 have 6 bytes, their lengths add up to 7"), "{told}");
    let told = answer_to(vec![u32::MAX, u32::MAX], b"[1]", 1).await;
    assert!(told.contains("made no sense"), "{told}");
    let told = answer_to(vec![3], b"[1]", 2).await;
    assert!(told.ends_with("batch 7 is of job 2, which was never announced"), "{told}");
}

#[tokio::test]
async fn batches_of_a_job_that_was_rejected_are_no_offence() {
    let mut session = Session::start(1).await;
    // No thread can be stopped when a task takes too long.
    let child = ChildOptions { backend: Backend::Thread.into(), timeout_ms: 1, ..ChildOptions::default() };
    session.python(1, "echo", child).await;
    session.batch(1, &["[1]"]).await;
    session.rejection(1).await;
    session.batch(1, &["[2]"]).await;
    session.native(2, "double").await;
    session.rejected.clear();
    assert_eq!(session.run(2, &["[3]"]).await, ["6"]);
    session.hang_up().await;
}
