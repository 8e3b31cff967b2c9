//! The cluster with one host: a coordinator in this process, and workers that dial in over a private socket.

use std::ffi::CString;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use poolmap_client::{Backend, Transport};
use poolmap_coordinator::{Config, Coordinator};
use poolmap_proto::transport;
use poolmap_worker::os;
use poolmap_worker::runtime::native::Registry;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnixListenerStream;

use crate::exit::Failure;
use crate::log::Level;

/// Time that workers have to end by themselves once the job has ended.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
const SOCKET_NAME: &str = "socket";
/// What the address of a Unix socket holds, its final NUL included: 108 bytes on Linux, 104 elsewhere.
const SOCKET_ADDRESS_BYTES: usize = 104;

/// A coordinator and its workers.
pub(crate) struct Local {
    coordinator: Coordinator,
    workers: Vec<Worker>,
    /// Ends of workers, as they happen.
    ends: mpsc::Receiver<String>,
    /// Holds the socket; removed with this.
    _folder: Option<TempDir>,
}

/// One worker process, or the worker in this process.
struct Worker {
    group: Option<Pid>,
    ended: oneshot::Receiver<()>,
}

/// How local workers are to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) workers: NonZeroU32,
    pub(crate) slots: NonZeroU32,
    pub(crate) backend: Backend,
}

impl Local {
    /// Starts a coordinator and its workers. Call this within a tokio runtime, on its thread.
    pub(crate) fn start(shape: Shape, log_level: Level, registry: Registry) -> Result<Self, Failure> {
        let coordinator = Coordinator::start(Config::default());
        let (end, ends) = mpsc::channel(shape.workers.get() as usize);
        if shape.backend == Backend::Inline {
            let worker = inline(&coordinator, shape.slots, registry, end);
            return Ok(Self { coordinator, workers: vec![worker], ends, _folder: None });
        }
        let folder = private_folder()
            .map_err(Failure::system("making a private folder for the socket of the workers"))?;
        let socket = folder.path().join(SOCKET_NAME);
        listen(&coordinator, &socket)?;
        let workers = (1..=shape.workers.get())
            .map(|number| spawn(number, shape.slots, &socket, log_level, end.clone()));
        let workers =
            workers.collect::<io::Result<Vec<_>>>().map_err(Failure::system("starting a worker"))?;
        Ok(Self { coordinator, workers, ends, _folder: Some(folder) })
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Waits until no worker is left; says how the last one ended.
    pub(crate) async fn all_ended(&mut self) -> String {
        let mut last = String::new();
        for _ in 0..self.workers.len() {
            last = self.ends.recv().await.unwrap_or(last);
        }
        last
    }

    /// Ends coordinator and workers, and waits until no worker process is left.
    pub(crate) async fn stop(self) {
        self.coordinator.stop().await;
        for Worker { group, ended } in self.workers {
            if tokio::time::timeout(STOP_TIMEOUT, ended).await.is_err()
                && let Some(group) = group
            {
                tracing::warn!("a worker did not end by itself and is killed");
                let _gone = killpg(group, Signal::SIGKILL);
            }
        }
    }
}

/// A folder that only this user may enter, among temporary files unless a socket's address has no room for its name there.
fn private_folder() -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("poolmap-").tempdir()?;
    let has_room = folder.path().join(SOCKET_NAME).as_os_str().len() < SOCKET_ADDRESS_BYTES;
    if has_room { Ok(folder) } else { tempfile::Builder::new().prefix("poolmap-").tempdir_in("/tmp") }
}

/// Serves workers on a socket in a folder that only this user may enter.
fn listen(coordinator: &Coordinator, socket: &Path) -> Result<(), Failure> {
    let listener = UnixListener::bind(socket);
    let listener = listener.map_err(Failure::system(format!("listening at {}", socket.display())))?;
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
) -> Worker {
    let transport = Transport::in_process(coordinator.workers());
    let config = poolmap_worker::Config { name: "inline".to_owned(), slots, registry };
    let (sender, ended) = oneshot::channel();
    tokio::spawn(async move {
        let result = poolmap_worker::run(config, transport, std::future::pending()).await;
        let _stopping =
            end.try_send(result.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string()));
        let _stopping = sender.send(());
    });
    Worker { group: None, ended }
}

/// Starts a worker process. It ends when its connection does; it is in a group of its own, so that Ctrl-C is ours to handle.
fn spawn(
    number: u32,
    slots: NonZeroU32,
    socket: &Path,
    log_level: Level,
    end: mpsc::Sender<String>,
) -> io::Result<Worker> {
    let name = format!("local-{number}");
    let slots = slots.to_string();
    let words: [&[u8]; 10] = [
        b"poolmap",
        b"worker",
        b"--socket",
        socket.as_os_str().as_bytes(),
        b"--name",
        name.as_bytes(),
        b"--slots",
        slots.as_bytes(),
        b"--log-level",
        log_level.word().as_bytes(),
    ];
    let arguments = words.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let variables = std::env::vars_os().map(|(name, value)| [name.as_bytes(), value.as_bytes()].join(&b'='));
    let environment = variables.map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let null = std::fs::File::open("/dev/null")?;
    let stderr = io::stderr();
    let spawn = os::Spawn {
        program: &os::Program::find(crate::THIS_PROGRAM, None)?,
        arguments: &arguments,
        environment: &environment,
        directory: None,
        descriptors: &[(null.as_fd(), 0), (stderr.as_fd(), 1), (stderr.as_fd(), 2)],
        own_group: true,
        die_with_parent: false,
    };
    let pid = spawn.start().map_err(|error| error.error)?;
    let notice = os::exit_notice(pid)?;
    let (sender, ended) = oneshot::channel();
    tokio::spawn(async move {
        let _readable = notice.readable().await;
        let how = os::wait(pid).map_or_else(|error| error.to_string(), |status| status.to_string());
        let _stopping = end.try_send(format!("worker {name} ended ({how})"));
        let _stopping = sender.send(());
    });
    Ok(Worker { group: Some(pid), ended })
}
