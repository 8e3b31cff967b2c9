//! Futures that wait: what each costs in memory.

use anyhow::Result;

use super::with_package;
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs::pokemon;
use crate::metric::Metric;
use crate::setup::Tools;

const TASKS: usize = 1_000_000;
/// So many of them run in the end, the others are cancelled.
const RUN: usize = 100;
const PROCESSES: &str = "ProcessPoolExecutor";

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn row(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let contender = |name, kind: &str| {
        let script = with_package(tools, "python_waiting.py");
        let program = script.map(|script| script.arg(kind).arg(count.to_string()).arg(RUN.to_string()));
        Contender { name, program, check: check::lines((0..RUN).map(pokemon)) }
    };
    Ok(Row {
        metric: Metric::reported("bytes per future", "bytes_per_future"),
        also: vec![],
        contenders: vec![contender("poolmap.Executor", "poolmap"), contender(PROCESSES, "processes")],
        goals: vec![Goal::Times(1.0, PROCESSES)],
        rounds_factor: 1,
    })
}
