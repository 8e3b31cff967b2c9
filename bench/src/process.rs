//! Runs one program to its end and measures it: the clock around the whole process, and what the kernel says it used.
//!
//! The only file that starts measured processes. It does not know what they compute.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wait4::{ResUse, Wait4};

use crate::memory::{MemorySample, Sampler};

/// No run of any row takes a tenth of this; a program that hangs must not hang the rest.
const LONGEST_RUN: Duration = Duration::from_secs(600);

/// What the program finds on its stdin.
pub(crate) enum Input {
    Nothing,
    File(PathBuf),
    /// The file's content, through a pipe.
    Pipe(PathBuf),
}

/// How the program's results reach the output file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The program writes the file, whose path is one of its arguments.
    Named,
    /// Stdout is the file.
    Stdout,
    /// Stdout is a pipe; the lines are timed as they come and then written to the file.
    Watched,
}

/// A command line to measure.
pub(crate) struct Program {
    words: Vec<OsString>,
    input: Input,
    output: Output,
    samples_memory: bool,
}

impl Program {
    pub(crate) fn new(path: impl Into<OsString>) -> Self {
        Self {
            words: vec![path.into()],
            input: Input::Nothing,
            output: Output::Stdout,
            samples_memory: false,
        }
    }

    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Several words, separated by blanks.
    pub(crate) fn args(mut self, words: &str) -> Self {
        self.words.extend(words.split_whitespace().map(OsString::from));
        self
    }

    pub(crate) fn input(self, input: Input) -> Self {
        Self { input, ..self }
    }

    pub(crate) fn output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// Look at the resident memory of its main process while it runs.
    pub(crate) fn sampling_memory(self) -> Self {
        Self { samples_memory: true, ..self }
    }
}

/// What one run of a program took.
#[derive(Default)]
pub(crate) struct Run {
    /// From before the start to after the end of the process.
    pub(crate) wall_s: f64,
    /// User and system time of the process and of all descendants that were waited for.
    pub(crate) cpu_s: f64,
    /// The largest resident set of any of these processes.
    pub(crate) max_rss_bytes: u64,
    /// Of the main process alone.
    pub(crate) memory: Vec<MemorySample>,
    /// Lines per second from the first results to the last, where the output was watched.
    pub(crate) lines_per_s: Option<f64>,
    /// Numbers that the program told in a JSON object, on the last line of its stderr that is one.
    pub(crate) reported: BTreeMap<String, f64>,
}

/// Runs `program`; its results are in the file `out` afterwards.
///
/// # Errors
/// It cannot be started, ends with a status other than 0, or takes longer than ten minutes.
pub(crate) fn run(program: &Program, out: &Path) -> Result<Run> {
    let errors = out.with_extension("stderr");
    let mut command = command(program, out, &errors)?;

    let started = Instant::now();
    let mut child = command.spawn().context("it cannot be started")?;
    let sampler = program.samples_memory.then(|| Sampler::start(child.id()));
    let feeder = feed(program, &mut child)?;
    let watcher = watch(program, &mut child, out)?;
    let used = wait(&mut child)?;
    let wall_s = started.elapsed().as_secs_f64();

    let memory = sampler.map(Sampler::stop).unwrap_or_default();
    if let Some(feeder) = feeder {
        join(feeder)?;
    }
    let lines_per_s = watcher.map(join).transpose()?.flatten();
    let stderr = String::from_utf8_lossy(&std::fs::read(&errors)?).into_owned();
    if !used.status.success() {
        bail!("{}: {}", used.status, last_line(&stderr));
    }
    Ok(Run {
        wall_s,
        cpu_s: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        max_rss_bytes: used.rusage.maxrss,
        memory,
        lines_per_s,
        reported: report(&stderr),
    })
}

fn command(program: &Program, out: &Path, errors: &Path) -> Result<Command> {
    let (path, words) = program.words.split_first().context("an empty command line")?;
    if out.exists() {
        std::fs::remove_file(out)?;
    }
    let mut command = Command::new(path);
    command.args(words).stderr(File::create(errors)?);
    command.stdin(match &program.input {
        Input::Nothing => Stdio::null(),
        Input::File(file) => File::open(file)?.into(),
        Input::Pipe(_) => Stdio::piped(),
    });
    command.stdout(match program.output {
        Output::Named => Stdio::null(),
        Output::Stdout => File::create(out)?.into(),
        Output::Watched => Stdio::piped(),
    });
    Ok(command)
}

fn report(text: &str) -> BTreeMap<String, f64> {
    text.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().next_back().unwrap_or_default()
}

fn join<T>(thread: JoinHandle<io::Result<T>>) -> Result<T> {
    Ok(thread.join().map_err(|_| anyhow!("a thread beside the run panicked"))??)
}

fn feed(program: &Program, child: &mut Child) -> Result<Option<JoinHandle<io::Result<()>>>> {
    let Input::Pipe(source) = &program.input else { return Ok(None) };
    let mut source = File::open(source)?;
    let mut pipe = child.stdin.take().context("no pipe to its stdin")?;
    Ok(Some(thread::spawn(move || match io::copy(&mut source, &mut pipe) {
        // It ended early; its status and its output tell more than this.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        copied => copied.map(drop),
    })))
}

fn watch(
    program: &Program,
    child: &mut Child,
    out: &Path,
) -> Result<Option<JoinHandle<io::Result<Option<f64>>>>> {
    if program.output != Output::Watched {
        return Ok(None);
    }
    let pipe = child.stdout.take().context("no pipe from its stdout")?;
    let file = File::create(out)?;
    Ok(Some(thread::spawn(move || lines_per_second(pipe, file))))
}

/// Copies `pipe` to `file` and tells how fast lines came after those which came first.
fn lines_per_second(mut pipe: impl Read, mut file: impl Write) -> io::Result<Option<f64>> {
    let mut buffer = vec![0; 1 << 16];
    let mut first = None;
    let mut later = (0, Duration::ZERO);
    loop {
        let length = pipe.read(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        let lines = bytes.split(|&byte| byte == b'\n').count() - 1;
        match first {
            None => first = Some(Instant::now()),
            Some(then) => later = (later.0 + lines, then.elapsed()),
        }
        file.write_all(bytes)?;
    }
    Ok((later.0 > 0).then(|| later.0 as f64 / later.1.as_secs_f64()))
}

/// Waits for the end; a program that takes too long is killed.
fn wait(child: &mut Child) -> Result<ResUse> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let is_late = end.recv_timeout(LONGEST_RUN) == Err(RecvTimeoutError::Timeout);
        // The number is still its own: `ended` closes as soon as it has been waited for.
        is_late && kill(pid, Signal::SIGKILL).is_ok()
    });
    let used = child.wait4().context("waiting for its end");
    drop(ended);
    if watchdog.join().unwrap_or_default() {
        bail!("no end after {} s", LONGEST_RUN.as_secs());
    }
    used
}
