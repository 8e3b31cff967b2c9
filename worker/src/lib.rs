//! The worker: the pool of one host.
//!
//! It sizes itself ([`sizing`]), dials in to a coordinator, and runs the batches it is sent in its slots. What serves a slot is a
//! runner ([`slot`]): a Python interpreter, this program as a child, or a thread.

mod cgroup;
mod child;
mod connect;
mod files;
mod folder;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod launch;
mod memory;
pub mod os;
mod pool;
pub mod runtime;
mod session;
pub mod sizing;
pub mod slot;
mod stderr;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use poolmap_proto::v1::EnvironmentVariable;
use tokio_util::task::TaskTracker;

pub use crate::connect::{ConnectError, Connector};
use crate::files::Fetcher;
use crate::folder::OwnFolder;
pub use crate::folder::{remove_abandoned, remove_abandoned_by};
use crate::launch::Ground;
pub use crate::launch::{CHILD_ARGUMENT, usual_python};
use crate::runtime::native::Registry;
use crate::runtime::python::RunnerFiles;
pub use crate::session::SessionError;
use crate::stderr::Stderr;

/// What a worker is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, for people.
    pub name: String,
    /// Tasks it runs at once.
    pub slots: NonZeroU32,
    /// The native functions it knows.
    pub registry: Registry,
    /// Where it makes its folder, for the files that it needs and for those that travel with jobs; among temporary files if
    /// absent. A worker that is killed cannot remove it: [`remove_abandoned`] does so, and each worker that starts.
    pub folder: Option<PathBuf>,
    /// Name of the machine, for people.
    pub host: String,
    /// Processors of the machine, for people.
    pub cpus: u32,
    /// Interpreter for jobs that do not name one; the usual one if absent.
    pub python: Option<String>,
    /// Version of that interpreter, for people; empty if there is none.
    pub python_version: String,
    /// What jobs may ask of their workers.
    pub labels: Vec<String>,
    /// How long it tries to reach its coordinator at first; zero: once.
    pub connect_timeout: Duration,
    /// How long it tries to reach its coordinator again when it does not hear of it any more; then the coordinator is lost.
    /// It goes on where it was if the coordinator has waited for it, and otherwise comes back as a new worker.
    pub reconnect_timeout: Duration,
    /// What happens to tasks that run when the coordinator is lost.
    pub on_coordinator_lost: OnCoordinatorLost,
    /// How long tasks that run may take to end once the worker is told to stop.
    pub drain_timeout: Duration,
    /// It leaves when it has had nothing to do for so long.
    pub idle_timeout: Option<Duration>,
    /// It leaves when it has run for so long, and begins no task of which it must expect that it will not end in time.
    pub time_limit: Option<Duration>,
}

/// What happens to tasks that run when the coordinator is lost: nobody waits for their outcomes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCoordinatorLost {
    /// They are run to their end.
    Finish,
    /// They are stopped.
    Stop,
}

impl Config {
    /// A worker that says nothing of its machine, tries for a minute to reach its coordinator, and leaves only when it is
    /// told to.
    #[must_use]
    pub fn new(name: String, slots: NonZeroU32, registry: Registry) -> Self {
        Self {
            name,
            slots,
            registry,
            folder: None,
            host: String::new(),
            cpus: 0,
            python: None,
            python_version: String::new(),
            labels: Vec::new(),
            connect_timeout: Duration::from_secs(60),
            reconnect_timeout: Duration::from_secs(60),
            on_coordinator_lost: OnCoordinatorLost::Stop,
            drain_timeout: Duration::from_secs(30),
            idle_timeout: None,
            time_limit: None,
        }
    }
}

/// Why a worker ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The files that Python children run could not be written.
    #[error("cannot write the Python runner to the folder for temporary files: {0}")]
    RunnerFiles(std::io::Error),
    /// The session with the coordinator failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Serves the coordinator that `connector` reaches until it is told to leave, by the coordinator or by the end of `stop`:
/// then it finishes what runs, gives back the rest, and leaves. No child is left behind.
///
/// Must run on a runtime whose tasks all stay on the calling thread (tokio's `current_thread`): children die with the thread
/// that started them.
pub async fn run(
    config: Config,
    connector: Connector,
    stop: impl Future<Output = ()>,
) -> Result<(), WorkerError> {
    let parent = config.folder.clone().unwrap_or_else(std::env::temp_dir);
    let own = OwnFolder::make(Some(&parent)).map_err(WorkerError::RunnerFiles)?;
    tokio::task::spawn_blocking(move || remove_abandoned(&parent));
    let slots = config.slots;
    let tasks = TaskTracker::new();
    let ground = Ground {
        slots: slots.get() as usize,
        registry: config.registry.clone(),
        python: usual_python(config.python.as_deref()),
        environment: thread_caps(slots),
        runner_files: RunnerFiles::write(Some(own.path())).map_err(WorkerError::RunnerFiles)?,
        stderr: Stderr::new(std::io::stderr(), tasks.clone()),
        tasks,
        // For as long as the coordinator itself would be tried.
        fetcher: Fetcher::new(connector.clone(), config.reconnect_timeout, Some(own.path().to_owned())),
    };
    Ok(session::serve(config, connector, ground, stop).await?)
}

/// Limits for the numeric libraries of children, unless the user has set them for the worker.
fn thread_caps(slots: NonZeroU32) -> Vec<EnvironmentVariable> {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let caps = sizing::thread_caps::thread_caps(sizing::detect::cpus(), slots, is_set).into_iter();
    caps.map(|(name, value)| EnvironmentVariable { name: name.into(), value: value.into() }).collect()
}
