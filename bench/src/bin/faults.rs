//! What deaths and leaks cost: `cargo run --release -p poolmap-bench --bin faults`.
//!
//! Prints a table in Markdown, for `bench/README.md`. The poolmap that is measured is the one beside this program, the
//! interpreter the one in `--python`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const TASKS: usize = 10_000;
const LEAKING_TASKS: usize = 200;
const LEAK_MB: usize = 10;
/// Between two looks at the memory of all children.
const LOOK_EVERY: Duration = Duration::from_millis(2);
const TICK_MS: u32 = 2;
/// Tasks that are seen to end between two kills, so that the pool is at rest.
const CALM_TASKS: usize = 10;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value = "python3")]
    python: String,
    /// Runs of which the median is told
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Children that are killed to see how soon their slot goes on
    #[arg(long, default_value_t = 40)]
    kills: usize,
}

/// Where things are.
struct Bench {
    args: Args,
    poolmap: PathBuf,
    functions: PathBuf,
    scratch: tempfile::TempDir,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bench = Bench {
        args,
        poolmap: std::env::current_exe()?.with_file_name("poolmap"),
        functions: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/faults.py"),
        scratch: tempfile::tempdir()?,
    };
    let mut table = String::from("| work | goal | measured |\n|---|---|---|\n");
    for milliseconds in [0, 1] {
        let (clean, deadly) = bench.death_among_others(milliseconds)?;
        writeln!(
            table,
            "| a task of {milliseconds} ms CPU time that kills its child, three times, among {TASKS} | ≤ 1.5 × | {:.2} × ({deadly:.2} s, clean {clean:.2} s) |",
            deadly / clean,
        )?;
    }
    writeln!(
        table,
        "| {LEAKING_TASKS} tasks that leak {LEAK_MB} MB each, `--max-tasks-per-child 5 -j2`: most memory of all children | ≤ 200 MB | {} MB |",
        bench.leak()? / 1_000_000,
    )?;
    for (name, options, goal_ms) in
        [("a child without heavy imports", &[][..], 50), ("a forked child", &["--preload", "json"], 10)]
    {
        let times = bench.replacements(options)?;
        let quantile = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        writeln!(
            table,
            "| from SIGKILL of {name} to the next task of its slot | p50 ≤ {goal_ms} ms | p50 {:.1} ms, p90 {:.1} ms, of {} |",
            quantile(50).as_secs_f64() * 1e3,
            quantile(90).as_secs_f64() * 1e3,
            times.len(),
        )?;
    }
    io::stdout().write_all(table.as_bytes())?;
    Ok(())
}

impl Bench {
    /// `poolmap run` of a function over these lines.
    fn run(&self, function: &str, options: &[&str], lines: impl Iterator<Item = String>) -> Result<Child> {
        let input = self.scratch.path().join("tasks.jsonl");
        fs::write(&input, lines.collect::<Vec<_>>().join("\n"))?;
        let mut command = Command::new(&self.poolmap);
        command.args(["run", "--python", &self.args.python, "--progress", "never"]);
        command.arg(format!("{}:{function}", self.functions.display())).arg(&input).args(options);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        child.with_context(|| format!("starting {}", self.poolmap.display()))
    }

    /// Seconds of the whole command, with nothing wrong and with one task that kills its child.
    fn death_among_others(&self, milliseconds: u32) -> Result<(f64, f64)> {
        let seconds = |deadly: Option<usize>| {
            let number = deadly.map_or_else(|| "null".to_owned(), |task| task.to_string());
            let tasks = (0..TASKS).map(|task| format!("[{task},{number},{milliseconds}]"));
            let started = Instant::now();
            let output = self.run("work", &["-j2"], tasks)?.wait_with_output()?;
            let values = output.stdout.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"}"));
            let values = values.filter(|line| line.windows(8).any(|window| window == b"\"value\":")).count();
            let expected = TASKS - usize::from(deadly.is_some());
            ensure!(values == expected, "{values} values instead of {expected}");
            Ok(started.elapsed().as_secs_f64())
        };
        let (mut clean, mut deadly) = (Vec::new(), Vec::new());
        for _ in 0..self.args.runs {
            clean.push(seconds(None)?);
            deadly.push(seconds(Some(TASKS / 2))?);
        }
        Ok((median(clean), median(deadly)))
    }

    /// The most bytes that all children together had resident, of all looks.
    fn leak(&self) -> Result<u64> {
        let tasks = (0..LEAKING_TASKS).map(|_| format!("[{LEAK_MB}]"));
        let child = self.run("leak", &["-j2", "--max-tasks-per-child", "5"], tasks)?;
        let (command, has_ended) = (child.id(), Arc::new(AtomicBool::new(false)));
        let looker = thread::spawn({
            let has_ended = has_ended.clone();
            move || {
                let mut most = 0;
                while !has_ended.load(Ordering::Relaxed) {
                    most = most.max(children(command).into_iter().filter_map(rss_bytes).sum());
                    thread::sleep(LOOK_EVERY);
                }
                most
            }
        });
        let output = child.wait_with_output()?;
        has_ended.store(true, Ordering::Relaxed);
        ensure!(output.status.success(), "{}", output.status);
        looker.join().map_err(|_panic| anyhow::anyhow!("the looks at the memory ended early"))
    }

    /// How long after the kill of the only child its successor began a task, in order.
    fn replacements(&self, options: &[&str]) -> Result<Vec<Duration>> {
        // More than enough; the rest is of no interest.
        let tasks = (0..self.args.kills * 1000).map(|_| format!("[{TICK_MS}]"));
        let options = [&["-j1", "--crash-limit", "1000"], options].concat();
        let mut child = self.run("tick", &options, tasks)?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut ticks = BufReader::new(stdout).lines().map(|line| tick(&line?));
        let mut times = Vec::new();
        for _ in 0..self.args.kills {
            let calm = ticks.by_ref().take(CALM_TASKS).last().context("it ended early")??;
            let killed_at = SystemTime::now();
            kill(Pid::from_raw(calm.0), Signal::SIGKILL)?;
            let next = ticks.find(|tick| tick.as_ref().map_or(true, |tick| tick.0 != calm.0));
            let (_, began) = next.context("it ended early")??;
            times.push(began.duration_since(killed_at)?);
        }
        child.kill()?;
        child.wait()?;
        times.sort_unstable();
        Ok(times)
    }
}

/// Which child, and when it began.
fn tick(line: &str) -> Result<(i32, SystemTime)> {
    #[derive(serde::Deserialize)]
    struct Outcome {
        value: (i32, u64),
    }
    let Outcome { value: (child, began_ns) } = serde_json::from_str(line)?;
    Ok((child, SystemTime::UNIX_EPOCH + Duration::from_nanos(began_ns)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Children of the workers of a command.
fn children(command: u32) -> Vec<u32> {
    started_by(command).into_iter().flat_map(started_by).collect()
}

fn started_by(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn rss_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
