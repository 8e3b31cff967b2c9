//! A new child every ten tasks, where children need a heavy import.

use anyhow::Result;

use super::with_package;
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::metric::Metric;
use crate::process::Output;
use crate::setup::Tools;

const TASKS: usize = 500;
const PER_CHILD: usize = 10;
const FORKSERVER: &str = "ProcessPoolExecutor by forkserver";
const PRELOADED: &str = "ProcessPoolExecutor by forkserver, numpy preloaded";

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn row(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let contender = |name, kind: &str| {
        let script = with_package(tools, "python_recycling.py");
        let program = script.map(|script| script.arg(kind).arg(count.to_string()).output(Output::Watched));
        Contender { name, program, check: check::pids(count, Some(PER_CHILD)) }
    };
    Ok(Row {
        metric: Metric::results_per_second(),
        also: vec![Metric::per_second("tasks/s, whole command", count as f64)],
        contenders: vec![
            contender("poolmap.Executor, numpy preloaded", "poolmap"),
            contender(FORKSERVER, "forkserver"),
            contender(PRELOADED, "preloaded"),
        ],
        goals: vec![Goal::Times(5.0, FORKSERVER), Goal::Times(5.0, PRELOADED)],
        rounds_factor: 1,
    })
}
