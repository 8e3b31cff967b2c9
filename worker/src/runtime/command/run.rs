//! Running commands: one process a task, its output captured whole.
//!
//! Output goes to files in memory rather than through pipes. So nobody has to wake up to read it, and a process that
//! the command leaves behind with its output still open holds up nothing: when the command itself has ended, the task
//! has. What it left running is left alone, unless the command was killed, and what that writes later is lost. As with any redirection to a
//! file, `> /dev/stdout` inside a command empties what was written so far, where `>> /dev/stdout` or `>&1` do not.
//!
//! A command is killed when the *thread* that serves its slot ends (see [`os::Spawn`]), so that thread is to live as
//! long as the worker.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, NulError};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Instant;

use bytes::Bytes;
use nix::sys::signal::{Signal, killpg};
use poolmap_proto::v1::{ChildOptions, JobStarted, function::Kind};
use prost::Message as _;

use super::template::{Template, values};
use crate::files::FOLDER_VARIABLE;
use crate::os;
use crate::slot::record::{Detail, Failure};
use crate::slot::serve::{Call, Outcome, Tasks};

/// The most that a command may write, to stdout and stderr together: what a record can carry beside its other fields.
const MAX_OUTPUT_BYTES: u64 = (1 << 30) - 4096;

/// The commands of one slot.
#[derive(Debug)]
pub struct Commands {
    slot: usize,
    dev_null: OwnedFd,
    loaded: BTreeMap<u32, Loaded>,
}

impl Commands {
    /// A runtime for the slot of this number, counted from 1.
    pub fn new(slot: usize) -> io::Result<Self> {
        let dev_null = File::open("/dev/null")?.into();
        Ok(Self { slot, dev_null, loaded: BTreeMap::new() })
    }

    fn run(&mut self, call: &Call<'_>) -> Result<Ended, Failure> {
        let loaded = self
            .loaded
            .get_mut(&call.function)
            .ok_or_else(|| cannot_run(format!("command {} is not known to this slot", call.function)))?;
        let expanded = loaded.template.expand(&values(call.payload), call.index.saturating_add(1), self.slot);
        let arguments: Vec<CString> = expanded
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_| cannot_run("an argument holds a NUL byte, which none can".to_owned()))?;
        let name = arguments.first().ok_or_else(|| {
            cannot_run("the command is empty: the task has no value to fill it with".to_owned())
        })?;
        loaded.set_task(call);
        let program = loaded
            .programs
            .find(name)
            .map_err(|_| cannot_run("the search path holds a NUL byte, which none can".to_owned()))?;
        let (stdout, stderr) = os::capture_file()
            .and_then(|stdout| Ok((stdout, os::capture_file()?)))
            .map_err(|error| cannot_run(format!("cannot make room for the command's output: {error}")))?;
        let spawn = os::Spawn {
            program,
            arguments: &arguments,
            environment: &loaded.environment,
            directory: loaded.directory.as_deref(),
            descriptors: &[(self.dev_null.as_fd(), 0), (stdout.as_fd(), 1), (stderr.as_fd(), 2)],
            own_group: true,
            own_session: false,
            die_with_parent: true,
        };
        let pid = spawn.start().map_err(|error| not_started(name, loaded.directory.as_deref(), &error))?;
        call.map.set_process(Some(pid.as_raw()));
        let waited = os::wait(pid);
        call.map.set_process(None);
        let (status, _) =
            waited.map_err(|error| cannot_run(format!("cannot wait for the command: {error}")))?;
        if status.signal().is_some() {
            // What it has started may wait for ever for what it would have done next.
            let _gone = killpg(pid, Signal::SIGKILL);
        }
        Ended::new(status, &stdout, &stderr)
    }
}

impl Tasks for Commands {
    fn load(&mut self, function: u32, body: &[u8]) -> Result<(), String> {
        let job = JobStarted::decode(body).map_err(|error| format!("the job cannot be read: {error}"))?;
        let Some(Kind::Command(command)) = job.function.and_then(|function| function.kind) else {
            return Err("the job's function is not a command".to_owned());
        };
        let template = Template::new(&command).map_err(|error| error.to_string())?;
        self.loaded.insert(function, Loaded::new(template, &job.child.unwrap_or_default())?);
        Ok(())
    }

    fn run(&mut self, call: &Call<'_>, outcome: &mut Outcome) {
        let started = Instant::now();
        let (failure, stdout, stderr) = match Commands::run(self, call) {
            Ok(ended) => (failure(ended.status), ended.stdout, ended.stderr),
            Err(failure) => (Some(failure), Bytes::new(), Bytes::new()),
        };
        outcome.set_detail(Detail { stdout, stderr, seconds: started.elapsed().as_secs_f64() });
        if let Some(failure) = failure {
            outcome.fail(&failure);
        }
    }
}

/// What is known of a command when it has ended.
struct Ended {
    status: ExitStatus,
    stdout: Bytes,
    stderr: Bytes,
}

impl Ended {
    fn new(status: ExitStatus, stdout: &File, stderr: &File) -> Result<Self, Failure> {
        let unreadable = |error| cannot_run(format!("cannot read the command's output: {error}"));
        let lengths = (length(stdout).map_err(unreadable)?, length(stderr).map_err(unreadable)?);
        let total = lengths.0.saturating_add(lengths.1);
        if total > MAX_OUTPUT_BYTES {
            return Err(too_much_output(total));
        }
        let stdout = contents(stdout, lengths.0).map_err(unreadable)?;
        let stderr = contents(stderr, lengths.1).map_err(unreadable)?;
        Ok(Self { status, stdout, stderr })
    }
}

fn length(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// The first `length` bytes, or fewer if a process left behind has made the file shorter. The file's position, which
/// such a process shares, is not moved.
fn contents(file: &File, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => bytes.truncate(filled),
            read => filled += read,
        }
    }
    Ok(bytes.into())
}

/// What made the task fail, if it did.
fn failure(status: ExitStatus) -> Option<Failure> {
    if let Some(signal) = status.signal() {
        let name = os::signal_name(signal);
        let message = format!("killed by signal {signal} ({name})");
        return Some(Failure { kind: "crashed".to_owned(), kind_type: name, message, ..Failure::default() });
    }
    match status.code() {
        Some(0) | None => None,
        Some(status) => {
            let message = format!("exited with status {status}");
            Some(Failure { exit_status: Some(status), ..cannot_run(message) })
        }
    }
}

/// A failure that is no command's exit: it has no status, and whoever shows it shows its message.
fn cannot_run(message: String) -> Failure {
    Failure { kind: "exit".to_owned(), message, ..Failure::default() }
}

fn too_much_output(bytes: u64) -> Failure {
    cannot_run(format!(
        "wrote {bytes} bytes, of which at most {MAX_OUTPUT_BYTES} can be carried; let the command write to a file"
    ))
}

fn not_started(name: &CStr, directory: Option<&CStr>, error: &os::StartError) -> Failure {
    let name = name.to_string_lossy();
    let reason = &error.error;
    match (error.step, reason.kind()) {
        (os::Step::Program, io::ErrorKind::NotFound) if name.contains('/') => cannot_run(format!(
            "cannot run {name}: there is no such file, or its first line names an interpreter that is not there"
        )),
        (os::Step::Program, io::ErrorKind::NotFound) => {
            cannot_run(format!("cannot run {name}: it is in no folder of PATH; is it installed?"))
        }
        (os::Step::Program, io::ErrorKind::PermissionDenied) => {
            cannot_run(format!("cannot run {name}: it is not an executable file; is `chmod +x` missing?"))
        }
        (os::Step::Program, _) => cannot_run(format!("cannot run {name}: {reason}")),
        (os::Step::Directory, _) => {
            let directory = directory.unwrap_or_default().to_string_lossy();
            cannot_run(format!("cannot enter the working directory {directory}: {reason}"))
        }
        (os::Step::Start | os::Step::Prepare, _) => {
            cannot_run(format!("cannot start a process for {name}: {reason}"))
        }
    }
}

/// A command, with all made ready that is the same for each of its tasks.
#[derive(Debug)]
struct Loaded {
    template: Template,
    /// `NAME=VALUE`: first what all tasks share, then what is the current task's own.
    environment: Vec<CString>,
    /// How many variables all tasks share.
    shared_variables: usize,
    directory: Option<CString>,
    programs: Programs,
}

impl Loaded {
    fn new(template: Template, options: &ChildOptions) -> Result<Self, String> {
        let variables = environment(options)?;
        let search_path = variables.get(b"PATH".as_slice()).cloned();
        let environment: Vec<CString> = variables
            .into_iter()
            .map(|(name, value)| CString::new([name, value].join(&b'=')))
            .collect::<Result<_, _>>()
            .map_err(|_| "an environment variable holds a NUL byte, which none can".to_owned())?;
        let directory = Some(options.working_directory.as_ref())
            .filter(|path| !path.is_empty())
            .map(CString::new)
            .transpose()
            .map_err(|_| "the working directory's name holds a NUL byte, which no path can".to_owned())?;
        let shared_variables = environment.len();
        let programs = Programs { search_path, last: None };
        Ok(Self { template, environment, shared_variables, directory, programs })
    }

    fn set_task(&mut self, call: &Call<'_>) {
        self.environment.truncate(self.shared_variables);
        self.environment.extend(CString::new(format!("POOLMAP_ATTEMPT={}", call.attempt)));
        self.environment.extend(CString::new(format!("POOLMAP_TASK={}", call.index)));
    }
}

/// The worker's environment with the job's own variables, which win.
fn environment(options: &ChildOptions) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let mut variables: BTreeMap<_, _> =
        std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect();
    variables.remove(FOLDER_VARIABLE.as_bytes());
    for variable in &options.environment {
        if variable.name.is_empty() || variable.name.contains(&b'=') {
            return Err(format!("{:?} cannot be the name of an environment variable", variable.name));
        }
        variables.insert(variable.name.to_vec(), variable.value.to_vec());
    }
    // The worker itself may run as a task of another poolmap.
    variables.retain(|name, _| name != b"POOLMAP_ATTEMPT" && name != b"POOLMAP_TASK");
    Ok(variables)
}

/// Looks up programs, and remembers the last one: nearly always that of the next task as well.
#[derive(Debug)]
struct Programs {
    search_path: Option<Vec<u8>>,
    last: Option<(CString, os::Program)>,
}

impl Programs {
    fn find(&mut self, name: &CStr) -> Result<&os::Program, NulError> {
        let last = match self.last.take() {
            Some(last) if last.0.as_c_str() == name => last,
            _ => (name.to_owned(), os::Program::find(name.to_bytes(), self.search_path.as_deref())?),
        };
        Ok(&self.last.insert(last).1)
    }
}
