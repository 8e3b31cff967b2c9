//! Processes, seen from outside: which ones belong to a test, and how much memory one uses.

use std::fs;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// An environment variable that all processes of one test have, and nobody else.
pub(crate) struct Marker {
    value: String,
}

impl Marker {
    pub(crate) const NAME: &str = "POOLMAP_TEST";

    pub(crate) fn new(number: u32) -> Self {
        Self { value: format!("{}.{number}", std::process::id()) }
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }

    /// All processes that have it and have not ended.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let wanted = format!("{}={}", Self::NAME, self.value);
        let has_it = |pid: &Pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        all().filter(has_it).collect()
    }

    pub(crate) fn kill_all(&self) {
        for process in self.processes() {
            // It may have ended since.
            let _gone = signal::kill(process, Signal::SIGKILL);
        }
    }
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw)
}

/// The most memory that a process has had resident so far, in bytes.
pub(crate) fn peak_rss_bytes(process: Pid) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}
