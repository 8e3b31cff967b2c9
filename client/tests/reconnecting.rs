//! A client whose connection is lost again and again: everything goes on where it was.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected shall fail there")]

mod work;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use poolmap_client::{Client, ClientError, JobSpec, Transport};
use poolmap_coordinator::{Config, Coordinator};
use poolmap_proto::transport;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio_stream::wrappers::UnixListenerStream;

use crate::work::{attach_worker, numbers, soon, spec};

/// A coordinator, and a wire to it that can be cut.
struct Scene {
    coordinator: Coordinator,
    client: Client,
    cut: Arc<Notify>,
    folder: TempDir,
}

impl Scene {
    async fn start(config: Config) -> Self {
        let coordinator = Coordinator::start(config);
        let folder = tempfile::tempdir().unwrap();
        let (near, far) = (folder.path().join("near"), folder.path().join("far"));
        let services = transport::server().add_service(coordinator.jobs()).add_service(coordinator.cluster());
        let listener = UnixListener::bind(&far).unwrap();
        tokio::spawn(services.serve_with_incoming(UnixListenerStream::new(listener)));
        let cut = Arc::new(Notify::new());
        tokio::spawn(wire(UnixListener::bind(&near).unwrap(), far, cut.clone()));
        let client = Client::new(Transport::unix(&near).await.unwrap());
        Self { coordinator, client, cut, folder }
    }
}

/// Carries bytes between a socket and another, each connection until the next cut.
async fn wire(listener: UnixListener, far: PathBuf, cut: Arc<Notify>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (far, cut) = (far.clone(), cut.clone());
        tokio::spawn(async move {
            let mut far = UnixStream::connect(far).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                () = cut.notified() => {}
            }
        });
    }
}

#[tokio::test]
async fn every_task_is_added_once_and_every_outcome_read_once_however_often_the_connection_is_lost() {
    const TASKS: u64 = 100_000;
    let scene =
        Scene::start(Config { queued_bytes_max: 200_000, unread_bytes_max: 200_000, ..Config::default() })
            .await;
    attach_worker(&scene.coordinator);
    let job = scene.client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    let sender = tokio::spawn(async move {
        for first in (0..TASKS).step_by(500) {
            tasks.send(numbers(first..first + 500)).await.unwrap();
        }
        tasks.finish().await.unwrap()
    });
    let mut outcomes = job.outcomes();
    let (mut seen, mut cuts) = (BTreeSet::new(), 0);
    while let Some(run) = soon(outcomes.next()).await.unwrap() {
        for index in run.first_index..run.first_index + run.lengths.len() as u64 {
            assert!(seen.insert(index), "outcome {index} came twice");
        }
        if seen.len() as u64 > (cuts + 1) * TASKS / 8 {
            cuts += 1;
            scene.cut.notify_waiters();
        }
    }
    assert_eq!(
        (soon(sender).await.unwrap(), seen.len() as u64, outcomes.end().unwrap().tasks),
        (TASKS, TASKS, TASKS)
    );
    assert!(cuts >= 7, "{cuts} cuts");
}

#[tokio::test]
async fn questions_are_asked_again() {
    let scene = Scene::start(Config::default()).await;
    let job = scene.client.submit(spec("double")).await.unwrap();
    job.add_tasks().finish().await.unwrap();
    for _ in 0..5 {
        scene.cut.notify_waiters();
        assert_eq!(soon(job.wait()).await.unwrap().job_id, job.id());
        assert_eq!(soon(scene.client.list()).await.unwrap().len(), 1);
        assert!(soon(scene.client.workers()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_job_that_another_client_reads_is_found_by_its_number() {
    let scene = Scene::start(Config::default()).await;
    attach_worker(&scene.coordinator);
    let job = scene.client.submit(JobSpec { detached: true, ..spec("double") }).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..100)).await.unwrap();
    tasks.finish().await.unwrap();
    let other = Client::new(Transport::unix(&scene.folder.path().join("near")).await.unwrap()).job(job.id());
    assert_eq!(soon(other.wait()).await.unwrap().done, 100);
    for cursor in [0, 60, 100] {
        let (mut outcomes, mut count) = (other.outcomes_from(cursor), 0);
        while let Some(run) = soon(outcomes.next()).await.unwrap() {
            count += run.lengths.len() as u64;
        }
        assert_eq!((count, outcomes.cursor(), outcomes.end().unwrap().tasks), (100 - cursor, 100, 100));
    }
}

#[tokio::test]
async fn a_job_can_be_paused_and_go_on() {
    let scene = Scene::start(Config::default()).await;
    let job = scene.client.submit(spec("double")).await.unwrap();
    job.pause().await.unwrap();
    attach_worker(&scene.coordinator);
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..3)).await.unwrap();
    tasks.finish().await.unwrap();
    let status = job.status().await.unwrap();
    assert_eq!((status.paused, status.waits_for.as_str()), (true, "it is paused"));
    job.resume().await.unwrap();
    let mut outcomes = job.outcomes();
    while soon(outcomes.next()).await.unwrap().is_some() {}
    let error = job.pause().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::NotFound(text) if text.contains("all its outcomes were read")),
        "{error}"
    );
}

#[tokio::test]
async fn a_worker_that_is_not_there_cannot_be_drained() {
    let scene = Scene::start(Config::default()).await;
    let error = scene.client.drain_worker("nobody").await.unwrap_err();
    assert_eq!(error.to_string(), "no worker nobody is attached; none is attached at all");
}
