//! Workers whose streams break: those that come back in time go on, all others are lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use poolmap_coordinator::Config;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{
    Batch, BatchOutcomes, Begun, Draining, Heartbeat, Hello, JobSpec, Resumption, Returned, WorkerMessage,
};
use tonic::Code;

use crate::model::{Cluster, Job, Way, Worker, eventually, hello, run, spec};

/// Far longer than a test takes.
const FOREVER: Duration = Duration::from_secs(3600);

fn config(reconnect_grace: Duration) -> Config {
    Config { reconnect_grace, ..Config::default() }
}

/// What a worker says that goes on with its attachment.
fn back(worker: &Worker) -> Hello {
    let received = worker.received.load(Ordering::Relaxed);
    let (worker_id, token) = (worker.welcome.worker_id, worker.welcome.token.clone());
    Hello { resume: Some(Resumption { worker_id, token, received }), ..hello("back", 1) }
}

/// A worker that has begun the first batch of a job, and that job.
async fn busy(cluster: &Cluster, tasks: &[&str]) -> (Worker, Job, Batch) {
    let mut worker = cluster.worker("roamer", 1).await;
    let job = cluster.job_of(tasks).await;
    let batch = worker.batch().await;
    worker.say(Report::Begun(Begun { batch_id: batch.batch_id })).await;
    (worker, job, batch)
}

#[tokio::test]
async fn a_worker_that_comes_back_in_time_goes_on_where_it_was() {
    let cluster = Cluster::over_a_wire(config(FOREVER));
    let (worker, mut job, batch) = busy(&cluster, &["a", "b", "c", "d"]).await;
    cluster.cut();
    let mut again = cluster.attach(back(&worker)).await.unwrap();
    assert!(again.welcome.resumed && again.welcome.worker_id == worker.welcome.worker_id);
    if again.welcome.received == 0 {
        // It was cut off before that had arrived.
        again.say(Report::Begun(Begun { batch_id: batch.batch_id })).await;
    }
    again.echo(&batch).await;
    again.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn what_was_said_while_a_worker_was_away_is_said_when_it_is_back_and_in_order() {
    let cluster = Cluster::over_a_wire(config(FOREVER));
    let worker = cluster.worker("roamer", 2).await;
    cluster.cut();
    let mut job = cluster.job_of(&["a", "b", "c"]).await;
    let (first, second) = (back(&worker), back(&worker));
    let mut again = cluster.attach(first).await.unwrap();
    let batch = again.batch().await;
    // It is gone again before it has confirmed anything.
    cluster.cut();
    let mut again = cluster.attach(second).await.unwrap();
    assert!(matches!(again.next().await, Kind::JobStarted(_)));
    assert_eq!(again.batch().await, batch);
    again.echo(&batch).await;
    again.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_worker_may_move_to_a_new_stream_before_the_old_one_has_broken() {
    let cluster = Cluster::over_a_wire(config(FOREVER));
    let (mut worker, mut job, batch) = busy(&cluster, &["a"]).await;
    let mut again = cluster.attach(back(&worker)).await.unwrap();
    assert_eq!(worker.end().await.map(|status| status.code()), None, "the old stream ends");
    again.echo(&batch).await;
    again.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn what_comes_late_on_an_old_stream_is_not_heard() {
    let cluster = Cluster::over_a_wire(config(FOREVER));
    let (worker, mut job, batch) = busy(&cluster, &["a"]).await;
    let mut again = cluster.attach(back(&worker)).await.unwrap();
    let ended = BatchOutcomes { batch_id: batch.batch_id, run: Some(run(&["wrong"])), busy_ns: 1 };
    // It may know already that its stream has ended.
    let _gone = worker.reports.send(worker.message_of(Report::Outcomes(ended))).await;
    again.echo(&batch).await;
    again.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn a_worker_that_does_not_come_back_is_lost_and_its_tasks_run_elsewhere() {
    let cluster = Cluster::over_a_wire(config(Duration::from_millis(50)));
    let (worker, mut job, _batch) = busy(&cluster, &["a", "b"]).await;
    cluster.cut();
    let mut other = cluster.worker("other", 1).await;
    other.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a", "b"]);
    let late = cluster.attach(back(&worker)).await.unwrap();
    assert!(!late.welcome.resumed, "it is too late");
    assert_ne!(late.welcome.worker_id, worker.welcome.worker_id);
    assert_ne!(late.welcome.token, worker.welcome.token);
}

#[tokio::test]
async fn nobody_goes_on_with_what_is_not_theirs_or_with_what_they_have_forgotten() {
    let cluster = Cluster::over_a_wire(config(FOREVER));
    let (mut worker, mut job, batch) = busy(&cluster, &["a"]).await;
    for _ in 0..15 {
        worker.say(Report::Heartbeat(Heartbeat {})).await;
    }
    // From here on the coordinator has forgotten what it sent before.
    assert_eq!(worker.confirmation().await, 16);
    let theirs = back(&worker).resume.unwrap();
    let mut token = theirs.token.to_vec();
    token[15] ^= 1;
    for resume in [
        Resumption { token: token.into(), ..theirs.clone() },
        Resumption { token: Vec::new().into(), ..theirs.clone() },
        Resumption { worker_id: theirs.worker_id + 1, ..theirs.clone() },
        Resumption { received: theirs.received + 1, ..theirs.clone() },
        Resumption { received: 0, ..theirs },
    ] {
        let other = cluster.attach(Hello { resume: Some(resume), ..hello("thief", 1) }).await.unwrap();
        assert!(!other.welcome.resumed);
    }
    worker.echo(&batch).await;
    worker.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn without_a_grace_a_worker_whose_stream_breaks_is_lost_at_once() {
    let cluster = Cluster::over_a_wire(config(Duration::ZERO));
    let (worker, mut job, _batch) = busy(&cluster, &["a"]).await;
    assert!(worker.welcome.token.is_empty());
    cluster.cut();
    let mut again = cluster.attach(back(&worker)).await.unwrap();
    assert!(!again.welcome.resumed);
    again.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn a_worker_that_ends_its_stream_is_not_waited_for() {
    let cluster = Cluster::reached_by(Way::UnixSocket, config(FOREVER));
    let (worker, mut job, _batch) = busy(&cluster, &["a"]).await;
    worker.hang_up().await;
    cluster.worker("other", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn a_worker_that_was_about_to_leave_is_not_blamed_when_it_is_gone() {
    let cluster = Cluster::start(config(FOREVER));
    let mut job = cluster.submit(JobSpec { crash_limit: 1, ..spec() }).await;
    job.add(&["a"]).await;
    job.close().await;
    let mut leaver = cluster.worker("leaver", 1).await;
    let batch = leaver.batch().await;
    leaver.say(Report::Begun(Begun { batch_id: batch.batch_id })).await;
    leaver.say(Report::Draining(Draining {})).await;
    leaver.say(Report::Returned(Returned { batch_id: batch.batch_id, length: 1 })).await;
    leaver.hang_up().await;
    cluster.worker("other", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn a_worker_that_confirms_what_was_never_said_is_thrown_out() {
    let cluster = Cluster::start(Config::default());
    let mut liar = cluster.worker("liar", 1).await;
    liar.received.store(1000, Ordering::Relaxed);
    liar.say(Report::Heartbeat(Heartbeat {})).await;
    let status = liar.end().await.unwrap();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("1000 messages are said to have arrived"), "{status}");
}

#[tokio::test]
async fn a_worker_that_confirms_nothing_is_given_up_before_much_is_kept_for_it() {
    let cluster = Cluster::start(Config { worker_timeout: Duration::from_millis(30), ..Config::default() });
    let deaf = cluster.worker("deaf", 1).await;
    // It lives, but takes no notice of signs of life.
    let reports = deaf.reports.clone();
    eventually(async || {
        let sign = WorkerMessage { received: 0, kind: Some(Report::Heartbeat(Heartbeat {})) };
        reports.send(sign).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn reports_are_confirmed_before_they_are_many() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("one", 1).await;
    for _ in 0..16 {
        worker.say(Report::Heartbeat(Heartbeat {})).await;
    }
    assert_eq!(worker.confirmation().await, 16);
}

#[tokio::test]
async fn a_worker_timeout_of_nothing_at_all_is_no_defect() {
    let cluster = Cluster::start(Config { worker_timeout: Duration::ZERO, ..Config::default() });
    let mut worker = cluster.worker("short-lived", 1).await;
    assert!(worker.end().await.is_none());
}
