//! The cluster with one host: a coordinator in this process, and workers that dial in over a private socket.
//!
//! What `poolmap run` and the Python package both hold. It starts the workers, starts them again when they die, and leaves
//! none behind. It decides nothing about jobs.

pub mod program;

use std::collections::HashSet;
use std::fs::Permissions;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use poolmap_coordinator::{Config, Coordinator, Notice};
use poolmap_proto::transport::{self, Transport};
use poolmap_worker::os;
use poolmap_worker::runtime::native::Registry;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Time that workers have to end by themselves once the job has ended.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
const SOCKET_NAME: &str = "socket";
/// What the address of a Unix socket holds, its final NUL included: 108 bytes on Linux, 104 elsewhere.
const SOCKET_ADDRESS_BYTES: usize = 104;
/// Notices of the coordinator that may wait, for each worker: a lost one must not be missed, and another takes its place.
const NOTICES_PER_WORKER: usize = 4;
/// Times in a row that a worker which brings no outcome is started again, and the time before the first of them; it doubles.
const RESTARTS: usize = 5;
const RESTART_DELAY: Duration = Duration::from_millis(100);

/// A coordinator and its workers.
#[derive(Debug)]
pub struct Local {
    coordinator: Coordinator,
    workers: u32,
    /// Ends of workers that are not started again.
    ends: mpsc::Receiver<String>,
    stop: CancellationToken,
    /// Owns what watches over the workers.
    tasks: TaskTracker,
    /// Holds the socket; removed with this.
    _folder: Option<TempDir>,
}

/// How local workers are to be.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many there are.
    pub workers: NonZeroU32,
    /// Tasks that each of them runs at once.
    pub slots: NonZeroU32,
    /// What they are.
    pub place: Place,
    /// A worker that is silent for so long is lost.
    pub worker_timeout: Duration,
}

/// Where workers run.
#[derive(Clone, Debug)]
pub enum Place {
    /// The one worker is a task of this process, which knows these functions.
    Inline(Registry),
    /// Each is a process that runs this program.
    Processes(WorkerProgram),
}

/// The `poolmap` program, which is started as `poolmap worker`.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// Its file.
    pub path: PathBuf,
    /// Its `--log-level`.
    pub log_level: String,
}

/// The system refused something that workers need.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct LocalError {
    /// What was being done.
    pub doing: String,
    /// What the system said.
    pub source: io::Error,
}

impl LocalError {
    fn doing(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { doing: doing.into(), source }
    }
}

impl Local {
    /// Starts a coordinator and its workers. Call this within a tokio runtime, on its thread.
    pub fn start(shape: Shape) -> Result<Self, LocalError> {
        let (sender, news) = mpsc::channel(NOTICES_PER_WORKER * shape.workers.get() as usize);
        let config = Config {
            worker_timeout: shape.worker_timeout,
            // Its workers are on this machine: a stream that has broken does not come back.
            reconnect_grace: Duration::ZERO,
            notices: Some(sender),
            is_local: true,
            ..Config::default()
        };
        let coordinator = Coordinator::start(config);
        let (end, ends) = mpsc::channel(shape.workers.get() as usize);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut folder = None;
        match shape.place {
            Place::Inline(registry) => {
                tasks.spawn(inline(&coordinator, shape.slots, registry, end));
            }
            Place::Processes(program) => {
                let private = private_folder()
                    .map_err(LocalError::doing("making a private folder for the socket of the workers"))?;
                let socket = private.path().join(SOCKET_NAME);
                listen(&coordinator, &socket)?;
                let proven = Proven::default();
                for number in 1..=shape.workers.get() {
                    let (name, program) = (format!("local-{number}"), program.clone());
                    let start = Start { name, slots: shape.slots, socket: socket.clone(), program };
                    let worker = start.spawn().map_err(LocalError::doing("starting a worker"))?;
                    tasks.spawn(supervise(start, worker, proven.clone(), stop.clone(), end.clone()));
                }
                tokio::spawn(take_notice(news, proven));
                folder = Some(private);
            }
        }
        Ok(Self { coordinator, workers: shape.workers.get(), ends, stop, tasks, _folder: folder })
    }

    /// The coordinator, for the services of its clients.
    #[must_use]
    pub fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Waits until no worker is left; says how the last one ended.
    pub async fn all_ended(&mut self) -> String {
        let mut last = String::new();
        for _ in 0..self.workers {
            last = self.ends.recv().await.unwrap_or(last);
        }
        last
    }

    /// Ends coordinator and workers, and waits until no worker process is left.
    pub async fn stop(self) {
        self.stop.cancel();
        self.coordinator.stop().await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A folder that only this user may enter, among temporary files unless a socket's address has no room for its name there.
fn private_folder() -> io::Result<TempDir> {
    let mut folders = tempfile::Builder::new();
    // Otherwise it is the user's mask that decides.
    folders.prefix("poolmap-").permissions(Permissions::from_mode(0o700));
    let folder = folders.tempdir()?;
    let has_room = folder.path().join(SOCKET_NAME).as_os_str().len() < SOCKET_ADDRESS_BYTES;
    if has_room { Ok(folder) } else { folders.tempdir_in("/tmp") }
}

/// Serves workers on a socket in a folder that only this user may enter.
fn listen(coordinator: &Coordinator, socket: &Path) -> Result<(), LocalError> {
    let listener = UnixListener::bind(socket);
    let listener = listener.map_err(LocalError::doing(format!("listening at {}", socket.display())))?;
    let server = transport::server().add_service(coordinator.workers());
    tokio::spawn(async move {
        if let Err(error) = server.serve_with_incoming(UnixListenerStream::new(listener)).await {
            tracing::error!(%error, "the coordinator's server ended");
        }
    });
    Ok(())
}

/// The worker in this process.
fn inline(
    coordinator: &Coordinator,
    slots: NonZeroU32,
    registry: Registry,
    end: mpsc::Sender<String>,
) -> impl Future<Output = ()> + use<> {
    let transport = Transport::in_process(coordinator.workers());
    let config = poolmap_worker::Config {
        connect_timeout: Duration::ZERO,
        ..poolmap_worker::Config::new("inline".to_owned(), slots, registry)
    };
    async move {
        let result = poolmap_worker::run(config, transport.into(), std::future::pending()).await;
        let how = result.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
        let _stopping = end.try_send(how);
    }
}

/// Process ids of the workers that have brought an outcome.
type Proven = Arc<Mutex<HashSet<u32>>>;

/// Kills workers that were declared lost, so that they are started again: they may be stopped, or stuck. Notes which ones work.
async fn take_notice(mut notices: mpsc::Receiver<Notice>, proven: Proven) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Lost { process_id } => {
                if let Ok(process_id) = i32::try_from(process_id) {
                    let _gone = killpg(Pid::from_raw(process_id), Signal::SIGKILL);
                }
            }
            Notice::Proven { process_id } => {
                proven.lock().unwrap_or_else(PoisonError::into_inner).insert(process_id);
            }
        }
    }
}

fn restart_delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default().with_min_delay(RESTART_DELAY).with_max_times(RESTARTS).with_jitter().build()
}

/// Starts a worker again when it ends, until told to stop or until several in a row have ended without an outcome.
/// Each further one that is started costs an outcome, so this comes to an end.
async fn supervise(
    start: Start,
    mut worker: Worker,
    proven: Proven,
    stop: CancellationToken,
    end: mpsc::Sender<String>,
) {
    let mut delays = restart_delays();
    loop {
        let how = worker.ended(&stop).await;
        if stop.is_cancelled() {
            return;
        }
        let id = worker.pid.as_raw().cast_unsigned();
        if proven.lock().unwrap_or_else(PoisonError::into_inner).remove(&id) {
            delays = restart_delays();
        }
        let Some(delay) = delays.next() else {
            let _stopping = end.try_send(format!(
                "worker {} {how}, after it was started again {RESTARTS} times without an outcome",
                start.name
            ));
            return;
        };
        tracing::warn!("worker {} {how}; it is started again", start.name);
        if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return;
        }
        worker = match start.spawn() {
            Ok(worker) => worker,
            Err(error) => {
                let _stopping =
                    end.try_send(format!("worker {} cannot be started again: {error}", start.name));
                return;
            }
        };
    }
}

/// What it takes to start a worker process.
struct Start {
    name: String,
    slots: NonZeroU32,
    socket: PathBuf,
    program: WorkerProgram,
}

/// A worker process; it leads a group of its own.
struct Worker {
    pid: Pid,
    notice: os::ExitNotice,
}

impl Start {
    /// Starts the process. It ends when its connection does; in a session of its own, it leaves Ctrl-C to us.
    fn spawn(&self) -> io::Result<Worker> {
        let words = [
            "worker".into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--name".into(),
            self.name.clone().into(),
            "--slots".into(),
            self.slots.to_string().into(),
            "--log-level".into(),
            self.program.log_level.clone().into(),
        ];
        let null = std::fs::File::open("/dev/null")?;
        // What tasks write to their standard output must not mix with results.
        let stderr = io::stderr();
        let streams = [null.as_fd(), stderr.as_fd(), stderr.as_fd()];
        let pid = program::start(&self.program.path, words, streams, false)?;
        Ok(Worker { pid, notice: os::exit_notice(pid)? })
    }
}

impl Worker {
    /// Waits for its end and says how it ended; once told to stop, it must end soon.
    async fn ended(&self, stop: &CancellationToken) -> String {
        let overdue = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        tokio::select! {
            _readable = self.notice.readable() => {}
            () = overdue => {
                tracing::warn!("a worker did not end by itself and is killed");
                let _gone = killpg(self.pid, Signal::SIGKILL);
                let _readable = self.notice.readable().await;
            }
        }
        os::wait(self.pid)
            .map_or_else(|error| error.to_string(), |(status, _peak)| format!("ended ({status})"))
    }
}
