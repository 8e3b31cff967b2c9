//! A very long queue: what the process holds that has the coordinator and the client in it.

use std::path::Path;

use anyhow::Result;

use super::{from_file_to_file, poolmap_function, script};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::process::{Input, Output, Program};
use crate::setup::Tools;

const TASKS: usize = 10_000_000;

pub(super) fn file(tools: &Tools) -> Result<Row> {
    let input = inputs::tuples(&tools.scratch, tools.tasks(TASKS))?;
    let ours = poolmap_on(tools, &input);
    Ok(row(tools, ours, Input::File(input)))
}

pub(super) fn pipe(tools: &Tools) -> Result<Row> {
    let input = inputs::tuples(&tools.scratch, tools.tasks(TASKS))?;
    let ours = poolmap_on(tools, Path::new("-")).map(|program| program.input(Input::Pipe(input.clone())));
    Ok(row(tools, ours, Input::Pipe(input)))
}

fn poolmap_on(tools: &Tools, input: &Path) -> Result<Program> {
    Ok(from_file_to_file(tools, poolmap_function(tools, "tasks.py", "do_work")?, input))
}

fn row(tools: &Tools, ours: Result<Program>, input: Input) -> Row {
    let count = tools.tasks(TASKS);
    let imap =
        script(tools, "queue_imap.py").arg(tools.scratch.join("out")).input(input).output(Output::Named);
    Row {
        metric: Metric::peak_rss(),
        also: vec![Metric::rss_growth(), Metric::per_second("tasks/s", count as f64)],
        contenders: vec![
            Contender {
                name: "poolmap run",
                program: ours.map(Program::sampling_memory),
                check: check::pokemon_outcomes(count),
            },
            Contender {
                name: "Python: json, Pool(2).imap, chunksize=1000, json",
                program: Ok(imap.sampling_memory()),
                check: check::pokemon_values(count),
            },
        ],
        goals: vec![Goal::AtMost(200.0)],
        rounds_factor: 1,
    }
}
