//! Processes, seen from outside: which ones belong to a test, and how much memory one uses.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// An environment variable that all processes of one test have, and nobody else.
pub struct Marker {
    value: String,
}

impl Marker {
    /// The variable's name.
    pub const NAME: &str = "POOLMAP_TEST";

    /// One that no other test has.
    pub fn unique() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Self { value: format!("{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// The variable's value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// All processes that have it and have not ended.
    pub fn processes(&self) -> Vec<Pid> {
        let wanted = format!("{}={}", Self::NAME, self.value);
        let has_it = |pid: &Pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        all().filter(has_it).collect()
    }

    /// Kills them.
    pub fn kill_all(&self) {
        for process in self.processes() {
            send(process, Signal::SIGKILL);
        }
    }
}

fn all() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw)
}

/// Sends a signal to a process that may be gone; returns whether it was there.
pub fn send(process: Pid, signal: Signal) -> bool {
    signal::kill(process, signal).is_ok()
}

/// The process that started this one, or has inherited it.
pub fn parent(process: Pid) -> Option<Pid> {
    status(process, "PPid:")?.parse().ok().map(Pid::from_raw)
}

/// The most memory that a process has had resident so far, in bytes.
pub fn peak_rss_bytes(process: Pid) -> Option<u64> {
    Some(status(process, "VmHWM:")?.trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// What the kernel says of a process under this name.
fn status(process: Pid, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}
