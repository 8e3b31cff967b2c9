//! Starting runners: what serves a slot, for each runtime and backend.

mod native;
mod prepared;
mod python;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::v1::{
    Backend, ChildOptions, EnvironmentVariable, Function, JobStarted, ShippedFile, function,
};
use prost::Message as _;
use tokio_util::task::TaskTracker;

pub use self::native::CHILD_ARGUMENT;
pub(crate) use self::native::ThreadLauncher;
use self::python::Interpreter;
pub use self::python::usual_python;
use crate::child::{Child, Exit};
use crate::files::{FOLDER_VARIABLE, Fetcher, JobFolder};
use crate::job::{Functions, Job, TaskTime};
use crate::runtime::native::Registry;
use crate::runtime::python::RunnerFiles;
use crate::slot::map::SlotMap;
use crate::slot::runner::Runner;
use crate::stderr::Stderr;

/// Why a job cannot run on this worker; told to its user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("the job names no function")]
    NoFunction,
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("cannot start a child: {0}")]
    System(#[from] io::Error),
    #[error(
        "cannot start Python ('{program}'): {reason}\nName an interpreter with --python PATH (3.9 or newer)."
    )]
    Interpreter { program: String, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("cannot make a folder for the files that travel with the job: {0}")]
    Folder(io::Error),
    #[error("an environment variable or the working directory holds a NUL byte, which none can")]
    Nul(#[from] std::ffi::NulError),
}

/// What all launches of a worker share.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Slots of the worker.
    pub(crate) slots: usize,
    pub(crate) registry: Registry,
    /// Interpreter for jobs that do not name one.
    pub(crate) python: String,
    /// Variables that children get unless their job sets them.
    pub(crate) environment: Vec<EnvironmentVariable>,
    pub(crate) runner_files: RunnerFiles,
    /// Where children print.
    pub(crate) stderr: Stderr,
    /// Owns the tasks that wait for children to end.
    pub(crate) tasks: TaskTracker,
    /// Brings the files of jobs.
    pub(crate) fetcher: Fetcher,
}

/// Starts the runners of one job.
#[derive(Debug)]
pub(crate) enum Launcher {
    Python(Interpreter),
    /// A native function or a command, run by a thread of this process.
    Thread(ThreadLauncher),
    /// A native function, run by this very program as a child.
    Native(native::ProcessLauncher),
}

impl Launcher {
    /// Starts a runner for a slot (from 0).
    pub(crate) fn start(&self, slot: usize) -> Result<Runner, LaunchError> {
        match self {
            Self::Python(interpreter) => interpreter.start(slot),
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
    pub(crate) fn stillborn(&self, exit: &Exit) -> String {
        match self {
            Self::Python(interpreter) => interpreter.stillborn(exit),
            Self::Thread(_) | Self::Native(_) => {
                format!("the child for the job's function {exit} before it was ready")
            }
        }
    }
}

/// A job as it was announced, ready to be run once its files have come, if it has any.
pub(crate) fn prepare(mut announced: JobStarted, ground: &Ground) -> Result<Job, LaunchError> {
    let child = announced.child.get_or_insert_default();
    // What comes later wins: the job's own variables.
    child.environment = ground.environment.iter().chain(&child.environment).cloned().collect();
    let files = std::mem::take(&mut announced.files);
    if !files.is_empty() && runs_in_this_process(announced.function.as_ref(), child) {
        return Err(LaunchError::Unsupported(
            "a native function in a thread of the worker has no folder of its own for the files that travel with the job: \
             they need --backend process",
        ));
    }
    let folder = if files.is_empty() { None } else { Some(give_folder(child, files, ground)?) };
    let child = child.clone();
    if child.timeout_ms > 0 && shares_its_process(announced.function.as_ref(), &child) {
        return Err(LaunchError::Unsupported(
            "a task cannot be stopped alone in a process that runs others: a time-out needs --backend process",
        ));
    }
    let kind = announced
        .function
        .as_ref()
        .and_then(|function| function.kind.as_ref())
        .ok_or(LaunchError::NoFunction)?;
    let function = match kind {
        function::Kind::Python(python) => python::function_body(python, announced.details)?,
        function::Kind::Pickled(pickled) => {
            if announced.details {
                return Err(LaunchError::Unsupported("pickled calls are told of without details"));
            }
            pickled.setup.clone()
        }
        function::Kind::Native(_) | function::Kind::Command(_) => announced.encode_to_vec().into(),
    };
    let launcher = launcher(kind, &child, &function, ground)?;
    // Their functions are named by number, apart for each job.
    let is_shareable = matches!(kind, function::Kind::Pickled(_)) && folder.is_none();
    let functions = Functions::default();
    functions.add(announced.functions.unwrap_or_default());
    Ok(Job {
        id: announced.job_id,
        function,
        functions,
        joins_payloads: matches!(kind, function::Kind::Python(_)),
        has_details: announced.details || matches!(kind, function::Kind::Command(_)),
        max_tasks_per_child: limit(child.max_tasks_per_child, &launcher),
        max_child_rss_bytes: limit(child.max_child_rss_bytes, &launcher),
        timeout: (child.timeout_ms > 0).then(|| Duration::from_millis(child.timeout_ms)),
        shared_child: is_shareable.then(|| ChildOptions { timeout_ms: 0, ..child }),
        folder,
        launcher,
        task_time: TaskTime::default(),
    })
}

/// Makes a folder for the files of a job, where its children begin unless it says where, and which they can always find.
fn give_folder(
    child: &mut ChildOptions,
    files: Vec<ShippedFile>,
    ground: &Ground,
) -> Result<Arc<JobFolder>, LaunchError> {
    let folder = ground.fetcher.folder(files).map_err(LaunchError::Folder)?;
    let path = Bytes::copy_from_slice(folder.path().as_os_str().as_bytes());
    if child.working_directory.is_empty() {
        child.working_directory = path.clone();
    }
    child.environment.push(EnvironmentVariable { name: FOLDER_VARIABLE.into(), value: path });
    Ok(Arc::new(folder))
}

fn launcher(
    kind: &function::Kind,
    child: &ChildOptions,
    function: &Bytes,
    ground: &Ground,
) -> Result<Launcher, LaunchError> {
    match (kind, child.backend()) {
        (function::Kind::Python(_) | function::Kind::Pickled(_), _) => {
            let output = match kind {
                function::Kind::Pickled(_) => python::Output::Apart,
                _ => python::Output::Stderr,
            };
            Ok(Launcher::Python(Interpreter::new(child, function.clone(), output, ground)?))
        }
        (function::Kind::Native(_), Backend::Thread | Backend::Inline) => {
            Ok(Launcher::Thread(ThreadLauncher::new(false, ground.registry.clone())))
        }
        (function::Kind::Native(_), _) => Ok(Launcher::Native(native::ProcessLauncher::new(child, ground)?)),
        (function::Kind::Command(_), Backend::Thread) => Err(LaunchError::Unsupported(
            "a command always runs in a process of its own: --backend thread is for functions",
        )),
        (function::Kind::Command(_), _) => {
            Ok(Launcher::Thread(ThreadLauncher::new(true, ground.registry.clone())))
        }
    }
}

/// Whether tasks have no process but the worker's.
fn runs_in_this_process(function: Option<&Function>, child: &ChildOptions) -> bool {
    let is_native =
        matches!(function.and_then(|function| function.kind.as_ref()), Some(function::Kind::Native(_)));
    is_native && matches!(child.backend(), Backend::Thread | Backend::Inline)
}

/// Whether stopping a task would stop others, or the worker itself.
fn shares_its_process(function: Option<&Function>, child: &ChildOptions) -> bool {
    child.backend() == Backend::Thread || runs_in_this_process(function, child)
}

/// A limit on children, where there are children that can be replaced.
fn limit(value: u64, launcher: &Launcher) -> Option<u64> {
    (value > 0 && !matches!(launcher, Launcher::Thread(_))).then_some(value)
}

/// The environment of children, as `NAME=VALUE`: the worker's own with the job's variables, which win.
fn environment(options: &ChildOptions) -> Result<Vec<CString>, LaunchError> {
    // The worker itself may run as a task that has files.
    let own = std::env::vars_os().filter(|(name, _)| name != FOLDER_VARIABLE);
    let own = own.map(|(name, value)| (name.into_vec(), value.into_vec()));
    let job = options.environment.iter().map(|variable| (variable.name.to_vec(), variable.value.to_vec()));
    let variables: BTreeMap<_, _> = own.chain(job).collect();
    let strings = variables.into_iter().map(|(name, value)| CString::new([name, value].join(&b'=')));
    Ok(strings.collect::<Result<_, _>>()?)
}

/// The working directory of children, if it is not the worker's own.
fn directory(options: &ChildOptions) -> Result<Option<CString>, LaunchError> {
    let path = &options.working_directory;
    Ok((!path.is_empty()).then(|| CString::new(path.to_vec())).transpose()?)
}

/// Both ends of a new slot: for the pool and for the runner.
#[derive(Debug)]
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
        SlotMap::open(self.map.fd().try_clone_to_owned()?)
    }

    fn into_runner(self, child: Child) -> io::Result<Runner> {
        Runner::new(self.socket, self.map, child)
    }
}
