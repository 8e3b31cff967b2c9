//! What a cluster costs: `cargo run --release -p poolmap-bench --bin cluster`.
//!
//! Prints a table in Markdown, for `bench/README.md`. The binaries that are measured are those beside this program. All
//! traffic is on the loopback of this machine, over TLS.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

mod idle;
mod limits;

const TUPLES: usize = 1_000_000;
const IDLE_WORKERS: usize = 1_000;
/// Time after which what is waited for will not happen.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Args {
    /// Runs of which the median is told
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Workers that idle
    #[arg(long, default_value_t = IDLE_WORKERS)]
    workers: usize,
    /// Interpreter of Python functions
    #[arg(long, default_value = "python3")]
    python: String,
    /// Only these rows
    #[arg(long, value_delimiter = ',', default_value = "tuples,killed,idle,limits")]
    rows: Vec<String>,
}

/// Where things are.
struct Bench {
    args: Args,
    poolmap: PathBuf,
    native: PathBuf,
    scratch: tempfile::TempDir,
}

/// A process that is killed when this is dropped.
struct Service(Child);

fn main() -> Result<()> {
    let this = std::env::current_exe()?;
    let bench = Bench {
        args: Args::parse(),
        poolmap: this.with_file_name("poolmap"),
        native: this.with_file_name("poolmap-example-native"),
        scratch: tempfile::tempdir()?,
    };
    let mut table = String::from("| work | goal | measured |\n|---|---|---|\n");
    for row in &bench.args.rows {
        match row.as_str() {
            "tuples" => bench.tuples(&mut table)?,
            "killed" => bench.killed_worker(&mut table)?,
            "limits" => bench.limits(&mut table)?,
            "idle" => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(bench.idle_workers(&mut table))?;
            }
            _ => anyhow::bail!("no row is called {row:?}"),
        }
    }
    io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Starts a coordinator in a folder of its own.
    fn coordinator(&self, folder: &str, words: &str) -> Result<Service> {
        let mut command = Command::new(&self.poolmap);
        command.args(["coordinator", "--listen", "127.0.0.1:0", "--folder"]).arg(self.path(folder));
        command.args(words.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut service = Service(command.spawn().context("starting a coordinator")?);
        let mut line = String::new();
        BufReader::new(service.0.stdout.as_mut().context("it has no stdout")?).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the coordinator ended");
        Ok(service)
    }

    fn worker(&self, program: &Path, folder: &str, words: &str) -> Result<Service> {
        let mut command = Command::new(program);
        command.args(["worker", "--slots", "1", "--access"]).arg(self.path(folder).join("worker.access"));
        let child = command.args(words.split_whitespace()).stderr(Stdio::null()).spawn();
        Ok(Service(child.context("starting a worker")?))
    }

    fn client(&self, program: &Path, folder: &str, words: &str) -> Command {
        let mut command = Command::new(program);
        command.env("POOLMAP_ACCESS", self.path(folder).join("client.access"));
        command.args(words.split_whitespace());
        command
    }

    /// Waits until so many workers have joined.
    fn joined(&self, folder: &str, count: usize) -> Result<()> {
        until("workers to join", || Ok((self.workers(folder)? >= count).then_some(())))
    }

    /// Waits until all workers are gone.
    fn left(&self, folder: &str) -> Result<()> {
        until("workers to be gone", || Ok((self.workers(folder)? == 0).then_some(())))
    }

    fn workers(&self, folder: &str) -> Result<usize> {
        let output = self.client(&self.poolmap, folder, "workers --json").output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count())
    }

    fn tuples_file(&self) -> Result<PathBuf> {
        let input = self.path("tuples.jsonl");
        let lines: Vec<_> = (0..TUPLES).map(|i| format!("[{i},{},{}]\n", i + 1, i + 2)).collect();
        fs::write(&input, lines.concat())?;
        Ok(input)
    }

    fn tuples(&self, table: &mut String) -> Result<()> {
        let input = self.tuples_file()?;
        let folder = "tuples";
        let _coordinator = self.coordinator(folder, "")?;
        let _workers =
            [self.worker(&self.native, folder, "--name a")?, self.worker(&self.native, folder, "--name b")?];
        self.joined(folder, 2)?;
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..self.args.runs {
            let timed = |words| self.timed(&self.native, &input, folder, words, TUPLES);
            here.push(timed("run --workers 2 -j1 --backend process native:do_work")?);
            there.push(timed("submit native:do_work")?);
        }
        let ratios = here.iter().zip(&there).map(|(here, there)| here / there).collect();
        writeln!(
            table,
            "| {TUPLES} tuples of a Rust function: `submit`, a coordinator and two workers over TLS, beside `run --workers 2` | ≥ 0.8 × | {:.2} × ({:.0} tasks/s) |",
            median(ratios),
            TUPLES as f64 / median(there),
        )?;
        Ok(())
    }

    /// Seconds of a whole command.
    fn timed(&self, program: &Path, input: &Path, folder: &str, words: &str, tasks: usize) -> Result<f64> {
        let out = self.path("out.jsonl");
        let begun = Instant::now();
        let status = self.client(program, folder, words).arg(input).arg("-o").arg(&out).status()?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(status.success(), "{words}: {status}");
        let results = fs::read_to_string(&out)?.lines().count();
        ensure!(results == tasks, "{results} results");
        Ok(seconds)
    }

    /// How soon the task of a worker that is killed begins elsewhere.
    fn killed_worker(&self, table: &mut String) -> Result<()> {
        let folder = "killed";
        let _coordinator = self.coordinator(folder, "")?;
        let (input, trace, program) = (self.path("sleeps.jsonl"), self.path("trace"), self.path("sleeps.py"));
        fs::write(&program, sleeps(&trace))?;
        fs::write(&input, (0..2_000).map(|task| format!("[{task}]\n")).collect::<Vec<_>>().concat())?;
        let mut times = Vec::new();
        for _ in 0..self.args.runs {
            fs::write(&trace, "")?;
            let mut dies = self.worker(&self.poolmap, folder, "--name dies")?;
            self.joined(folder, 1)?;
            let mut command = self.client(&self.poolmap, folder, "submit --output value");
            let function = format!("{}:work", program.display());
            let mut job = Service(command.arg(function).arg(&input).stdout(Stdio::null()).spawn()?);
            // The first task keeps the worker that was alone; the other one runs all the rest.
            begun(&trace, "0 1")?;
            let mut stays = self.worker(&self.poolmap, folder, "--name stays")?;
            begun(&trace, "5 1")?;
            let killed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
            dies.0.kill()?;
            times.push(begun(&trace, "0 2")? - killed);
            kill(Pid::from_raw(job.0.id().cast_signed()), Signal::SIGINT)?;
            job.0.wait()?;
            stays.0.kill()?;
            self.left(folder)?;
        }
        let longest = times.iter().copied().fold(0.0, f64::max);
        writeln!(
            table,
            "| from SIGKILL of a worker to its task running on another one | ≤ 1 s | median {:.2} s, longest {longest:.2} s |",
            median(times),
        )?;
        Ok(())
    }
}

/// A function that writes down which attempt of which task begins when. Task 0 lasts, the first time.
fn sleeps(trace: &Path) -> String {
    format!(
        r#"import os, time
def work(task):
    attempt = os.environ["POOLMAP_ATTEMPT"]
    with open("{}", "a") as trace:
        print(task, attempt, time.time(), file=trace)
    time.sleep(3600 if (task, attempt) == (0, "1") else 0.05)
"#,
        trace.display()
    )
}

/// Waits until a task has begun, `"INDEX ATTEMPT"`; returns when that was, in seconds since 1970.
fn begun(trace: &Path, task: &str) -> Result<f64> {
    until(&format!("the beginning of {task}"), || {
        let text = fs::read_to_string(trace)?;
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines.find(|(begun, _)| *begun == task).map(|(_, time)| Ok(time.parse()?)).transpose()
    })
}

fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    anyhow::bail!("waited in vain for {what}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// CPU time that a process has used.
fn cpu_seconds(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no such process")?;
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    Ok(ticks as f64 / per_second as f64)
}

fn resident_bytes(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no such process")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}
