//! The rows of the table: which work, which contenders, what to reach. One file per kind of work.

mod clusters;
mod commands;
mod latency;
mod payload;
mod python;
mod queue;
mod recycle;
mod start;
mod tuples;
mod uneven;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::contest::Row;
use crate::process::{Output, Program};
use crate::setup::{SLOTS, Tools, need};

/// A row before anything is prepared for it.
pub(crate) struct RowEntry {
    /// The number of the work, with a letter where it has variants.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// Writes the inputs and puts the command lines together.
    pub(crate) build: fn(&Tools) -> Result<Row>,
}

impl RowEntry {
    /// `4` calls both `4a` and `4b`.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.id == name || self.id.trim_end_matches(char::is_alphabetic) == name
    }
}

/// All rows, in the order of the table.
pub(crate) const ALL: &[RowEntry] = &[
    RowEntry {
        id: "1",
        title: "1,000,000 tuples of a Python function, JSON Lines to JSON Lines",
        build: tuples::python,
    },
    RowEntry { id: "2", title: "the same of a Rust function", build: tuples::native },
    RowEntry {
        id: "3a",
        title: "four tuples of a Python function, whole command",
        build: start::function_row,
    },
    RowEntry { id: "3b", title: "four tuples of a command, whole command", build: start::command_row },
    RowEntry { id: "4a", title: "`true` 3,000 times", build: commands::run },
    RowEntry { id: "4b", title: "`echo {1} {2} {3}` 3,000 times, output captured", build: commands::capture },
    RowEntry { id: "5a", title: "2,000 uneven tasks, shuffled", build: uneven::shuffled },
    RowEntry { id: "5b", title: "2,000 uneven tasks, long ones last", build: uneven::long_last },
    RowEntry { id: "6", title: "500 tasks of 1 ms with numpy, a new child every 10", build: recycle::row },
    RowEntry { id: "7", title: "one task at a time, each waited for", build: latency::row },
    RowEntry { id: "8", title: "2,000 tasks of 100 kB in and out", build: payload::row },
    RowEntry {
        id: "9a",
        title: "10,000,000 tuples from a file: memory of the main process",
        build: queue::file,
    },
    RowEntry {
        id: "9b",
        title: "10,000,000 tuples from a pipe: memory of the main process",
        build: queue::pipe,
    },
    RowEntry {
        id: "11",
        title: "Python: 100,000 futures, taken as they complete",
        build: python::many::submit,
    },
    RowEntry { id: "12", title: "Python: `map` over 1,000,000 tuples", build: python::many::map },
    RowEntry {
        id: "13a",
        title: "Python: `Pool.apply_async`, 100,000 calls",
        build: python::many::apply_async,
    },
    RowEntry {
        id: "13b",
        title: "Python: `Pool.starmap_async`, 100,000 calls with one tuple each",
        build: python::many::starmap_async,
    },
    RowEntry { id: "14", title: "Python: one task at a time, each waited for", build: python::latency::row },
    RowEntry { id: "15a", title: "Python: four tuples, whole script", build: python::start::executor },
    RowEntry {
        id: "15b",
        title: "Python: four calls in the calling process, whole script",
        build: python::start::run_jobs,
    },
    RowEntry {
        id: "16a",
        title: "Python: 2,000 tasks of 100 kB of bytes each way",
        build: python::large::bytes,
    },
    RowEntry {
        id: "16b",
        title: "Python: 200 tasks of a numpy array of 10 MB each way",
        build: python::large::arrays,
    },
    RowEntry {
        id: "17",
        title: "Python: 500 tasks of 1 ms with numpy, a new child every 10",
        build: python::recycling::row,
    },
    RowEntry {
        id: "18",
        title: "Python: memory of 1,000,000 futures that wait",
        build: python::waiting::row,
    },
    RowEntry {
        id: "20",
        title: "tiny Python functions on a running cluster of two workers",
        build: clusters::functions,
    },
    RowEntry { id: "21", title: "`true` on a running cluster of two workers", build: clusters::commands },
];

/// `poolmap run -j2`, of the binary at `path`, with its results on stdout.
fn poolmap_run(path: &Result<PathBuf>) -> Result<Program> {
    Ok(Program::new(need(path)?).args("run -j").arg(SLOTS.to_string()))
}

/// The same of a Python function in one of the peers' files, run by the peers' own interpreter.
fn poolmap_function(tools: &Tools, file: &str, name: &str) -> Result<Program> {
    Ok(poolmap_run(&tools.poolmap)?.arg("--python").arg(&tools.python).arg(function(tools, file, name)))
}

/// With the input file as a further argument, and `-o OUT`.
fn from_file_to_file(tools: &Tools, program: Program, input: &Path) -> Program {
    program.arg(input).arg("-o").arg(tools.scratch.join("out")).output(Output::Named)
}

/// A peer's script, run by that interpreter.
fn script(tools: &Tools, name: &str) -> Program {
    Program::new(&tools.python).arg(tools.peers.join(name))
}

/// A script which is given an input and an output file.
fn script_on(tools: &Tools, name: &str, input: &Path) -> Program {
    script(tools, name).arg(input).arg(tools.scratch.join("out")).output(Output::Named)
}

/// A function in one of the peers' files, as poolmap is told of it.
fn function(tools: &Tools, file: &str, name: &str) -> String {
    format!("{}:{name}", tools.peers.join(file).display())
}
