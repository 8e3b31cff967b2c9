//! Which process of a command plays which part.

use std::fs;

use nix::unistd::Pid;

use crate::language::{Running, SOON, eventually};
use crate::processes::parent;

/// The processes of a command by their parts, the command itself left out.
pub struct Cast {
    /// One beside each worker, soon after its start.
    keepers: usize,
    /// Workers that the command has started.
    pub workers: Vec<Pid>,
    /// Direct children of the workers.
    pub children: Vec<Pid>,
    /// What those have started.
    pub others: Vec<Pid>,
}

impl Cast {
    /// As it is at this moment.
    pub fn of(running: &Running) -> Self {
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
    pub fn eventually(running: &Running, workers: usize, children: usize, others: usize) -> Self {
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

/// The first argument of a process.
fn subcommand(process: Pid) -> Vec<u8> {
    let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).nth(1).unwrap_or_default().to_vec()
}
