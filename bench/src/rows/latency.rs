//! One task at a time through the client library: how long until its result is there.

use anyhow::Result;

use super::{function, script};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs::pokemon;
use crate::metric::Metric;
use crate::process::Program;
use crate::setup::{Tools, need};

const TASKS: usize = 2_000;
const EXECUTOR: &str = "ProcessPoolExecutor.submit, result";

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(super) fn row(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let peer = |kind: &str| Ok(script(tools, "latency.py").arg(kind).arg(count.to_string()));
    let ours = need(&tools.latency).map(|latency| {
        let program = Program::new(latency).arg("--python").arg(&tools.python);
        program.arg(function(tools, "tasks.py", "do_work")).arg(count.to_string())
    });
    let contender = |name, program| Contender { name, program, check: check::lines((0..count).map(pokemon)) };
    Ok(Row {
        metric: Metric::reported("p50 µs", "p50_us"),
        also: vec![Metric::reported("p99 µs", "p99_us")],
        contenders: vec![
            contender("poolmap client", ours),
            contender(EXECUTOR, peer("executor")),
            contender("Pool.apply", peer("pool")),
        ],
        goals: vec![Goal::Times(1.0, EXECUTOR)],
        rounds_factor: 1,
    })
}
