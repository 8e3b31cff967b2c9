//! The resident memory of a running process, looked at again and again.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

const EVERY: Duration = Duration::from_millis(50);

/// What a process held at one moment.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct MemorySample {
    pub(crate) second: f64,
    pub(crate) rss_bytes: u64,
    /// The most it has held until then, so that no peak is missed between two looks.
    pub(crate) peak_rss_bytes: u64,
}

/// A thread that looks until it is told to stop.
pub(crate) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Vec<MemorySample>>,
}

impl Sampler {
    pub(crate) fn start(pid: u32) -> Self {
        let (stop, stopped) = mpsc::channel();
        let started = Instant::now();
        let thread = thread::spawn(move || {
            let mut samples = Vec::new();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                samples.extend(look(pid, started.elapsed()));
            }
            samples
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Vec<MemorySample> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

fn look(pid: u32, after: Duration) -> Option<MemorySample> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(MemorySample {
        second: after.as_secs_f64(),
        rss_bytes: kib(&status, "VmRSS:")? * 1024,
        peak_rss_bytes: kib(&status, "VmHWM:")? * 1024,
    })
}

fn kib(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// How many bytes the process held more at the end than near the beginning: medians of the last and of the second tenth of its life.
pub(crate) fn growth_bytes(samples: &[MemorySample]) -> Option<f64> {
    let tenth = samples.len() / 10;
    let median = |part: &[MemorySample]| {
        let mut sizes: Vec<u64> = part.iter().map(|sample| sample.rss_bytes).collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).map(|&bytes| bytes as f64)
    };
    Some(median(samples.get(samples.len() - tenth..)?)? - median(samples.get(tenth..2 * tenth)?)?)
}
