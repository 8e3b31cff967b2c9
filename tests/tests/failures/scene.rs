//! What tasks wrote down about themselves.

use std::collections::BTreeMap;
use std::fs;

use poolmap_tests::language::{Line, Ran, Running, SOON, eventually, python};

/// Appends `task` and the attempt to the file `trace`, in one write.
pub(crate) const TRACE: &str = "
import os, signal, subprocess, sys, threading, time
ATTEMPT = lambda: int(os.environ['POOLMAP_ATTEMPT'])
def trace(task):
    with open('trace', 'ab', buffering=0) as file: file.write(b'%d %d\\n' % (task, ATTEMPT()))
";

/// A Python function that may use `trace`.
pub(crate) fn traced(source: &str, words: &str) -> Line {
    python(&format!("{TRACE}{source}"), words)
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

/// Waits until a file in the folder of a command that runs has so many lines.
pub(crate) fn eventually_lines(running: &Running, name: &str, count: usize) -> Vec<String> {
    let path = format!("/proc/{}/cwd/{name}", running.process_id());
    eventually(&format!("{count} lines in {name}"), SOON, || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}
