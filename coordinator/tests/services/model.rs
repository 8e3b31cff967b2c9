//! A coordinator to test, a client that checks what it gets, and a worker that says what it is told to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use poolmap_coordinator::{Config, Coordinator};
use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::transport::{self, GrpcService, Transport};
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::function::Kind as FunctionKind;
use poolmap_proto::v1::jobs_client::JobsClient;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::workers_client::WorkersClient;
use poolmap_proto::v1::{
    AddTasksRequest, Batch, BatchOutcomes, CoordinatorMessage, Function, Hello, JobEnd, JobSpec, JobStatus,
    NativeFunction, OutcomeRun, OutcomesRequest, OutcomesResponse, StatusRequest, SubmitRequest, TaskChunk,
    Welcome, WorkerMessage,
};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Status, Streaming};

use crate::wire::Wire;

/// Far more than anything here takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// How clients and workers reach the coordinator.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    InProcess,
    UnixSocket,
}

/// A running coordinator.
pub(crate) struct Cluster {
    pub(crate) coordinator: Coordinator,
    socket: Option<TempDir>,
    /// What lies before the socket, for those that use it.
    wire: Option<Wire>,
}

impl Cluster {
    pub(crate) fn start(config: Config) -> Self {
        Self { coordinator: Coordinator::start(config), socket: None, wire: None }
    }

    pub(crate) fn reached_by(way: Way, config: Config) -> Self {
        let mut cluster = Self::start(config);
        if matches!(way, Way::UnixSocket) {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
            let services = transport::server()
                .add_service(cluster.coordinator.jobs())
                .add_service(cluster.coordinator.workers());
            tokio::spawn(services.serve_with_incoming(UnixListenerStream::new(listener)));
            cluster.socket = Some(folder);
        }
        cluster
    }

    /// A coordinator at the other end of a wire that can be cut.
    pub(crate) fn over_a_wire(config: Config) -> Self {
        let mut cluster = Self::reached_by(Way::UnixSocket, config);
        cluster.wire = cluster.path().map(Wire::to);
        cluster
    }

    /// Breaks all connections over the wire.
    pub(crate) fn cut(&self) {
        self.wire.as_ref().unwrap().cut();
    }

    fn path(&self) -> Option<PathBuf> {
        self.socket.as_ref().map(|folder| folder.path().join("socket"))
    }

    pub(crate) async fn jobs(&self) -> JobsClient<GrpcService> {
        JobsClient::new(match self.path() {
            Some(path) => Transport::unix(&path).await.unwrap().into_service(),
            None => Transport::in_process(self.coordinator.jobs()).into_service(),
        })
    }

    pub(crate) async fn workers(&self) -> WorkersClient<GrpcService> {
        let wire = self.wire.as_ref().map(Wire::path);
        WorkersClient::new(match wire.or_else(|| self.path()) {
            Some(path) => Transport::unix(&path).await.unwrap().into_service(),
            None => Transport::in_process(self.coordinator.workers()).into_service(),
        })
    }

    /// Submits a job.
    pub(crate) async fn submit(&self, spec: JobSpec) -> Job {
        let mut jobs = self.jobs().await;
        let request = SubmitRequest { spec: Some(spec) };
        let id = soon(jobs.submit(request)).await.unwrap().into_inner().job_id;
        Job { id, jobs, next_index: 0 }
    }

    /// Submits a job whose tasks have these payloads.
    pub(crate) async fn job_of(&self, payloads: &[&str]) -> Job {
        let mut job = self.submit(spec()).await;
        job.add(payloads).await;
        job.close().await;
        job
    }

    pub(crate) async fn worker(&self, name: &str, slots: u32) -> Worker {
        self.attach(hello(name, slots)).await.unwrap()
    }

    pub(crate) async fn attach(&self, hello: Hello) -> Result<Worker, Status> {
        let (reports, outgoing) = mpsc::channel(64);
        let before = hello.resume.as_ref().map_or(0, |resume| resume.received);
        reports.send(WorkerMessage { received: 0, kind: Some(Report::Hello(hello)) }).await.unwrap();
        let mut messages =
            soon(self.workers().await.attach(ReceiverStream::new(outgoing))).await?.into_inner();
        match soon(messages.message()).await?.and_then(|message: CoordinatorMessage| message.kind) {
            Some(Kind::Welcome(welcome)) => {
                let received = AtomicU64::new(if welcome.resumed { before } else { 0 });
                Ok(Worker { reports, messages, welcome, received })
            }
            other => panic!("a worker was not welcomed but got {other:?}"),
        }
    }
}

pub(crate) fn hello(name: &str, slots: u32) -> Hello {
    let (version, name) = ("0.0.0".to_owned(), name.to_owned());
    Hello { protocol: PROTOCOL_VERSION, version, name, slots, process_id: 1, ..Hello::default() }
}

pub(crate) fn spec() -> JobSpec {
    let native = NativeFunction { name: "any".to_owned() };
    JobSpec { function: Some(Function { kind: Some(FunctionKind::Native(native)) }), ..JobSpec::default() }
}

pub(crate) fn chunk<P: AsRef<str>>(first_index: u64, payloads: &[P]) -> TaskChunk {
    let payloads: Vec<&str> = payloads.iter().map(AsRef::as_ref).collect();
    let lengths = payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect();
    TaskChunk { first_index, lengths, payloads: payloads.concat().into() }
}

/// Appends tasks; returns how many the last answer confirms.
pub(crate) async fn add_tasks(
    jobs: &mut JobsClient<GrpcService>,
    requests: impl tonic::IntoStreamingRequest<Message = AddTasksRequest>,
) -> Result<u64, Status> {
    let mut answers = jobs.add_tasks(requests).await?.into_inner();
    let mut tasks = 0;
    while let Some(answer) = answers.message().await? {
        tasks = answer.tasks;
    }
    Ok(tasks)
}

/// A job as its client sees it.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) jobs: JobsClient<GrpcService>,
    next_index: u64,
}

impl Job {
    pub(crate) async fn request(&mut self, chunk: Option<TaskChunk>, last: bool) -> Result<u64, Status> {
        let request = AddTasksRequest { job_id: self.id, chunk, last, functions: None };
        soon(add_tasks(&mut self.jobs, tokio_stream::iter([request]))).await
    }

    pub(crate) async fn add<P: AsRef<str>>(&mut self, payloads: &[P]) {
        let chunk = chunk(self.next_index, payloads);
        self.next_index += payloads.len() as u64;
        assert_eq!(self.request(Some(chunk), false).await.unwrap(), self.next_index);
    }

    pub(crate) async fn close(&mut self) {
        assert_eq!(self.request(None, true).await.unwrap(), self.next_index);
    }

    pub(crate) async fn status(&mut self) -> JobStatus {
        let request = StatusRequest { job_id: self.id, wait: false };
        soon(self.jobs.status(request)).await.unwrap().into_inner().job.unwrap()
    }

    pub(crate) async fn read_from(&mut self, cursor: u64) -> Streaming<OutcomesResponse> {
        let request = OutcomesRequest { job_id: self.id, cursor };
        soon(self.jobs.outcomes(tokio_stream::once(request))).await.unwrap().into_inner()
    }

    /// What the first answer from `cursor` on says.
    pub(crate) async fn outcomes_at(&mut self, cursor: u64) -> Result<OutcomesResponse, Status> {
        let request = OutcomesRequest { job_id: self.id, cursor };
        let mut stream = soon(self.jobs.outcomes(tokio_stream::once(request))).await?.into_inner();
        Ok(soon(stream.message()).await?.unwrap())
    }

    /// Opens a stream of outcomes, and a way to confirm them.
    pub(crate) async fn read_confirming(
        &mut self,
        cursor: u64,
    ) -> (Streaming<OutcomesResponse>, mpsc::Sender<OutcomesRequest>) {
        let (confirm, requests) = mpsc::channel(8);
        confirm.send(OutcomesRequest { job_id: self.id, cursor }).await.unwrap();
        let stream = soon(self.jobs.outcomes(ReceiverStream::new(requests))).await.unwrap().into_inner();
        (stream, confirm)
    }

    /// Reads to the end, and confirms each answer.
    pub(crate) async fn finish(&mut self) -> Finished {
        let (mut stream, confirm) = self.read_confirming(0).await;
        let mut outcomes = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let answer = soon(stream.message()).await.unwrap().unwrap();
            for run in answer.runs {
                cursor += take_run(&run, &mut outcomes);
            }
            assert_eq!(answer.cursor, cursor, "a cursor counts outcomes");
            soon(confirm.send(OutcomesRequest { job_id: self.id, cursor })).await.unwrap();
            if let Some(end) = answer.end {
                assert!(soon(stream.message()).await.unwrap().is_none());
                return Finished { outcomes, end };
            }
        }
    }
}

/// All that a client got of a job.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `Ok` is the value, `Err` the kind and the message of the failure.
    pub(crate) outcomes: BTreeMap<u64, Result<String, String>>,
    pub(crate) end: JobEnd,
}

impl Finished {
    /// The values of a job without failures, in the order of its tasks.
    pub(crate) fn values(&self) -> Vec<&str> {
        let indexes: Vec<u64> = self.outcomes.keys().copied().collect();
        assert_eq!(indexes, (0..self.end.tasks).collect::<Vec<_>>(), "every task has an outcome");
        self.outcomes.values().map(|outcome| outcome.as_deref().unwrap()).collect()
    }
}

fn take_run(run: &OutcomeRun, outcomes: &mut BTreeMap<u64, Result<String, String>>) -> u64 {
    let mut values = &run.values[..];
    let mut failures = run.failures.iter().peekable();
    let ended = run.lengths.iter().enumerate().map(|(offset, length)| {
        let value = values.split_off(..*length as usize).unwrap();
        let failure = failures.next_if(|failure| failure.offset as usize == offset);
        failure.map_or_else(
            || Ok(String::from_utf8(value.to_vec()).unwrap()),
            |failure| Err(format!("{}: {}", failure.kind().as_str_name(), failure.message)),
        )
    });
    let cancelled = (0..run.cancelled).map(|_| Err("cancelled".to_owned()));
    let mut index = run.first_index;
    for outcome in ended.chain(cancelled) {
        assert!(outcomes.insert(index, outcome).is_none(), "task {index} has two outcomes");
        index += 1;
    }
    index - run.first_index
}

/// A model of a worker.
pub(crate) struct Worker {
    pub(crate) reports: mpsc::Sender<WorkerMessage>,
    messages: Streaming<CoordinatorMessage>,
    pub(crate) welcome: Welcome,
    /// Messages received; every report confirms them.
    pub(crate) received: AtomicU64,
}

impl Worker {
    /// The next message but for signs of life, or how the stream ended.
    async fn message(&mut self) -> Result<Option<Kind>, Status> {
        loop {
            let message = self.messages.message().await?;
            let received = self.received.get_mut();
            *received += u64::from(message.is_some());
            match message.map(|message| message.kind.unwrap()) {
                Some(Kind::Heartbeat(_)) => {}
                kind => return Ok(kind),
            }
        }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Kind {
        soon(self.message()).await.unwrap().unwrap()
    }

    /// The next message, if one comes before everything else that runs here has had its turn.
    pub(crate) async fn try_next(&mut self) -> Option<Kind> {
        tokio::select! {
            biased;
            message = self.message() => Some(message.unwrap().unwrap()),
            () = tokio::task::yield_now() => None,
        }
    }

    /// The next batch; nothing but announcements of jobs may come before it.
    pub(crate) async fn batch(&mut self) -> Batch {
        loop {
            match self.next().await {
                Kind::Batch(batch) => return batch,
                Kind::JobStarted(_) | Kind::JobEnded(_) => {}
                other => panic!("a batch was due, not {other:?}"),
            }
        }
    }

    pub(crate) async fn say(&self, report: Report) {
        soon(self.reports.send(self.message_of(report))).await.unwrap();
    }

    /// A report as it goes out.
    pub(crate) fn message_of(&self, report: Report) -> WorkerMessage {
        WorkerMessage { received: self.received.load(Ordering::Relaxed), kind: Some(report) }
    }

    /// How many of its reports the coordinator says it has received, when it next says so.
    pub(crate) async fn confirmation(&mut self) -> u64 {
        loop {
            let message = soon(self.messages.message()).await.unwrap().unwrap();
            *self.received.get_mut() += 1;
            if message.received > 0 {
                return message.received;
            }
        }
    }

    /// Reports outcomes of the next tasks of a batch.
    pub(crate) async fn report<V: AsRef<str>>(&self, batch_id: u64, values: &[V]) {
        self.say(Report::Outcomes(BatchOutcomes { batch_id, run: Some(run(values)), busy_ns: 1000 })).await;
    }

    /// Answers all tasks of a batch with their payloads.
    pub(crate) async fn echo(&self, batch: &Batch) {
        self.report(batch.batch_id, &payloads(batch)).await;
    }

    /// Answers every batch until the job ends or the stream does.
    pub(crate) async fn echo_until_job_ends(&mut self) {
        loop {
            match self.next().await {
                Kind::Batch(batch) => self.echo(&batch).await,
                Kind::JobEnded(_) => return,
                _ => {}
            }
        }
    }

    /// Says nothing more, and waits until all that it has said was heard.
    pub(crate) async fn hang_up(self) {
        let Self { reports, mut messages, .. } = self;
        drop(reports);
        while soon(messages.message()).await.is_ok_and(|message| message.is_some()) {}
    }

    /// How its stream ends: with a status, or of itself.
    pub(crate) async fn end(&mut self) -> Option<Status> {
        loop {
            match soon(self.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

/// A run of outcomes with these values.
pub(crate) fn run<V: AsRef<str>>(values: &[V]) -> OutcomeRun {
    let TaskChunk { lengths, payloads, .. } = chunk(0, values);
    OutcomeRun { lengths, values: payloads, ..OutcomeRun::default() }
}

/// The payloads of a batch's tasks.
pub(crate) fn payloads(batch: &Batch) -> Vec<String> {
    let tasks = batch.tasks.as_ref().unwrap();
    let mut rest = &tasks.payloads[..];
    let mut next = |length: u32| rest.split_off(..length as usize).unwrap();
    let payloads = tasks.lengths.iter().map(|length| String::from_utf8(next(*length).to_vec()).unwrap());
    let payloads = payloads.collect();
    assert!(rest.is_empty(), "a batch has the payloads of its own tasks and no others");
    payloads
}
