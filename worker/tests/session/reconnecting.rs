//! A worker whose streams break: with a coordinator that waits for it, that has forgotten it, or that is gone.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Drain, Heartbeat};
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::{Config, ConnectError, Connector, OnCoordinatorLost};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tonic::{Code, Status};

use crate::model::{Yard, config, eventually, gone, lives, soon};
use crate::offers::Stream;
use crate::streams::{Coordinator, NEVER};

const TASKS: u32 = 400;
const BATCH_MAX: u32 = 12;
/// Batches that are handed out and have not ended.
const BATCHES_MAX: usize = 5;

/// A job whose tasks count themselves, and what has been told of it.
struct Counting {
    runs: Arc<Vec<AtomicU32>>,
    next: u32,
    /// First task and number of tasks of each batch that has not ended.
    open: BTreeMap<u64, (u32, u32)>,
    values: Vec<String>,
}

impl Counting {
    fn registry(&self) -> Registry {
        let runs = self.runs.clone();
        Registry::new()
            .function("count", move |task: usize| runs[task].fetch_add(1, Ordering::Relaxed) + task as u32)
    }

    fn next_batch(&mut self, batch_id: u64, count: u32) -> Vec<String> {
        let count = count.min(TASKS - self.next);
        self.open.insert(batch_id, (self.next, count));
        self.next += count;
        (self.next - count..self.next).map(|task| format!("[{task}]")).collect()
    }

    fn take(&mut self, report: Report) {
        let Report::Outcomes(ended) = report else { return };
        let run = ended.run.unwrap();
        let (first, left) = self.open.get_mut(&ended.batch_id).unwrap();
        let values = std::str::from_utf8(&run.values).unwrap();
        let expected: String = (*first..).take(run.lengths.len()).map(|task| task.to_string()).collect();
        assert_eq!(values, expected, "in the order of the tasks, and each for the first time");
        self.values.push(expected);
        (*first, *left) = (*first + run.lengths.len() as u32, *left - run.lengths.len() as u32);
        self.open.retain(|_, (_, left)| *left > 0);
    }

    fn is_over(&self) -> bool {
        self.next == TASKS && self.open.is_empty()
    }
}

/// Breaks the stream in one of the ways that streams break.
async fn break_stream(coordinator: &mut Coordinator, rng: &mut StdRng) {
    let stream = coordinator.stream.take().unwrap();
    match rng.random_range(0..4) {
        0 => drop(stream),
        // It was on its way when the stream broke.
        1 => {
            let Stream { mut reports, messages } = stream;
            let _lost = tokio::time::timeout(Duration::from_millis(3), reports.message()).await;
            drop(messages);
        }
        2 => {
            let _full = stream.messages.send(Err(Status::unavailable("the wire is cut"))).await;
        }
        _ => coordinator.silent.push(stream),
    }
}

async fn job_over_breaking_streams(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let runs = Arc::new((0..TASKS).map(|_| AtomicU32::new(0)).collect());
    let mut job = Counting { runs, next: 0, open: BTreeMap::new(), values: Vec::new() };
    let config = Config::new("torn".to_owned(), NonZeroU32::new(2).unwrap(), job.registry());
    let mut coordinator = Coordinator::start(config, 20).await;
    coordinator.native(1, "count").await;
    let mut batch_id = 0;
    while !job.is_over() {
        let is_lost = rng.random_bool(0.1);
        if is_lost {
            break_stream(&mut coordinator, &mut rng).await;
        }
        if job.next < TASKS && job.open.len() < BATCHES_MAX && rng.random_bool(0.5) {
            batch_id += 1;
            let payloads = job.next_batch(batch_id, rng.random_range(1..=BATCH_MAX));
            let first = u64::from(job.next) - payloads.len() as u64;
            coordinator.batch(batch_id, first, &payloads).await;
        } else if rng.random_bool(0.2) {
            coordinator.say(Kind::Heartbeat(Heartbeat {})).await;
        } else if coordinator.stream.is_some() {
            match coordinator.listen().await {
                Some(report) => job.take(report),
                None => coordinator.stream = None,
            }
        }
        if coordinator.stream.is_none() {
            coordinator.resume().await;
        }
    }
    assert!(job.runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "seed {seed}: each task ran once");
    coordinator.worker.abort();
}

#[tokio::test]
async fn every_task_runs_once_and_every_outcome_arrives_once_wherever_streams_break() {
    for seed in 0..20 {
        job_over_breaking_streams(seed).await;
    }
}

#[tokio::test]
async fn a_worker_that_was_given_up_drops_what_it_had_and_goes_on_as_a_new_one() {
    let yard = Yard::new();
    let mut coordinator = Coordinator::start(config(2), NEVER).await;
    let stuck = coordinator.stuck(&yard).await;
    coordinator.stream = None;
    assert!(coordinator.offered().await.resume.is_some());
    coordinator.attach_anew().await;
    gone(stuck).await;
    coordinator.native(1, "double").await;
    coordinator.batch(9, 0, &["[4]".to_owned()]).await;
    let outcomes = loop {
        match coordinator.listen().await.unwrap() {
            Report::Outcomes(outcomes) => break outcomes,
            Report::Heartbeat(_) | Report::Begun(_) => {}
            other => panic!("a new worker knows nothing of the past, but says {other:?}"),
        }
    };
    assert_eq!((outcomes.batch_id, &outcomes.run.unwrap().values[..]), (9, &b"8"[..]));
    assert!(!yard.has("next"));
    coordinator.worker.abort();
}

fn soon_lost(on_coordinator_lost: OnCoordinatorLost) -> Config {
    Config { reconnect_timeout: Duration::from_millis(300), on_coordinator_lost, ..config(1) }
}

#[tokio::test]
async fn a_worker_whose_coordinator_is_lost_stops_what_runs() {
    let yard = Yard::new();
    let mut coordinator = Coordinator::start(soon_lost(OnCoordinatorLost::Stop), NEVER).await;
    let stuck = coordinator.stuck(&yard).await;
    coordinator.way.close();
    coordinator.stream = None;
    let error = coordinator.end().await.unwrap_err().to_string();
    assert!(error.contains("is taken for lost"), "{error}");
    assert!(!lives(stuck));
}

#[tokio::test]
async fn a_worker_whose_coordinator_is_lost_may_finish_what_runs() {
    let yard = Yard::new();
    let mut coordinator = Coordinator::start(soon_lost(OnCoordinatorLost::Finish), NEVER).await;
    let stuck = coordinator.stuck(&yard).await;
    let last = yard.task("mark", "last");
    coordinator.batch(2, 2, &[last]).await;
    coordinator.way.close();
    let stream = coordinator.stream.take();
    // It has taken notice once it says nothing any more.
    let mut reports = stream.unwrap().reports;
    while soon(reports.message()).await.is_ok_and(|message| message.is_some()) {}
    tokio::time::timeout(Duration::from_millis(600), &mut coordinator.worker).await.unwrap_err();
    assert!(lives(stuck));
    yard.release().await;
    coordinator.end().await.unwrap_err();
    assert_eq!((lives(stuck), yard.has("next"), yard.has("last")), (false, false, false));
}

#[tokio::test]
async fn a_coordinator_that_is_not_there_yet_is_waited_for() {
    let (way, mut streams) = Coordinator::refusing(None);
    way.close();
    let attempts = Arc::new(AtomicU32::new(0));
    let (counted, open) = (attempts.clone(), way.clone());
    let connector = Connector::new(move || {
        if counted.fetch_add(1, Ordering::Relaxed) == 2 {
            open.is_closed.store(false, Ordering::Relaxed);
        }
        let way = open.clone();
        async move {
            if way.is_closed.load(Ordering::Relaxed) {
                return Err(ConnectError::Unreachable("the way is closed".to_owned()));
            }
            Ok(way.transport)
        }
    });
    let worker = tokio::spawn(poolmap_worker::run(config(1), connector, std::future::pending()));
    soon(streams.recv()).await.unwrap();
    eventually(|| (attempts.load(Ordering::Relaxed) >= 3).then_some(())).await;
    worker.abort();
}

/// What a worker says that could not attach.
async fn failure(config: Config, connector: Connector) -> String {
    soon(poolmap_worker::run(config, connector, std::future::pending())).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_coordinator_that_never_comes_is_not_waited_for_any_longer() {
    let (way, _streams) = Coordinator::refusing(None);
    way.close();
    for connect_timeout in [Duration::ZERO, Duration::from_millis(200)] {
        let told = failure(Config { connect_timeout, ..config(1) }, way.connector()).await;
        assert!(told.contains("could not be reached") && told.ends_with("the way is closed"), "{told}");
    }
}

#[tokio::test]
async fn a_worker_that_is_refused_does_not_try_again() {
    for code in [Code::FailedPrecondition, Code::PermissionDenied, Code::Unauthenticated] {
        let (way, _streams) = Coordinator::refusing(Some(code));
        let told = failure(config(1), way.connector()).await;
        assert_eq!(told, "the coordinator ended the session: not you");
    }
    let refused =
        || std::future::ready(Err(ConnectError::Refused("that certificate has expired".to_owned())));
    assert_eq!(failure(config(1), Connector::new(refused)).await, "that certificate has expired");
}

#[tokio::test]
async fn a_worker_leaves_with_its_coordinator_when_that_says_so() {
    let yard = Yard::new();
    let mut coordinator = Coordinator::start(config(1), NEVER).await;
    let stuck = coordinator.stuck(&yard).await;
    coordinator.say(Kind::Drain(Drain {})).await;
    coordinator.stream = None;
    coordinator.end().await.unwrap();
    assert!(!lives(stuck));
}
