//! A worker whose streams break: with a coordinator that waits for it, that has forgotten it, or that is gone.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use poolmap_proto::transport::Transport;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::function::Kind as FunctionKind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::workers_server::{Workers, WorkersServer};
use poolmap_proto::v1::{
    Backend, Batch, ChildOptions, CoordinatorMessage, Function, Heartbeat, Hello, JobStarted, NativeFunction,
    TaskChunk, Welcome, WorkerMessage,
};
use poolmap_proto::window::{Receipts, Window};
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::{Config, ConnectError, Connector, OnCoordinatorLost, WorkerError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::model::{Yard, config, eventually, gone, lives, python_job, soon};

/// An interval of heartbeats none of which is ever missed.
const NEVER: u32 = 3_600_000;

/// Both directions of one stream, as the coordinator has them.
struct Stream {
    reports: Streaming<WorkerMessage>,
    messages: mpsc::Sender<Result<CoordinatorMessage, Status>>,
}

/// A coordinator that passes on the streams it is offered, or refuses them.
struct Model {
    streams: mpsc::Sender<Stream>,
    refusal: Option<Code>,
}

#[tonic::async_trait]
impl Workers for Model {
    type AttachStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if let Some(code) = self.refusal {
            return Err(Status::new(code, "not you"));
        }
        let (messages, outgoing) = mpsc::channel(1024);
        let _over = self.streams.send(Stream { reports: request.into_inner(), messages }).await;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// A way to the coordinator that can be closed.
#[derive(Clone)]
struct Way {
    transport: Transport,
    is_closed: Arc<AtomicBool>,
}

impl Way {
    fn connector(&self) -> Connector {
        let way = self.clone();
        Connector::new(move || {
            let is_closed = way.is_closed.load(Ordering::Relaxed);
            let unreachable = || ConnectError::Unreachable("the way is closed".to_owned());
            std::future::ready(if is_closed { Err(unreachable()) } else { Ok(way.transport.clone()) })
        })
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

/// A worker, and its coordinator's end of the attachment.
struct Coordinator {
    way: Way,
    streams: mpsc::Receiver<Stream>,
    stream: Option<Stream>,
    /// The worker has opened it while the one before was still there.
    newer: Option<Stream>,
    /// Streams that say nothing any more, and are still open.
    silent: Vec<Stream>,
    heartbeat_interval_ms: u32,
    worker_id: u64,
    sent: Window<CoordinatorMessage>,
    arrived: Receipts,
    worker: JoinHandle<Result<(), WorkerError>>,
}

impl Coordinator {
    fn refusing(refusal: Option<Code>) -> (Way, mpsc::Receiver<Stream>) {
        let (streams, offered) = mpsc::channel(16);
        let model = WorkersServer::new(Model { streams, refusal });
        let transport = Transport::in_process(model);
        (Way { transport, is_closed: Arc::default() }, offered)
    }

    /// Starts a worker and welcomes it.
    async fn start(config: Config, heartbeat_interval_ms: u32) -> Self {
        let (way, streams) = Self::refusing(None);
        let worker = tokio::spawn(poolmap_worker::run(config, way.connector(), std::future::pending()));
        let mut new = Self {
            way,
            streams,
            stream: None,
            newer: None,
            silent: Vec::new(),
            heartbeat_interval_ms,
            worker_id: 0,
            sent: Window::default(),
            arrived: Receipts::default(),
            worker,
        };
        assert_eq!(new.offered().await.resume, None);
        new.attach_anew().await;
        new
    }

    /// Takes the next stream; returns its hello.
    async fn offered(&mut self) -> Hello {
        let mut stream = match self.newer.take() {
            Some(newer) => newer,
            None => soon(self.streams.recv()).await.unwrap(),
        };
        let first = soon(stream.reports.message()).await.unwrap().unwrap();
        let Some(Report::Hello(hello)) = first.kind else {
            panic!("a worker says hello first, not {first:?}")
        };
        self.stream = Some(stream);
        hello
    }

    async fn welcome(&self, welcome: Welcome) {
        let welcome = Welcome {
            worker_id: self.worker_id,
            token: vec![7; 16].into(),
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            ..welcome
        };
        self.put(CoordinatorMessage { received: 0, kind: Some(Kind::Welcome(welcome)) }).await;
    }

    /// Welcomes the worker as a new one.
    async fn attach_anew(&mut self) {
        self.worker_id += 1;
        (self.sent, self.arrived) = (Window::default(), Receipts::default());
        self.welcome(Welcome::default()).await;
    }

    /// Takes the next stream and goes on with the attachment.
    async fn resume(&mut self) {
        let resume = self.offered().await.resume.unwrap();
        assert_eq!((resume.worker_id, &resume.token[..]), (self.worker_id, &[7; 16][..]));
        self.sent.confirm(resume.received).unwrap();
        let received = self.arrived.tell();
        self.welcome(Welcome { resumed: true, received, ..Welcome::default() }).await;
        for number in resume.received + 1..=self.sent.sent() {
            self.put(self.sent.get(number).unwrap().clone()).await;
        }
    }

    async fn put(&self, message: CoordinatorMessage) {
        if let Some(stream) = &self.stream {
            // It may have been given up by the worker just now.
            let _broken = stream.messages.send(Ok(message)).await;
        }
    }

    async fn say(&mut self, kind: Kind) {
        let message = CoordinatorMessage { received: self.arrived.tell(), kind: Some(kind) };
        self.sent.push(message.clone());
        self.put(message).await;
    }

    /// The next report, or `None` if the stream has ended or there is a newer one.
    async fn listen(&mut self) -> Option<Report> {
        let reports = &mut self.stream.as_mut()?.reports;
        let message = soon(async {
            tokio::select! {
                message = reports.message() => message.ok().flatten(),
                newer = self.streams.recv() => {
                    self.newer = newer;
                    None
                }
            }
        });
        let message = message.await?;
        self.arrived.count(0);
        if message.received > 0 {
            self.sent.confirm(message.received).unwrap();
        }
        message.kind
    }

    async fn native(&mut self, job_id: u64, name: &str) {
        let native = NativeFunction { name: name.to_owned() };
        let function = Some(Function { kind: Some(FunctionKind::Native(native)) });
        let child = Some(ChildOptions { backend: Backend::Thread.into(), ..ChildOptions::default() });
        self.say(Kind::JobStarted(JobStarted { job_id, function, child, ..JobStarted::default() })).await;
    }

    async fn batch(&mut self, batch_id: u64, first_index: u64, payloads: &[String]) {
        let lengths = payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect();
        let tasks = Some(TaskChunk { first_index, lengths, payloads: payloads.concat().into() });
        self.say(Kind::Batch(Batch { batch_id, job_id: 1, attempt: 1, tasks })).await;
    }

    /// A child that is stuck in a task.
    async fn stuck(&mut self, yard: &Yard) -> nix::unistd::Pid {
        self.say(Kind::JobStarted(python_job(1, "echo"))).await;
        self.batch(1, 0, &[yard.task("block", "stuck"), yard.task("mark", "next")]).await;
        yard.blocked("stuck").await
    }

    /// How the worker ends.
    async fn end(self) -> Result<(), WorkerError> {
        soon(self.worker).await.unwrap()
    }
}

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
