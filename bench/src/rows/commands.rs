//! Many tiny commands, beside the most that two loops in C can start.

use std::path::Path;

use anyhow::Result;

use super::poolmap_run;
use crate::check::{self, Check};
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::process::{Input, Program};
use crate::setup::{SLOTS, Tools, need, on_path};

const COMMANDS: usize = 3_000;
const LOOPS: &str = "C: two loops of posix_spawn and waitpid";
const XARGS: &str = "xargs -P2";
const PARALLEL: &str = "GNU parallel -j2";

pub(super) fn run(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(COMMANDS);
    let command = on_path("true")?;
    let input = inputs::numbers(&tools.scratch, count)?;
    let programs = [
        poolmap_run(&tools.poolmap).map(|program| program.arg("--input").arg(&input).arg("--").arg(&command)),
        need(&tools.spawn_loops).map(|loops| spawn_loops(loops, "run", &command, count)),
        need(&tools.xargs)
            .map(|xargs| Program::new(xargs).args("-P2 -n1").arg(&command).input(Input::File(input.clone()))),
        need(&tools.parallel)
            .map(|parallel| Program::new(parallel).arg("-j2").arg(&command).arg("::::").arg(&input)),
    ];
    Ok(row(count, programs, || check::cpu_time_of_commands(count)))
}

pub(super) fn capture(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(COMMANDS);
    let command = on_path("echo")?;
    let input = inputs::words(&tools.scratch, count)?;
    let words = "{1} {2} {3}";
    let programs = [
        poolmap_run(&tools.poolmap).map(|program| {
            program.arg("--colsep").arg(" ").arg("--input").arg(&input).arg("--").arg(&command).args(words)
        }),
        need(&tools.spawn_loops).map(|loops| spawn_loops(loops, "capture", &command, count)),
        need(&tools.xargs)
            .map(|xargs| Program::new(xargs).args("-P2 -L1").arg(&command).input(Input::File(input.clone()))),
        need(&tools.parallel).map(|parallel| {
            let program = Program::new(parallel).args("-j2 --colsep").arg(" ").arg(&command);
            program.args(words).arg("::::").arg(&input)
        }),
    ];
    Ok(row(count, programs, || check::lines(inputs::words_of(count))))
}

fn spawn_loops(loops: &Path, mode: &str, command: &Path, count: usize) -> Program {
    Program::new(loops).arg(mode).arg(command).arg(SLOTS.to_string()).arg(count.to_string())
}

fn row(count: usize, programs: [Result<Program>; 4], check: impl Fn() -> Check) -> Row {
    let names = ["poolmap run --", LOOPS, XARGS, PARALLEL];
    let contenders = names.into_iter().zip(programs);
    Row {
        metric: Metric::per_second("commands/s", count as f64),
        also: vec![],
        contenders: contenders.map(|(name, program)| Contender { name, program, check: check() }).collect(),
        goals: vec![Goal::Times(0.85, LOOPS), Goal::Times(1.0, XARGS), Goal::Times(6.0, PARALLEL)],
        rounds_factor: 1,
    }
}
