//! One task at a time: how long until its result is there.

use anyhow::Result;

use super::with_package;
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs::pokemon;
use crate::metric::Metric;
use crate::setup::Tools;

const TASKS: usize = 2_000;
const POOL: &str = "Pool.apply";

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn row(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let contender = |name, kind: &str| {
        let script = with_package(tools, "python_latency.py");
        let program = script.map(|script| script.arg(kind).arg(count.to_string()));
        Contender { name, program, check: check::lines((0..count).map(pokemon)) }
    };
    Ok(Row {
        metric: Metric::reported("p50 µs", "p50_us"),
        also: vec![Metric::reported("p99 µs", "p99_us")],
        contenders: vec![
            contender("poolmap.Executor.submit, result", "submit-poolmap"),
            contender("poolmap.Pool.apply", "apply-poolmap"),
            contender(POOL, "apply-pool"),
            contender("ProcessPoolExecutor.submit, result", "submit-processes"),
        ],
        goals: vec![Goal::Times(1.0, POOL)],
        rounds_factor: 1,
    })
}
