//! Workers that break the protocol, vanish, fall silent, cannot run a job, or whose children die.

use std::time::Duration;

use poolmap_coordinator::Config;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{
    BatchOutcomes, Begun, Crashed, Detail, Failure, FailureKind, Heartbeat, JobRejected, JobSpec, OutcomeRun,
};
use tonic::Code;

use crate::model::{Cluster, Way, Worker, payloads, run, soon, spec};

fn failure(offset: u32) -> Failure {
    Failure { offset, kind: FailureKind::Exception.into(), ..Failure::default() }
}

/// Runs of two outcomes, each wrong in a way of its own.
fn malformed_runs() -> Vec<OutcomeRun> {
    let two = run(&["x", "y"]);
    vec![
        OutcomeRun { lengths: vec![1, 2], ..two.clone() },
        OutcomeRun { lengths: vec![], ..two.clone() },
        OutcomeRun { lengths: vec![u32::MAX, u32::MAX], ..two.clone() },
        OutcomeRun { failures: vec![failure(1), failure(0)], ..two.clone() },
        OutcomeRun { failures: vec![failure(1), failure(1)], ..two.clone() },
        OutcomeRun { failures: vec![failure(2)], ..two.clone() },
        OutcomeRun { failures: vec![failure(u32::MAX)], ..two.clone() },
        OutcomeRun { details: vec![Detail::default()], ..two },
    ]
}

#[tokio::test]
async fn a_worker_that_reports_nonsense_is_thrown_out_and_its_tasks_run_elsewhere() {
    for nonsense in malformed_runs() {
        let cluster = Cluster::start(Config::default());
        let mut liar = cluster.worker("liar", 1).await;
        let mut job = cluster.job_of(&["a", "b"]).await;
        let batch = liar.batch().await;
        let (batch_id, run) = (batch.batch_id, Some(nonsense.clone()));
        liar.say(Report::Outcomes(BatchOutcomes { batch_id, run, busy_ns: 0 })).await;
        let status = liar.end().await.unwrap();
        assert_eq!(status.code(), Code::InvalidArgument, "{nonsense:?}");
        assert!(status.message().contains("run of") || status.message().contains("lengths"), "{status}");
        soon(liar.reports.closed()).await;
        let mut honest = cluster.worker("honest", 1).await;
        honest.echo_until_job_ends().await;
        assert_eq!(job.finish().await.values(), ["a", "b"]);
    }
}

#[tokio::test]
async fn nobody_listens_any_more_to_a_worker_that_was_thrown_out() {
    for way in [Way::InProcess, Way::UnixSocket] {
        let cluster = Cluster::reached_by(way, Config::default());
        let mut liar = cluster.worker("liar", 1).await;
        let run = malformed_runs().pop();
        liar.say(Report::Outcomes(BatchOutcomes { batch_id: 1, run, busy_ns: 0 })).await;
        assert!(liar.end().await.is_some());
        soon(liar.reports.closed()).await;
    }
}

#[tokio::test]
async fn the_tasks_of_a_worker_that_vanishes_run_elsewhere() {
    for way in [Way::InProcess, Way::UnixSocket] {
        let cluster = Cluster::reached_by(way, Config::default());
        let mut doomed = cluster.worker("doomed", 1).await;
        let mut job = cluster.job_of(&["a", "b", "c", "d"]).await;
        let batch = doomed.batch().await;
        doomed.say(Report::Begun(Begun { batch_id: batch.batch_id })).await;
        drop(doomed);
        let mut other = cluster.worker("other", 1).await;
        other.echo_until_job_ends().await;
        assert_eq!(job.finish().await.values(), ["a", "b", "c", "d"]);
    }
}

#[tokio::test]
async fn a_silent_worker_is_lost_and_one_that_gives_signs_of_life_is_not() {
    let config = Config { worker_timeout: Duration::from_millis(150), ..Config::default() };
    let cluster = Cluster::start(config);
    let (mut silent, mut alive) = (cluster.worker("silent", 1).await, cluster.worker("alive", 1).await);
    let interval = Duration::from_millis(alive.welcome.heartbeat_interval_ms.into());
    let heart = alive.reports.clone();
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(interval);
        let sign =
            || poolmap_proto::v1::WorkerMessage { received: 0, kind: Some(Report::Heartbeat(Heartbeat {})) };
        while heart.send(sign()).await.is_ok() {
            beat.tick().await;
        }
    });
    let mut job = cluster.job_of(&["a", "b"]).await;
    silent.batch().await;
    let kept = alive.batch().await;
    assert_eq!(silent.end().await.map(|status| status.code()), None);
    soon(silent.reports.closed()).await;
    alive.echo(&kept).await;
    alive.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a", "b"]);
}

fn crashed(batch_id: u64, offset: u32, message: &str) -> Report {
    let cause = Failure {
        offset: 17,
        kind: FailureKind::Crashed.into(),
        r#type: "SIGSEGV".to_owned(),
        message: message.to_owned(),
        ..Failure::default()
    };
    Report::Crashed(Crashed { batch_id, offset, cause: Some(cause) })
}

/// Answers batches until the job ends, but its child dies of every task `bad`; returns the attempts at that task.
async fn die_of(worker: &mut Worker, bad: &str) -> Vec<u32> {
    let mut attempts = Vec::new();
    loop {
        match worker.next().await {
            Kind::Batch(batch) => {
                let payloads = payloads(&batch);
                let Some(place) = payloads.iter().position(|payload| payload == bad) else {
                    worker.echo(&batch).await;
                    continue;
                };
                attempts.push(batch.attempt);
                if place > 0 {
                    worker.report(batch.batch_id, &payloads[..place]).await;
                }
                let message = format!("death {}", batch.attempt);
                worker.say(crashed(batch.batch_id, u32::try_from(place).unwrap(), &message)).await;
            }
            Kind::JobEnded(_) => return attempts,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_task_that_kills_its_child_each_time_fails_alone_with_the_last_cause() {
    for (limit, attempts) in [(0, vec![1, 2, 3]), (1, vec![1]), (5, vec![1, 2, 3, 4, 5])] {
        let cluster = Cluster::start(Config::default());
        let mut worker = cluster.worker("one", 1).await;
        let mut job = cluster.submit(JobSpec { crash_limit: limit, details: true, ..spec() }).await;
        job.add(&["a", "b", "bad", "c", "d", "e"]).await;
        job.close().await;
        assert_eq!(die_of(&mut worker, "bad").await, attempts);
        let finished = job.finish().await;
        assert_eq!((finished.end.tasks, finished.end.failed), (6, 1));
        let cause = format!("FAILURE_KIND_CRASHED: death {}", attempts.len());
        assert_eq!(finished.outcomes[&2], Err(cause));
        assert_eq!(finished.outcomes.values().filter(|outcome| outcome.is_ok()).count(), 5);
    }
}

#[tokio::test]
async fn the_failure_of_a_task_that_killed_its_children_names_the_task_only() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("one", 1).await;
    let mut job = cluster.submit(JobSpec { crash_limit: 1, details: true, ..spec() }).await;
    job.add(&["bad"]).await;
    job.close().await;
    die_of(&mut worker, "bad").await;
    let run = job.outcomes_at(0).await.unwrap().runs.remove(0);
    assert_eq!((run.first_index, &run.lengths[..], run.worker.as_str()), (0, &[0][..], "one"));
    assert_eq!((run.failures[0].offset, run.failures[0].r#type.as_str()), (0, "SIGSEGV"));
    assert_eq!(run.details[0].attempt, 1);
}

#[tokio::test]
async fn a_task_whose_workers_vanish_each_time_fails_as_lost() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.job_of(&["a"]).await;
    for attempt in 1..=3 {
        let mut doomed = cluster.worker("doomed", 1).await;
        let batch = doomed.batch().await;
        assert_eq!(batch.attempt, attempt);
        doomed.say(Report::Begun(Begun { batch_id: batch.batch_id })).await;
        doomed.hang_up().await;
    }
    let finished = job.finish().await;
    let outcome = finished.outcomes[&0].as_ref().unwrap_err();
    assert!(outcome.starts_with("FAILURE_KIND_LOST: "), "{outcome}");
}

#[tokio::test]
async fn a_worker_that_was_lost_before_a_task_began_is_not_held_against_the_task() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.job_of(&["a"]).await;
    for _ in 0..5 {
        let mut doomed = cluster.worker("doomed", 1).await;
        assert_eq!(doomed.batch().await.attempt, 1);
    }
    cluster.worker("last", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

fn rejected(job_id: u64) -> Report {
    Report::JobRejected(JobRejected { job_id, error: "no such function".to_owned() })
}

#[tokio::test]
async fn a_job_that_cannot_run_ends_with_the_reason() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("one", 1).await;
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b", "c"]).await;
    worker.batch().await;
    worker.say(rejected(job.id)).await;
    while !matches!(worker.next().await, Kind::JobEnded(_)) {}
    let refused = job.request(Some(crate::model::chunk(3, &["d"])), false).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let finished = job.finish().await;
    assert_eq!(finished.end.error, "one: no such function");
    assert!(finished.outcomes.is_empty());
}

#[tokio::test]
async fn a_job_that_has_ended_well_cannot_be_rejected_any_more() {
    let cluster = Cluster::start(Config::default());
    let (mut worker, other) = (cluster.worker("one", 1).await, cluster.worker("other", 1).await);
    let mut job = cluster.job_of(&["a"]).await;
    worker.echo_until_job_ends().await;
    other.say(rejected(job.id)).await;
    other.say(rejected(4711)).await;
    crate::model::eventually(async || other.reports.capacity() == other.reports.max_capacity()).await;
    let finished = job.finish().await;
    assert_eq!((finished.end.error.as_str(), finished.values()), ("", vec!["a"]));
}
