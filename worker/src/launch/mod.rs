//! Starting runners: what serves a slot, for each runtime and backend.

mod native;
mod prepared;
mod python;

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use bytes::Bytes;
use poolmap_proto::v1::{Backend, ChildOptions, JobStarted, function};
use prost::Message as _;
use tokio_util::task::TaskTracker;

use self::python::Interpreter;
use crate::child::Child;
use crate::environment::Environment;
use crate::job::Job;
use crate::runtime::native::Registry;
use crate::slot::map::SlotMap;
use crate::slot::runner::Runner;

/// Why a job cannot run on this worker; told to its user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("the job names no function")]
    NoFunction,
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("cannot start a child: {0}")]
    System(#[from] io::Error),
    #[error("cannot start Python ('{program}'): {reason}\nName an interpreter with --python PATH (3.9 or newer).")]
    Interpreter { program: String, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("cannot work in {}: {source}", directory.display())]
    Directory { directory: std::path::PathBuf, source: io::Error },
}

/// What all launches of a worker share.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Slots of the worker.
    pub(crate) slots: usize,
    pub(crate) registry: Registry,
    /// The environment that children begin with.
    pub(crate) environment: Environment,
    /// Owns the tasks that wait for children to end.
    pub(crate) tasks: TaskTracker,
}

/// Starts the runners of one job.
#[derive(Debug)]
pub(crate) enum Launcher {
    Python(Interpreter),
    /// A native function or a command, run by a thread of this process.
    Thread(native::ThreadLauncher),
    /// A native function, run by this very program as a child.
    Native(native::ProcessLauncher),
}

impl Launcher {
    /// Starts a runner for a slot (from 0).
    pub(crate) async fn start(&self, slot: usize) -> Result<Runner, LaunchError> {
        match self {
            Self::Python(interpreter) => interpreter.start(slot).await,
            Self::Thread(launcher) => Ok(launcher.start(slot)?),
            Self::Native(launcher) => launcher.start(),
        }
    }

    /// What a runner said of itself when it was ready.
    pub(crate) fn ready(&self, body: &[u8]) {
        if let Self::Python(interpreter) = self {
            interpreter.learn(body);
        }
    }

    /// A runner of this job ended before it was ready: what to tell the user.
    pub(crate) fn stillborn(&self, exit: crate::child::Exit) -> String {
        match self {
            Self::Python(interpreter) => interpreter.stillborn(exit),
            Self::Thread(_) | Self::Native(_) => format!("the child for the job's function {exit} before it was ready"),
        }
    }
}

/// A job as it was announced, ready to be run.
pub(crate) fn prepare(announced: &JobStarted, ground: &Ground) -> Result<Job, LaunchError> {
    let kind = announced.function.as_ref().and_then(|function| function.kind.as_ref());
    let child = announced.child.clone().unwrap_or_default();
    let backend = child.backend();
    let (launcher, function) = match kind.ok_or(LaunchError::NoFunction)? {
        function::Kind::Python(python) => {
            let function = python::function_body(python, announced.details)?;
            (Launcher::Python(Interpreter::new(&child, python, ground)?), function)
        }
        function::Kind::Command(_) if backend == Backend::Thread => {
            return Err(LaunchError::Unsupported("a command always runs in a process of its own: --backend thread is for functions"));
        }
        function::Kind::Native(_) if backend == Backend::Process || backend == Backend::Unspecified => {
            (Launcher::Native(native::ProcessLauncher::new(&child, ground)?), encoded(announced))
        }
        function::Kind::Native(_) | function::Kind::Command(_) => {
            (Launcher::Thread(native::ThreadLauncher::new(&child, ground)), encoded(announced))
        }
    };
    let is_python = matches!(kind, Some(function::Kind::Python(_)));
    Ok(Job {
        id: announced.job_id,
        function,
        joins_payloads: is_python,
        has_details: announced.details,
        max_tasks_per_child: limit(child.max_tasks_per_child, &launcher),
        max_child_rss_bytes: limit(child.max_child_rss_bytes, &launcher),
        launcher,
    })
}

/// A limit on children, where there are children that can be replaced.
fn limit(value: u64, launcher: &Launcher) -> Option<u64> {
    (value > 0 && !matches!(launcher, Launcher::Thread(_))).then_some(value)
}

fn encoded(announced: &JobStarted) -> Bytes {
    announced.encode_to_vec().into()
}

/// Both ends of a new slot: for the pool and for the runner.
struct Ends {
    socket: UnixStream,
    map: SlotMap,
    runner_socket: UnixStream,
}

impl Ends {
    fn make() -> io::Result<Self> {
        let (socket, runner_socket) = UnixStream::pair()?;
        Ok(Self { socket, map: SlotMap::create()?, runner_socket })
    }

    /// A second mapping of the map, for a runner in this process.
    fn runner_map(&self) -> io::Result<SlotMap> {
        SlotMap::open(self.map.fd().as_fd().try_clone_to_owned()?)
    }

    fn into_runner(self, child: Child) -> io::Result<Runner> {
        Runner::new(self.socket, self.map, child)
    }
}

/// Options that say nothing of children are fine for every backend.
fn working_directory(options: &ChildOptions) -> Option<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = &options.working_directory;
    (!bytes.is_empty()).then(|| std::ffi::OsStr::from_bytes(bytes).into())
}

/// Shared, so that the tasks of one worker may hand it around.
pub(crate) type SharedGround = Arc<Ground>;
