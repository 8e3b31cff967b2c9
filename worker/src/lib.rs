//! The worker: the pool of one host.
//!
//! It sizes itself ([`sizing`]), dials in to a coordinator, and runs the batches it is sent in its slots. What serves a slot is a
//! runner ([`slot`]): a Python interpreter, this program as a child, or a thread.

mod cgroup;
mod child;
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

use poolmap_proto::transport::Transport;
use poolmap_proto::v1::EnvironmentVariable;
use tokio_util::task::TaskTracker;

pub use crate::launch::CHILD_ARGUMENT;
use crate::launch::Ground;
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
    /// Where it makes the folder for the files that it needs; among temporary files if absent. A worker that is killed
    /// cannot remove them: this is for whoever can do so instead.
    pub folder: Option<PathBuf>,
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

/// Serves the coordinator at the other end of `transport` until it hangs up or `stop` completes. No child is left behind.
///
/// Must run on a runtime whose tasks all stay on the calling thread (tokio's `current_thread`): children die with the thread
/// that started them.
pub async fn run(
    config: Config,
    transport: Transport,
    stop: impl Future<Output = ()>,
) -> Result<(), WorkerError> {
    let slots = config.slots;
    let tasks = TaskTracker::new();
    let ground = Ground {
        slots: slots.get() as usize,
        registry: config.registry,
        environment: thread_caps(slots),
        runner_files: RunnerFiles::write(config.folder.as_deref()).map_err(WorkerError::RunnerFiles)?,
        stderr: Stderr::new(std::io::stderr(), tasks.clone()),
        tasks,
    };
    Ok(session::serve(transport, config.name, ground, stop).await?)
}

/// Limits for the numeric libraries of children, unless the user has set them for the worker.
fn thread_caps(slots: NonZeroU32) -> Vec<EnvironmentVariable> {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let caps = sizing::thread_caps::thread_caps(sizing::detect::cpus(), slots, is_set).into_iter();
    caps.map(|(name, value)| EnvironmentVariable { name: name.into(), value: value.into() }).collect()
}
