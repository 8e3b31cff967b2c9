//! A coordinator and workers whose links break, fall silent, and are restored: every task has one outcome, and none runs twice
//! unless its worker had to be given up.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected shall fail there"
)]

#[path = "../../../coordinator/tests/services/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use poolmap_client::{
    Backend, ChildOptions, Client, Function, Job, JobSpec, NativeFunction, Transport, function,
};
use poolmap_coordinator::{Config, Coordinator};
use poolmap_proto::transport;
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::{ConnectError, Connector, WorkerError};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;

use crate::wire::Wire;

/// Far more than anything here takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until the answer is yes.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let holds = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, holds).await.is_ok(), "{what}");
}

/// A coordinator that workers reach over wires.
struct Cluster {
    coordinator: Coordinator,
    folder: TempDir,
}

impl Cluster {
    fn start(config: Config) -> Self {
        let coordinator = Coordinator::start(config);
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let server = transport::server().add_service(coordinator.workers());
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { coordinator, folder }
    }

    fn wire(&self) -> Wire {
        Wire::to(self.folder.path().join("socket"))
    }

    /// Submits tasks that count how often they run.
    async fn job_of(&self, tasks: usize) -> Job {
        let client = Client::new(Transport::in_process(self.coordinator.jobs()));
        let native = NativeFunction { name: "count".to_owned() };
        let spec = JobSpec {
            function: Some(Function { kind: Some(function::Kind::Native(native)) }),
            child: Some(ChildOptions { backend: Backend::Thread.into(), ..ChildOptions::default() }),
            ..JobSpec::default()
        };
        let job = client.submit(spec).await.unwrap();
        let mut sender = job.add_tasks();
        sender.send((0..tasks).map(|task| format!("[{task}]")).collect()).await.unwrap();
        sender.finish().await.unwrap();
        job
    }
}

type Worker = JoinHandle<Result<(), WorkerError>>;

/// How often each task has run, and what it does besides.
#[derive(Clone)]
struct Counts {
    runs: Arc<Vec<AtomicU32>>,
    started: Arc<AtomicUsize>,
}

impl Counts {
    fn new(tasks: usize) -> Self {
        Self { runs: Arc::new((0..tasks).map(|_| AtomicU32::new(0)).collect()), started: Arc::default() }
    }

    /// Tasks that have begun.
    fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    fn registry(&self) -> Registry {
        let counts = self.clone();
        Registry::new().function("count", move |task: usize| {
            counts.runs[task].fetch_add(1, Ordering::Relaxed);
            counts.started.fetch_add(1, Ordering::Relaxed);
            // A few of them make a batch.
            std::thread::sleep(Duration::from_millis(2));
            task
        })
    }

    /// A worker with two slots at the end of a wire.
    fn worker(&self, wire: &Wire) -> Worker {
        let path = wire.path();
        let connector = Connector::new(move || {
            let path = path.clone();
            async move {
                Transport::unix(&path).await.map_err(|error| ConnectError::Unreachable(error.to_string()))
            }
        });
        let slots = NonZeroU32::new(2).unwrap();
        let config = poolmap_worker::Config::new("far".to_owned(), slots, self.registry());
        tokio::spawn(poolmap_worker::run(config, connector, std::future::pending()))
    }

    fn assert_each_ran_once(&self) {
        assert!(self.runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "each task ran once");
    }
}

/// Ends a worker, which must not have ended by itself.
async fn stop(worker: Worker) {
    worker.abort();
    let ended = worker.await;
    assert!(ended.is_err(), "{ended:?}");
}

/// Reads a job to its end; each task must have its own value, once.
async fn assert_whole(job: &Job, tasks: usize) {
    let mut outcomes = job.outcomes();
    let mut values = BTreeMap::new();
    while let Some(run) = tokio::time::timeout(PATIENCE, outcomes.next()).await.unwrap().unwrap() {
        assert!(run.failures.is_empty(), "{:?}", run.failures);
        let mut rest = &run.values[..];
        for (index, length) in (run.first_index..).zip(&run.lengths) {
            let value = rest.split_off(..*length as usize).unwrap();
            let value = std::str::from_utf8(value).unwrap().to_owned();
            assert_eq!(values.insert(index, value), None, "one outcome for task {index}");
        }
    }
    let expected = (0..tasks as u64).map(|task| (task, task.to_string()));
    assert!(values.into_iter().eq(expected));
}

#[tokio::test]
async fn a_link_that_breaks_again_and_again_costs_no_task() {
    let cluster = Cluster::start(Config { reconnect_grace: PATIENCE, ..Config::default() });
    let (wire, counts) = (cluster.wire(), Counts::new(2000));
    let worker = counts.worker(&wire);
    let job = cluster.job_of(2000).await;
    for cut in 1..=15 {
        eventually("tasks begin", || worker.is_finished() || counts.started() > cut * 100).await;
        wire.cut();
    }
    assert_whole(&job, 2000).await;
    counts.assert_each_ran_once();
    stop(worker).await;
}

#[tokio::test]
async fn a_link_that_falls_silent_for_less_than_the_worker_time_out_costs_no_task() {
    let cluster = Cluster::start(Config { worker_timeout: PATIENCE / 15, ..Config::default() });
    let (wire, counts) = (cluster.wire(), Counts::new(1000));
    let worker = counts.worker(&wire);
    let job = cluster.job_of(1000).await;
    eventually("tasks begin", || counts.started() > 100).await;
    wire.silence(true);
    // The worker has missed two signs of life, and tries another connection.
    eventually("it dials in again", || wire.connections() > 1).await;
    wire.silence(false);
    assert_whole(&job, 1000).await;
    counts.assert_each_ran_once();
    stop(worker).await;
}

#[tokio::test]
async fn a_link_that_falls_silent_for_longer_costs_no_outcome_and_the_worker_comes_back() {
    let cluster = Cluster::start(Config { worker_timeout: Duration::from_millis(300), ..Config::default() });
    let (wire, other_wire, counts) = (cluster.wire(), cluster.wire(), Counts::new(1000));
    let worker = counts.worker(&wire);
    let job = cluster.job_of(1000).await;
    eventually("tasks begin", || counts.started() > 100).await;
    wire.silence(true);
    let other = counts.worker(&other_wire);
    assert_whole(&job, 1000).await;
    other_wire.silence(true);
    wire.silence(false);
    let again = cluster.job_of(50).await;
    assert_whole(&again, 50).await;
    stop(worker).await;
    stop(other).await;
}
