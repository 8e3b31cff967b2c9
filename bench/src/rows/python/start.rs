//! Four calls: what it costs to import, to start and to stop.

use anyhow::Result;

use super::with_package;
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::metric::Metric;
use crate::process::Program;
use crate::rows::script;
use crate::setup::Tools;

const ANSWERS: [&str; 4] = ["Pokemon#245", "Pokemon#250", "Pokemon#380", "Pokemon#381"];
const SPAWN: &str = "ProcessPoolExecutor by spawn";
const LOOP: &str = "a plain loop";
/// A run takes milliseconds, so there can be more of them.
const ROUNDS_FACTOR: u32 = 4;

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn executor(tools: &Tools) -> Result<Row> {
    let ours = with_package(tools, "python_four.py");
    let theirs = Ok(script(tools, "python_four_processes.py"));
    Ok(row([("poolmap.Executor", ours), (SPAWN, theirs)], Goal::Times(1.0, SPAWN)))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn run_jobs(tools: &Tools) -> Result<Row> {
    let ours = with_package(tools, "python_run_jobs.py");
    let theirs = Ok(script(tools, "python_four_loop.py"));
    Ok(row([("poolmap.run_jobs, workers=1", ours), (LOOP, theirs)], Goal::Above(10.0, LOOP)))
}

fn row(programs: [(&'static str, Result<Program>); 2], goal: Goal) -> Row {
    let contender =
        |(name, program)| Contender { name, program, check: check::lines(ANSWERS.map(str::to_owned)) };
    Row {
        metric: Metric::milliseconds(),
        also: vec![],
        contenders: programs.into_iter().map(contender).collect(),
        goals: vec![goal],
        rounds_factor: ROUNDS_FACTOR,
    }
}
