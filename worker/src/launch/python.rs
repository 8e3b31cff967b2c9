//! Runners that are Python interpreters: plain ones that run the files carried in this program.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use poolmap_proto::v1::{Backend, ChildOptions, PythonFunction};
use tokio_util::task::TaskTracker;

use super::prepared::Prepared;
use super::{Ends, Ground, LaunchError};
use crate::child::{Child, Exit};
use crate::os;
use crate::runtime::python::RunnerFiles;
use crate::slot::runner::Runner;
use crate::stderr::Stderr;

/// Where a child finds its first slot: the socket here, the map at the next number, and so on.
const FIRST_DESCRIPTOR: i32 = 3;

/// Starts interpreters for one job.
#[derive(Debug)]
pub(crate) struct Interpreter {
    /// As the user or the environment names it.
    program: String,
    /// As the first child to be ready names itself; from then on started directly, past any wrapper script.
    executable: OnceLock<String>,
    files: RunnerFiles,
    environment: Vec<CString>,
    directory: Option<CString>,
    /// Modules to import once, in a parent from which children are forked; the parent starts with the first child, and
    /// again if it has died.
    preload: Vec<String>,
    prepared: Mutex<Option<Arc<Prepared>>>,
    /// What the prepared parent compiles for its children.
    function: Bytes,
    output: Output,
    /// Slots of one interpreter: 1, or all of the worker's for the thread backend.
    slots: usize,
    /// Slots of the interpreter that was started last and that nobody has taken yet (thread backend).
    untaken: Mutex<Vec<Option<(Ends, Child)>>>,
    stderr: Stderr,
    tasks: TaskTracker,
}

/// Where what tasks write to their standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To the worker's standard error, with all else that they print.
    Stderr,
    /// To the worker's standard output.
    Apart,
}

impl Interpreter {
    /// `function` is the body of the frame that loads the job's function.
    pub(crate) fn new(
        options: &ChildOptions,
        function: Bytes,
        output: Output,
        ground: &Ground,
    ) -> Result<Self, LaunchError> {
        Ok(Self {
            program: if options.python.is_empty() { &ground.python } else { &options.python }.clone(),
            executable: OnceLock::new(),
            files: ground.runner_files.clone(),
            environment: super::environment(options)?,
            directory: super::directory(options)?,
            preload: options.preload.clone(),
            prepared: Mutex::default(),
            function,
            output,
            slots: if options.backend() == Backend::Thread { ground.slots } else { 1 },
            untaken: Mutex::default(),
            stderr: ground.stderr.clone(),
            tasks: ground.tasks.clone(),
        })
    }

    /// Starts a runner for a slot (from 0). With the thread backend all slots share the interpreter that the first of them
    /// starts; a slot that comes back finds it dead and starts the next one.
    pub(crate) fn start(&self, slot: usize) -> Result<Runner, LaunchError> {
        if self.slots == 1 {
            let ends = Ends::make()?;
            let child = self.spawn(std::slice::from_ref(&ends))?;
            return Ok(ends.into_runner(child)?);
        }
        let mut untaken = self.untaken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = untaken.get_mut(slot).and_then(Option::take) {
            return Ok(taken.0.into_runner(taken.1)?);
        }
        let all = (0..self.slots).map(|_| Ends::make()).collect::<io::Result<Vec<_>>>()?;
        let child = self.spawn(&all)?;
        *untaken = all.into_iter().map(|ends| Some((ends, child.clone()))).collect();
        let taken = untaken.get_mut(slot).and_then(Option::take);
        let (ends, child) = taken.ok_or_else(|| io::Error::other(format!("there is no slot {slot}")))?;
        Ok(ends.into_runner(child)?)
    }

    /// Learns from what a runner said of itself where the real interpreter lies.
    pub(crate) fn learn(&self, ready: &[u8]) {
        #[derive(serde::Deserialize)]
        struct Ready {
            executable: String,
        }
        if let Ok(ready) = serde_json::from_slice::<Ready>(ready)
            && ready.executable.starts_with('/')
        {
            self.executable.get_or_init(|| ready.executable);
        }
    }

    /// What to tell the user when an interpreter ends before it was ready.
    pub(crate) fn stillborn(&self, exit: &Exit) -> String {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusal) = prepared.as_ref().and_then(|prepared| prepared.refusal()) {
            return refusal.clone();
        }
        format!(
            "its Python ('{}') {exit} while it loaded the function; what it said is above\n\
             If that is no Python 3.9 or newer, name one with --python PATH.",
            self.program
        )
    }

    /// Starts an interpreter that serves these slots.
    fn spawn(&self, slots: &[Ends]) -> Result<Child, LaunchError> {
        if !self.preload.is_empty() {
            let (output, tail) = self.stderr.pipe()?;
            return Ok(self.prepared()?.fork(output, tail, slots)?);
        }
        let sockets = (FIRST_DESCRIPTOR..).step_by(2).take(slots.len());
        let pairs =
            sockets.clone().map(|socket| format!("{socket}:{}", socket + 1)).collect::<Vec<_>>().join(",");
        let mut descriptors = Vec::new();
        for (ends, socket) in slots.iter().zip(sockets) {
            descriptors.extend([(ends.runner_socket.as_fd(), socket), (ends.map.fd(), socket + 1)]);
        }
        self.run(&[&pairs], &descriptors)
    }

    /// The prepared parent, started if there is none. One that has refused is not started again.
    fn prepared(&self) -> Result<Arc<Prepared>, LaunchError> {
        let mut kept = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = &*kept {
            match prepared.refusal() {
                Some(refusal) => return Err(LaunchError::Refused(refusal.clone())),
                None if !prepared.is_gone() => return Ok(prepared.clone()),
                None => {}
            }
        }
        let (control, other_end) = UnixStream::pair()?;
        let descriptors = [(other_end.as_fd(), FIRST_DESCRIPTOR)];
        self.run(&["--prepared", &FIRST_DESCRIPTOR.to_string(), &self.preload.join(",")], &descriptors)?;
        let prepared = Arc::new(Prepared::adopt(control, &self.function, &self.tasks)?);
        Ok(kept.insert(prepared).clone())
    }

    /// Starts an interpreter on the runner with these arguments and descriptors.
    fn run(&self, options: &[&str], inherited: &[(BorrowedFd<'_>, RawFd)]) -> Result<Child, LaunchError> {
        let name = self.executable.get().unwrap_or(&self.program);
        let search_path = std::env::var_os("PATH").map(OsStringExt::into_vec);
        let program = os::Program::find(name.as_bytes(), search_path.as_deref())?;
        let runner = path_string(self.files.runner())?;
        let (stdout, keeps_stdout) = (io::stdout(), self.output == Output::Apart);
        let words = [name.as_str(), &runner].into_iter().chain(keeps_stdout.then_some("--stdout"));
        let words = words.chain(options.iter().copied());
        let arguments = words.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let null = std::fs::File::open("/dev/null")?;
        let (output, tail) = self.stderr.pipe()?;
        let stdout = if keeps_stdout { stdout.as_fd() } else { output.as_fd() };
        let mut descriptors = vec![(null.as_fd(), 0), (stdout, 1), (output.as_fd(), 2)];
        descriptors.extend_from_slice(inherited);
        let spawn = os::Spawn {
            program: &program,
            arguments: &arguments,
            environment: &self.environment,
            directory: self.directory.as_deref(),
            descriptors: &descriptors,
            own_group: true,
            own_session: false,
            die_with_parent: true,
        };
        let pid = spawn.start().map_err(|error| self.not_started(&error))?;
        Ok(Child::adopt(pid, tail, &self.tasks)?)
    }

    fn not_started(&self, error: &os::StartError) -> LaunchError {
        let reason = match (error.step, error.error.kind()) {
            (os::Step::Program, io::ErrorKind::NotFound) => "there is no such program".to_owned(),
            (os::Step::Program, io::ErrorKind::PermissionDenied) => "it is not an executable file".to_owned(),
            (os::Step::Directory, _) => format!("the working directory cannot be entered: {error}"),
            _ => error.to_string(),
        };
        LaunchError::Interpreter { program: self.program.clone(), reason }
    }
}

/// The body of the frame that loads a function: JSON, as the runner reads it.
pub(crate) fn function_body(function: &PythonFunction, details: bool) -> Result<Bytes, LaunchError> {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        module: &'a str,
        name: &'a str,
        path: Option<&'a str>,
        source: Option<&'a str>,
        details: bool,
    }
    let source = function.source.as_ref();
    let text = source.map(|source| std::str::from_utf8(&source.content)).transpose();
    let text =
        text.map_err(|error| LaunchError::Refused(format!("the function's file is not UTF-8: {error}")))?;
    let body = Body {
        module: &function.module,
        name: &function.name,
        path: source.map(|source| source.path.as_str()),
        source: text,
        details,
    };
    Ok(serde_json::to_vec(&body).map_err(io::Error::other)?.into())
}

/// The interpreter that is started where nobody names one: this worker's own, that of the active virtual environment, or
/// `python3`.
#[must_use]
pub fn usual_python(own: Option<&str>) -> String {
    let environment = || std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let in_environment =
        || environment().map(|folder| folder.join("bin/python")).filter(|path| path.exists());
    match own {
        Some(own) => own.to_owned(),
        None => {
            in_environment().map_or_else(|| "python3".to_owned(), |path| path.to_string_lossy().into_owned())
        }
    }
}

fn path_string(path: &Path) -> io::Result<String> {
    let text = path
        .to_str()
        .ok_or_else(|| io::Error::other("the folder for temporary files has a name that is not UTF-8"))?;
    Ok(text.to_owned())
}
