//! Which process plays which part, and what tasks wrote down about themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::language::{Line, Ran, Running, eventually, program};

/// Longest wait for something that takes a fraction of a second on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Appends `task` and the attempt to the file `trace`, in one write.
pub(crate) const TRACE: &str = "
import os, signal, subprocess, sys, threading, time
ATTEMPT = lambda: int(os.environ['POOLMAP_ATTEMPT'])
def trace(task):
    with open('trace', 'ab', buffering=0) as file: file.write(b'%d %d\\n' % (task, ATTEMPT()))
";

/// A Python function that may use `trace`.
pub(crate) fn traced(source: &str, words: &str) -> Line {
    crate::language::python(&format!("{TRACE}{source}"), words)
}

/// The binary with the functions of `tests/src/main.rs`.
pub(crate) fn native(words: &str) -> Line {
    program(Path::new(env!("CARGO_BIN_EXE_poolmap-test-native"))).words(words)
}

/// How often each task has begun.
pub(crate) fn begun(ran: &Ran) -> BTreeMap<u64, usize> {
    let mut begun = BTreeMap::new();
    for line in ran.file("trace").lines() {
        let task = line.split(' ').next().unwrap().parse().unwrap();
        *begun.entry(task).or_default() += 1;
    }
    begun
}

/// The processes of a command by their parts, the command itself left out.
pub(crate) struct Cast {
    /// One beside each worker, soon after its start.
    keepers: usize,
    pub(crate) workers: Vec<Pid>,
    /// Direct children of the workers.
    pub(crate) children: Vec<Pid>,
    /// What those have started.
    pub(crate) others: Vec<Pid>,
}

impl Cast {
    pub(crate) fn of(running: &Running) -> Self {
        let (mut keepers, mut workers, mut rest) = (0, Vec::new(), Vec::new());
        for process in running.processes() {
            match subcommand(process).as_slice() {
                b"worker" => workers.push(process),
                b"keeper" => keepers += 1,
                _ if process == running.process_id() => {}
                _ => rest.push(process),
            }
        }
        let (children, others) = rest
            .into_iter()
            .partition(|process| parent(*process).is_some_and(|parent| workers.contains(&parent)));
        Self { keepers, workers, children, others }
    }

    /// Waits until there are at least so many of each, and all workers have their keepers.
    pub(crate) fn eventually(running: &Running, workers: usize, children: usize, others: usize) -> Self {
        eventually("all processes are there", SOON, || {
            let cast = Self::of(running);
            let is_there = cast.workers.len() >= workers
                && cast.keepers >= workers
                && cast.children.len() >= children
                && cast.others.len() >= others;
            is_there.then_some(cast)
        })
    }
}

/// Sends a signal to a process that may be gone; returns whether it was there.
pub(crate) fn send(process: Pid, signal: Signal) -> bool {
    signal::kill(process, signal).is_ok()
}

/// Waits until a file in the folder of a command that runs has so many lines.
pub(crate) fn eventually_lines(running: &Running, name: &str, count: usize) -> Vec<String> {
    let path = format!("/proc/{}/cwd/{name}", running.process_id());
    eventually(&format!("{count} lines in {name}"), SOON, || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// The first argument of a process.
fn subcommand(process: Pid) -> Vec<u8> {
    let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1).unwrap_or_default().to_vec()
}

/// The process that started this one, or has inherited it.
pub(crate) fn parent(process: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok().map(Pid::from_raw)
}
