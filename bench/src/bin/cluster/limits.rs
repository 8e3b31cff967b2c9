//! What goes through one coordinator in a second, and what a task costs it in processor time.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{Bench, TUPLES, cpu_seconds, median};

const PAYLOADS: usize = 2_000;
const PAYLOAD_BYTES: usize = 100_000;

/// A job to put through a coordinator.
#[derive(Clone, Copy)]
struct Work<'a> {
    title: &'a str,
    /// The program of the workers and of the client.
    program: &'a Path,
    workers: usize,
    function: &'a str,
    input: &'a Path,
    tasks: usize,
    /// The bytes of a task's argument; its value has as many.
    payload_bytes: usize,
}

impl Bench {
    pub(crate) fn limits(&self, table: &mut String) -> Result<()> {
        let tuples = self.tuples_file()?;
        let payloads = self.path("payloads.jsonl");
        let payload = format!("[\"{}\"]\n", "x".repeat(PAYLOAD_BYTES));
        fs::write(&payloads, payload.repeat(PAYLOADS))?;
        let python = |name: &str| format!("{}:{name}", tasks_file().display());
        let (do_work, same) = (python("do_work"), python("same"));
        let rust = Work {
            title: "tuples of a Rust function",
            program: &self.native,
            workers: 1,
            function: "native:do_work",
            input: &tuples,
            tasks: TUPLES,
            payload_bytes: 0,
        };
        let tiny =
            Work { title: "tuples of a Python function", program: &self.poolmap, function: &do_work, ..rust };
        let large = Work {
            title: "strings of 100 kB there and back",
            function: &same,
            input: &payloads,
            tasks: PAYLOADS,
            payload_bytes: PAYLOAD_BYTES,
            ..tiny
        };
        for work in [rust, tiny, large] {
            for workers in [1, 2] {
                self.limit(table, &Work { workers, ..work })?;
            }
        }
        Ok(())
    }

    fn limit(&self, table: &mut String, work: &Work<'_>) -> Result<()> {
        let &Work { title, program, workers, function, input, tasks, payload_bytes } = work;
        let folder = format!("limit-{workers}-{}", title.replace(' ', "-"));
        let coordinator = self.coordinator(&folder, "")?;
        let _workers = (0..workers)
            .map(|number| {
                self.worker(program, &folder, &format!("--name {number} --python {}", self.args.python))
            })
            .collect::<Result<Vec<_>>>()?;
        self.joined(&folder, workers)?;
        let command = format!("submit {function}");
        self.timed(program, input, &folder, &command, tasks)?;
        let cpu = cpu_seconds(coordinator.0.id())?;
        let times = (0..self.args.runs)
            .map(|_| self.timed(program, input, &folder, &command, tasks))
            .collect::<Result<Vec<_>>>()?;
        let cpu_us = (cpu_seconds(coordinator.0.id())? - cpu) * 1e6 / (times.len() * tasks) as f64;
        let seconds = median(times);
        let rate = tasks as f64 / seconds;
        let megabytes = rate * 2.0 * payload_bytes as f64 / 1e6;
        let bytes = if payload_bytes == 0 { String::new() } else { format!(", {megabytes:.0} MB/s") };
        writeln!(
            table,
            "| {tasks} {title}, workers of one slot: {workers} | | {rate:.0} tasks/s{bytes}; {cpu_us:.3} µs of the coordinator's processor time a task |"
        )?;
        Ok(())
    }
}

fn tasks_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/tasks.py")
}
