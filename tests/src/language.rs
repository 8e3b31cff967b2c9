//! The words that the tests are written in: a command line with its input, and what came of it.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::Marker;
use crate::programs;

/// Longest wait for something that takes a fraction of a second on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Longest that any command may take; far more than any needs.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest that a process may outlive its command.
const AFTERLIFE: Duration = Duration::from_secs(2);

/// A `poolmap` command line, in words separated by spaces.
pub fn poolmap(words: &str) -> Line {
    Line::new(&programs::built().poolmap).words(words)
}

/// The same of the binary with the functions of `tests/src/main.rs`.
pub fn native(words: &str) -> Line {
    Line::new(&programs::built().native).words(words)
}

/// `poolmap run` of a function in `f.py`, with that file.
pub fn python(source: &str, words: &str) -> Line {
    poolmap("run").words(words).file("f.py", source)
}

/// Any program, in the surroundings of a test.
pub fn program(path: impl AsRef<Path>) -> Line {
    Line::new(path.as_ref())
}

/// Waits until `look` sees something.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command line that has not been started.
pub struct Line {
    command: Command,
    folder: TempDir,
    marker: Marker,
    input: Option<Vec<u8>>,
}

impl Line {
    fn new(program: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let marker = Marker::unique();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        let mut command = Command::new(program);
        command.current_dir(&folder).env("TMPDIR", folder.path().join("tmp"));
        command.env("PATH", programs::search_path()).env_remove("VIRTUAL_ENV").env("COLUMNS", "100");
        command.env(Marker::NAME, marker.value());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, folder, marker, input: None }
    }

    /// More arguments, separated by spaces.
    pub fn words(mut self, words: &str) -> Self {
        self.command.args(words.split_whitespace());
        self
    }

    /// One argument, whatever is in it.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Several arguments, whatever is in them.
    pub fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.command.args(arguments);
        self
    }

    /// A file in the folder of the test, which is the current one.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Another current folder than that of the test.
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it reads.
    pub fn stdin(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = Some(input.as_ref().to_vec());
        self
    }

    /// Tasks of one number each, from 0.
    pub fn tasks(self, count: usize) -> Self {
        let lines = (0..count).map(|number| format!("[{number}]\n")).collect::<Vec<_>>().concat();
        self.stdin(lines)
    }

    /// The folder of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs it to its end, and sees to it that nothing of it is left.
    pub fn run(mut self) -> Ran {
        let input = self.input.take();
        let mut running = self.start();
        let mut stdin = running.stdin();
        let writer = std::thread::spawn(move || {
            // A command that fails early reads nothing.
            let _closed = stdin.write_all(&input.unwrap_or_default());
        });
        let stdout = in_background(running.stdout());
        let ran = running.ends();
        writer.join().unwrap();
        Ran { stdout: stdout.join().unwrap(), ..ran }
    }

    /// Starts it, with pipes at all ends.
    pub fn start(mut self) -> Running {
        let child = self.command.stdin(Stdio::piped()).spawn().unwrap();
        let mut running = Running { child, stderr: None, folder: self.folder, marker: self.marker };
        running.stderr = running.child.stderr.take().map(in_background);
        running
    }
}

fn in_background(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// A command that runs.
pub struct Running {
    child: Child,
    stderr: Option<JoinHandle<Vec<u8>>>,
    folder: TempDir,
    marker: Marker,
}

impl Running {
    /// Where it reads from; to be taken once.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Where it writes to; to be taken once.
    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// The process that was started, not those below it.
    pub fn process_id(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        signal::kill(self.process_id(), signal).unwrap();
    }

    /// Processes of this command, itself included.
    pub fn processes(&self) -> Vec<Pid> {
        self.marker.processes()
    }

    /// Kills all of them.
    pub fn kill_all(&self) {
        self.marker.kill_all();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it has ended and nothing of it is left, files included unless it was killed. What it wrote to stdout is
    /// of whoever took that.
    pub fn ends(self) -> Ran {
        let ran = self.ends_with_files_left();
        let temporary = std::fs::read_dir(ran.folder.path().join("tmp")).unwrap();
        let left: Vec<_> = temporary.map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            left.is_empty() || ran.signal().is_some(),
            "temporary files are left: {left:?}; {}",
            ran.stderr
        );
        ran
    }

    /// The same where a process was killed that would have removed its files.
    pub fn ends_with_files_left(mut self) -> Ran {
        let ended = eventually_ended(&mut self.child);
        let status = ended.unwrap_or_else(|| {
            self.kill_all();
            panic!("not at its end after {LIMIT:?}; stderr: {}", self.stderr());
        });
        let stderr = self.stderr();
        eventually("all its processes have ended", AFTERLIFE, || self.processes().is_empty().then_some(()));
        Ran { status, stdout: Vec::new(), stderr, folder: self.folder }
    }

    fn stderr(&mut self) -> String {
        let bytes = self.stderr.take().map(|reader| reader.join().unwrap());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }
}

fn eventually_ended(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    eventually("the command's end", 2 * LIMIT, || match child.try_wait().unwrap() {
        None if begun.elapsed() > LIMIT => Some(None),
        status => status.map(Some),
    })
}

/// What came of a command.
pub struct Ran {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
    folder: TempDir,
}

impl Ran {
    /// Fails unless it ended with this status.
    pub fn exits(self, status: i32) -> Self {
        let (out, error) = (String::from_utf8_lossy(&self.stdout), &self.stderr);
        let out = out.chars().take(2000).collect::<String>();
        assert_eq!(self.status.code(), Some(status), "{}\nstdout: {out}\nstderr: {error}", self.status);
        self
    }

    /// Fails unless it ended well, and had nothing to say.
    pub fn succeeds(self) -> Self {
        let ran = self.exits(0);
        assert_eq!(ran.stderr, "");
        ran
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// What it wrote to stdout.
    pub fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// The same as text.
    pub fn stdout(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Its lines.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout().lines().collect()
    }

    /// Its lines, sorted.
    pub fn sorted_lines(&self) -> Vec<&str> {
        let mut lines = self.lines();
        lines.sort_unstable();
        lines
    }

    /// What it said, with the folder of the test left out.
    pub fn stderr(&self) -> String {
        self.stderr.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// A file that it left in the folder of the test.
    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The JSON results, in the order of the input: one for each task, and each once.
    pub fn results(&self) -> Vec<Value> {
        let mut results: Vec<Value> =
            self.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        results.sort_by_key(|result| result["index"].as_u64());
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result["index"], index, "each task has one result: {result}");
        }
        results
    }

    /// The values of all tasks, in the order of the input; no task may have failed.
    pub fn values(&self) -> Vec<Value> {
        let results = self.results();
        results
            .into_iter()
            .map(|result| result.get("value").cloned().unwrap_or_else(|| panic!("{result}")))
            .collect()
    }

    /// The value of the only task.
    pub fn value(&self) -> Value {
        let values = self.values();
        assert_eq!(values.len(), 1);
        values.into_iter().next().unwrap()
    }

    /// The error of the task at this index.
    pub fn error(&self, index: usize) -> Value {
        self.results()[index].get("error").cloned().unwrap_or_else(|| panic!("task {index} succeeded"))
    }
}
