//! A worker to test, and a coordinator that says what it is told to and remembers what it hears.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::function::Kind as FunctionKind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{
    Batch, ChildOptions, Command, CoordinatorMessage, Detail, Failure, Function, Hello, JobEnded, JobStarted,
    OutcomeRun, PythonFunction, SourceFile, TakeBack, TaskChunk, Welcome, WorkerMessage,
};
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::{Config, WorkerError};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

use crate::offers::{Stream, native_job, offers};

/// Far more than anything here takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    soon(async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// How a task ended.
pub(crate) type Outcome = Result<String, Failure>;

/// What a worker has said of one batch.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) begun: bool,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) details: Vec<Detail>,
    pub(crate) returned: Option<u32>,
    pub(crate) crashed: Option<(u32, Failure)>,
}

impl Told {
    /// The values of tasks that have all succeeded.
    pub(crate) fn values(&self) -> Vec<&str> {
        self.outcomes.iter().map(|outcome| outcome.as_deref().unwrap()).collect()
    }
}

/// A worker that runs in this process, and its coordinator.
pub(crate) struct Session {
    pub(crate) hello: Hello,
    messages: Option<mpsc::Sender<Result<CoordinatorMessage, Status>>>,
    reports: Streaming<WorkerMessage>,
    worker: JoinHandle<Result<(), WorkerError>>,
    stop: Option<oneshot::Sender<()>>,
    last_batch: u64,
    pub(crate) heartbeats: u64,
    /// It has said that it is about to leave.
    pub(crate) is_draining: bool,
    pub(crate) told: BTreeMap<u64, Told>,
    /// Reasons why jobs were rejected.
    pub(crate) rejected: BTreeMap<u64, String>,
}

impl Session {
    /// Starts a worker.
    pub(crate) async fn start(slots: u32) -> Self {
        Self::with(config(slots)).await
    }

    /// Starts a worker that is told this.
    pub(crate) async fn with(config: Config) -> Self {
        let (transport, mut offered) = offers(None);
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = tokio::spawn(poolmap_worker::run(config, transport.into(), async {
            let _dropped = stopped.await;
        }));
        let mut stream = soon(offered.recv()).await.unwrap();
        let welcome = Welcome { worker_id: 1, heartbeat_interval_ms: 20, ..Welcome::default() };
        let welcome = CoordinatorMessage { received: 0, kind: Some(Kind::Welcome(welcome)) };
        stream.messages.send(Ok(welcome)).await.unwrap();
        let hello = stream.hello().await;
        let Stream { reports, messages } = stream;
        Self {
            hello,
            messages: Some(messages),
            reports,
            worker,
            stop: Some(stop),
            last_batch: 0,
            heartbeats: 0,
            is_draining: false,
            told: BTreeMap::new(),
            rejected: BTreeMap::new(),
        }
    }

    pub(crate) async fn say(&self, kind: Kind) {
        let message = CoordinatorMessage { received: 0, kind: Some(kind) };
        soon(self.messages.as_ref().unwrap().send(Ok(message))).await.unwrap();
    }

    /// Announces a job of a function of `tasks.py`.
    pub(crate) async fn python(&self, job_id: u64, name: &str, child: ChildOptions) {
        self.say(Kind::JobStarted(JobStarted { child: Some(child), ..python_job(job_id, name) })).await;
    }

    pub(crate) async fn native(&self, job_id: u64, name: &str) {
        self.say(Kind::JobStarted(native_job(job_id, name))).await;
    }

    pub(crate) async fn command(&self, job_id: u64, words: &[&str]) {
        let words = words.iter().map(|word| word.as_bytes().to_vec().into()).collect();
        let command = Command { words, replacement: b"{}".as_slice().into(), ..Command::default() };
        let function = Some(Function { kind: Some(FunctionKind::Command(command)) });
        self.say(Kind::JobStarted(JobStarted { job_id, function, ..JobStarted::default() })).await;
    }

    /// Hands out a batch; returns its id.
    pub(crate) async fn batch<P: AsRef<str>>(&mut self, job_id: u64, payloads: &[P]) -> u64 {
        self.last_batch += 1;
        let payloads: Vec<&str> = payloads.iter().map(AsRef::as_ref).collect();
        let lengths = payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect();
        let tasks = Some(TaskChunk { first_index: 0, lengths, payloads: payloads.concat().into() });
        let batch = Batch { batch_id: self.last_batch, job_id, attempt: 1, tasks };
        self.say(Kind::Batch(batch)).await;
        self.last_batch
    }

    pub(crate) async fn take_back(&self, batch_id: u64, count: u32) {
        self.say(Kind::TakeBack(TakeBack { batch_id, count })).await;
    }

    pub(crate) async fn end_job(&self, job_id: u64) {
        self.say(Kind::JobEnded(JobEnded { job_id })).await;
    }

    /// What was told of a batch so far.
    pub(crate) fn told(&self, batch_id: u64) -> &Told {
        &self.told[&batch_id]
    }

    /// Listens until something was told of a batch.
    pub(crate) async fn until(&mut self, batch_id: u64, is_so: impl Fn(&Told) -> bool) -> &Told {
        soon(async {
            while !self.told.get(&batch_id).is_some_and(&is_so) {
                assert!(self.rejected.is_empty(), "{:?}", self.rejected);
                self.listen().await;
            }
        })
        .await;
        &self.told[&batch_id]
    }

    /// Listens until a batch has so many outcomes.
    pub(crate) async fn outcomes(&mut self, batch_id: u64, count: usize) -> &Told {
        self.until(batch_id, |told| told.outcomes.len() >= count || told.crashed.is_some()).await;
        let told = &self.told[&batch_id];
        assert_eq!((told.outcomes.len(), &told.crashed), (count, &None));
        told
    }

    /// Runs one batch to its end and returns its values.
    pub(crate) async fn run<P: AsRef<str>>(&mut self, job_id: u64, payloads: &[P]) -> Vec<String> {
        let batch = self.batch(job_id, payloads).await;
        let told = self.outcomes(batch, payloads.len()).await;
        told.values().into_iter().map(str::to_owned).collect()
    }

    /// Listens until a batch has crashed; returns where, and why.
    pub(crate) async fn crash(&mut self, batch_id: u64) -> (u32, Failure) {
        self.until(batch_id, |told| told.crashed.is_some()).await.crashed.clone().unwrap()
    }

    /// Listens until a job was rejected; returns the reason.
    pub(crate) async fn rejection(&mut self, job_id: u64) -> String {
        soon(async {
            while !self.rejected.contains_key(&job_id) {
                self.listen().await;
            }
        })
        .await;
        self.rejected[&job_id].clone()
    }

    pub(crate) async fn listen(&mut self) {
        assert!(self.hear().await, "the worker has left");
    }

    /// Listens to the next message; whether there was one, or the worker has ended its stream.
    async fn hear(&mut self) -> bool {
        let Some(message) = soon(self.reports.message()).await.unwrap() else { return false };
        match message.kind.clone().unwrap() {
            Report::Begun(begun) => self.of(begun.batch_id).begun = true,
            Report::Outcomes(ended) => {
                let told = self.of(ended.batch_id);
                assert!(told.crashed.is_none(), "nothing follows a crash");
                take(told, ended.run.unwrap());
            }
            Report::Returned(returned) => self.of(returned.batch_id).returned = Some(returned.length),
            Report::Crashed(crashed) => {
                self.of(crashed.batch_id).crashed = Some((crashed.offset, crashed.cause.unwrap()));
            }
            Report::JobRejected(rejected) => {
                self.rejected.insert(rejected.job_id, rejected.error);
            }
            Report::Evicted(evicted) => panic!("memory is short where the tests run: {evicted:?}"),
            Report::Heartbeat(_) => self.heartbeats += 1,
            Report::Draining(_) => self.is_draining = true,
            Report::Hello(_) => panic!("not now: {message:?}"),
        }
        true
    }

    /// Listens until the worker leaves; returns what it has told of its batches.
    pub(crate) async fn left(mut self) -> BTreeMap<u64, Told> {
        while self.hear().await {}
        assert!(self.is_draining, "a worker says that it is about to leave");
        drop(self.messages);
        soon(self.worker).await.unwrap().unwrap();
        self.told
    }

    fn of(&mut self, batch_id: u64) -> &mut Told {
        self.told.entry(batch_id).or_default()
    }

    /// Ends the stream with a reason; returns what the worker says of it.
    pub(crate) async fn refused_with(mut self, reason: &str) -> String {
        let messages = self.messages.take().unwrap();
        soon(messages.send(Err(Status::failed_precondition(reason)))).await.unwrap();
        self.fails().await
    }

    /// Waits until the worker has failed; returns what it says of it.
    pub(crate) async fn fails(self) -> String {
        soon(self.worker).await.unwrap().unwrap_err().to_string()
    }

    /// Tells the worker to stop.
    pub(crate) fn tell_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Hangs up and waits for the worker to end.
    pub(crate) async fn hang_up(self) {
        drop((self.messages, self.reports));
        soon(self.worker).await.unwrap().unwrap();
    }

    /// Tells the worker to stop and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.tell_to_stop();
        self.left().await;
    }
}

/// What a worker is told that stops at once when it is to stop.
pub(crate) fn config(slots: u32) -> Config {
    let registry = Registry::new()
        .function("double", |x: i64| 2 * x)
        .function("thread", || format!("{:?}", std::thread::current().name()));
    let slots = NonZeroU32::new(slots).unwrap();
    Config { drain_timeout: Duration::ZERO, ..Config::new("under test".to_owned(), slots, registry) }
}

/// A job of a function of `tasks.py`.
pub(crate) fn python_job(job_id: u64, name: &str) -> JobStarted {
    let content = include_bytes!("tasks.py").as_slice().into();
    let source = Some(SourceFile { path: "/nowhere/tasks.py".to_owned(), content });
    let python = PythonFunction { module: "tasks".to_owned(), name: name.to_owned(), source };
    let function = Some(Function { kind: Some(FunctionKind::Python(python)) });
    JobStarted { job_id, function, child: Some(ChildOptions::default()), ..JobStarted::default() }
}

fn take(told: &mut Told, run: OutcomeRun) {
    let mut values = &run.values[..];
    let mut failures = run.failures.into_iter().peekable();
    for (offset, length) in run.lengths.iter().enumerate() {
        let value = values.split_off(..*length as usize).unwrap();
        let failure = failures.next_if(|failure| failure.offset as usize == offset);
        told.outcomes.push(failure.map_or_else(|| Ok(String::from_utf8(value.to_vec()).unwrap()), Err));
    }
    told.details.extend(run.details);
}

/// A folder in which tasks leave marks and wait for a sign.
pub(crate) struct Yard(TempDir);

impl Yard {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        mkfifo(&folder.path().join("pipe"), Mode::S_IRWXU).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Arguments of a task of `block` or `mark`.
    pub(crate) fn task(&self, function: &str, name: &str) -> String {
        let folder = self.0.path().display();
        format!(r#"{{"function": "{function}", "args": ["{folder}", "{name}"]}}"#)
    }

    /// Path of a file in it.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Waits until a task of `block` runs; returns its process.
    pub(crate) async fn blocked(&self, name: &str) -> Pid {
        let path = self.path(name);
        eventually(|| std::fs::read_to_string(&path).ok()?.trim().parse().ok().map(Pid::from_raw)).await
    }

    /// Lets a task of `block` go on.
    pub(crate) async fn release(&self) {
        let pipe = self.path("pipe");
        eventually(|| open(&pipe, OFlag::O_WRONLY | OFlag::O_NONBLOCK, Mode::empty()).ok()).await;
    }
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(pid: Pid) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    status.is_ok_and(|status| !status.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// Waits until a process is gone.
pub(crate) async fn gone(pid: Pid) {
    eventually(|| (!lives(pid)).then_some(())).await;
}
