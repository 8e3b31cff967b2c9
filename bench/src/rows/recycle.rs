//! A new child every ten tasks, where children need a heavy import.

use anyhow::Result;

use super::{poolmap_function, script};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::process::Output;
use crate::setup::Tools;

const TASKS: usize = 500;
const PER_CHILD: usize = 10;
const ONE_CHILD: &str = "poolmap run --preload numpy, never recycling";
const SPAWN: &str = "Pool by spawn, maxtasksperchild=10";

pub(super) fn row(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let input = inputs::durations(&tools.scratch, "one-ms.jsonl", &vec![1; count])?;
    let ours = |options: &str| {
        let program = poolmap_function(tools, "numpy_tasks.py", "burn")?;
        Ok(program.arg(&input).args(options).output(Output::Watched))
    };
    let pool =
        |method: &str| Ok(script(tools, "recycle_pool.py").arg(method).arg(&input).output(Output::Watched));
    let recycled = |name, program| Contender { name, program, check: check::pids(count, Some(PER_CHILD)) };
    Ok(Row {
        metric: Metric::results_per_second(),
        also: vec![Metric::per_second("tasks/s, whole command", count as f64)],
        contenders: vec![
            recycled(
                "poolmap run --preload numpy --max-tasks-per-child 10",
                ours("--preload numpy --max-tasks-per-child 10"),
            ),
            Contender { name: ONE_CHILD, program: ours("--preload numpy"), check: check::pids(count, None) },
            recycled("poolmap run --max-tasks-per-child 10", ours("--max-tasks-per-child 10")),
            recycled(SPAWN, pool("spawn")),
            recycled("Pool by fork, numpy already imported", pool("fork")),
        ],
        goals: vec![Goal::Times(0.8, ONE_CHILD), Goal::Times(5.0, SPAWN)],
        rounds_factor: 1,
    })
}
