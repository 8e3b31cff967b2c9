//! What the numbers were measured on.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use crate::setup::{Tools, run};

/// Processor, system and the versions of all that took part.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpus: usize,
    processor: String,
    memory_gib: u64,
    kernel: String,
    versions: Vec<String>,
}

impl Machine {
    pub(crate) fn look(tools: &Tools) -> Result<Self> {
        let mut versions = vec![format!("poolmap {}", env!("CARGO_PKG_VERSION"))];
        versions.push(run(Command::new("rustc").arg("--version"))?);
        let python = "import sys, joblib, numpy; print(f'Python {sys.version.split()[0]}, joblib {joblib.__version__}, numpy {numpy.__version__}')";
        versions.push(run(Command::new(&tools.python).args(["-c", python]))?);
        for tool in [&tools.parallel, &tools.xargs].into_iter().flatten() {
            versions.extend(run(Command::new(tool).arg("--version"))?.lines().next().map(str::to_owned));
        }
        Ok(Self {
            cpus: std::thread::available_parallelism()?.get(),
            processor: field("/proc/cpuinfo", "model name"),
            memory_gib: field("/proc/meminfo", "MemTotal")
                .trim_end_matches(" kB")
                .parse::<u64>()
                .unwrap_or(0)
                >> 20,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            versions,
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { cpus, processor, memory_gib, kernel, versions } = self;
        format!("{cpus} × {processor}, {memory_gib} GiB, Linux {kernel}; {}", versions.join(", "))
    }
}

/// How much the processors have done until now, all of it and for this program and what it started.
pub(crate) struct Clock {
    now: Instant,
    busy_s: f64,
    own_s: f64,
}

impl Clock {
    pub(crate) fn read() -> Self {
        let own = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(cpu_s);
        Self { now: Instant::now(), busy_s: busy_s().unwrap_or(0.0), own_s: own.iter().sum() }
    }

    /// The share of all processors' time between the two readings that strangers used, neighbours of a virtual machine among them.
    pub(crate) fn others_share_since(&self, before: &Self) -> f64 {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let others_s = (self.busy_s - before.busy_s) - (self.own_s - before.own_s);
        others_s.max(0.0) / (cpus as f64 * (self.now - before.now).as_secs_f64())
    }
}

fn cpu_s(who: UsageWho) -> f64 {
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    getrusage(who).map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Time of all processors that was not idle: all fields of the first line but the fourth and fifth, in hundredths of a second,
/// without the guests', which are in the first two already.
fn busy_s() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let is_busy = |place: usize| place != 3 && place != 4;
    Some(ticks.iter().enumerate().filter(|&(place, _)| is_busy(place)).map(|(_, ticks)| ticks / 100.0).sum())
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    value.unwrap_or("unknown").trim().to_owned()
}
