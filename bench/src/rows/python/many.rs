//! Many tiny tasks, by each of the ways to hand them over.

use anyhow::Result;

use super::with_package;
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs::pokemon;
use crate::metric::Metric;
use crate::setup::Tools;

const TASKS: usize = 100_000;
const MAPPED: usize = 1_000_000;

const PROCESSES: &str = "ProcessPoolExecutor.submit, as_completed";
const THREADS: &str = "ThreadPoolExecutor.submit, as_completed";
const DEFAULT: &str = "ProcessPoolExecutor.map, 100,000 tasks";
const CHUNKS: &str = "ProcessPoolExecutor.map, chunksize=1000";

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn submit(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let contenders = vec![
        contender(tools, "poolmap.Executor.submit, as_completed", "submit-poolmap", count),
        contender(tools, PROCESSES, "submit-processes", count),
        contender(tools, THREADS, "submit-threads", count),
    ];
    Ok(row(contenders, vec![Goal::Times(7.0, PROCESSES), Goal::Times(1.0, THREADS)]))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn map(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(MAPPED);
    let contenders = vec![
        contender(tools, "poolmap.Executor.map", "map-poolmap", count),
        contender(tools, CHUNKS, "map-chunks", count),
        contender(tools, DEFAULT, "map-processes", tools.tasks(TASKS)),
    ];
    Ok(row(contenders, vec![Goal::Times(1.0, CHUNKS), Goal::Times(50.0, DEFAULT)]))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn apply_async(tools: &Tools) -> Result<Row> {
    Ok(one_by_one(tools, ["poolmap.Pool.apply_async, get", "Pool.apply_async, get"], "apply"))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn starmap_async(tools: &Tools) -> Result<Row> {
    Ok(one_by_one(tools, ["poolmap.Pool.starmap_async, get", "Pool.starmap_async, get"], "starmap"))
}

fn one_by_one(tools: &Tools, [ours, theirs]: [&'static str; 2], method: &str) -> Row {
    let count = tools.tasks(TASKS);
    let contenders = vec![
        contender(tools, ours, &format!("{method}-poolmap"), count),
        contender(tools, theirs, &format!("{method}-pool"), count),
    ];
    row(contenders, vec![Goal::Times(2.5, theirs)])
}

fn contender(tools: &Tools, name: &'static str, kind: &str, count: usize) -> Contender {
    let program = with_package(tools, "python_many.py").map(|script| script.arg(kind).arg(count.to_string()));
    Contender { name, program, check: check::lines((0..count).map(pokemon)) }
}

fn row(contenders: Vec<Contender>, goals: Vec<Goal>) -> Row {
    let metric = Metric::reported_rate("tasks/s", "tasks_per_s");
    Row { metric, also: vec![], contenders, goals, rounds_factor: 1 }
}
