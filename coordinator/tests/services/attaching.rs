//! How workers come, and who is turned away.

use std::time::Duration;

use poolmap_coordinator::{Config, SLOTS_MAX};
use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Heartbeat, Hello, StatusRequest, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::model::{Cluster, Way, hello, soon};

async fn refusal(hello: Hello) -> Status {
    let cluster = Cluster::start(Config::default());
    cluster.attach(hello).await.err().unwrap()
}

/// How a stream ends whose worker says only this and then stays.
async fn answer_to(first: &[Report], config: Config) -> Status {
    let cluster = Cluster::start(config);
    let (reports, outgoing) = mpsc::channel(4);
    for report in first {
        reports.send(WorkerMessage { received: 0, kind: Some(report.clone()) }).await.unwrap();
    }
    soon(cluster.workers().await.attach(ReceiverStream::new(outgoing))).await.unwrap_err()
}

#[tokio::test]
async fn a_worker_is_told_its_number_and_how_often_to_give_a_sign_of_life() {
    for way in [Way::InProcess, Way::UnixSocket] {
        let config = Config { worker_timeout: Duration::from_secs(3), ..Config::default() };
        let cluster = Cluster::reached_by(way, config);
        let (first, second) = (cluster.worker("a", 1).await, cluster.worker("a", SLOTS_MAX).await);
        assert_ne!(first.welcome.worker_id, second.welcome.worker_id);
        assert_eq!(first.welcome.heartbeat_interval_ms, 1000);
    }
}

#[tokio::test]
async fn a_worker_with_another_protocol_is_told_both_versions() {
    let status = refusal(Hello { protocol: PROTOCOL_VERSION + 6, ..hello("old", 1) }).await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    let text = status.message();
    let (theirs, ours) =
        (format!("protocol {}", PROTOCOL_VERSION + 6), format!("protocol {PROTOCOL_VERSION}"));
    assert!(text.contains("old") && text.contains(&theirs) && text.contains(&ours), "{text}");
}

#[tokio::test]
async fn a_worker_without_slots_is_refused() {
    let status = refusal(hello("empty", 0)).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("worker empty offers 0 slots"), "{status}");
}

#[tokio::test]
async fn a_worker_with_absurdly_many_slots_is_refused() {
    for slots in [SLOTS_MAX + 1, 4_000_000_000, u32::MAX] {
        let status = refusal(hello("vast", slots)).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        let text = status.message();
        assert!(text.contains(&slots.to_string()) && text.contains(&SLOTS_MAX.to_string()), "{text}");
    }
}

#[tokio::test]
async fn a_worker_must_introduce_itself_first() {
    let status = answer_to(&[Report::Heartbeat(Heartbeat {})], Config::default()).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("hello"), "{status}");
}

#[tokio::test]
async fn a_worker_that_says_nothing_is_not_waited_for() {
    let config = Config { hello_timeout: Duration::from_millis(20), ..Config::default() };
    let cluster = Cluster::start(config);
    let (silent, outgoing) = mpsc::channel::<WorkerMessage>(1);
    let status = soon(cluster.workers().await.attach(ReceiverStream::new(outgoing))).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("hello"), "{status}");
    drop(silent);
}

#[tokio::test]
async fn a_second_hello_changes_nothing() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("twice", 1).await;
    worker.say(Report::Hello(hello("twice", 9))).await;
    let mut job = cluster.job_of(&["a"]).await;
    worker.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn a_stopped_coordinator_ends_all_streams_and_answers_nobody() {
    for way in [Way::InProcess, Way::UnixSocket] {
        let cluster = Cluster::reached_by(way, Config::default());
        let mut worker = cluster.worker("a", 1).await;
        let mut job = cluster.job_of(&["a"]).await;
        let mut outcomes = job.read_from(0).await;
        cluster.coordinator.stop().await;
        assert!(
            worker.end().await.is_none(),
            "a stream that ends with the coordinator ends without a status"
        );
        assert!(soon(outcomes.message()).await.is_err());
        let status = soon(job.jobs.status(StatusRequest { job_id: job.id, wait: false })).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(cluster.attach(hello("late", 1)).await.err().unwrap().code(), Code::Unavailable);
    }
}
