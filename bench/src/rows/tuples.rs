//! Many tiny tasks, from a file to a file.

use anyhow::Result;

use super::{from_file_to_file, poolmap_function, poolmap_run, script_on};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::setup::Tools;

const TASKS: usize = 1_000_000;
const STARMAP: &str = "Python: json, Pool(2).starmap, json";

pub(super) fn python(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let input = inputs::tuples(&tools.scratch, count)?;
    let ours = poolmap_function(tools, "tasks.py", "do_work")
        .map(|program| from_file_to_file(tools, program, &input));
    Ok(Row {
        metric: Metric::per_second("tasks/s", count as f64),
        also: vec![],
        contenders: vec![
            Contender { name: "poolmap run", program: ours, check: check::pokemon_outcomes(count) },
            Contender {
                name: STARMAP,
                program: Ok(script_on(tools, "tuples_starmap.py", &input)),
                check: check::pokemon_values(count),
            },
            Contender {
                name: "Python: json, plain loop, json",
                program: Ok(script_on(tools, "tuples_loop.py", &input)),
                check: check::pokemon_values(count),
            },
        ],
        goals: vec![Goal::AtLeast(500_000.0), Goal::Times(1.0, STARMAP)],
        rounds_factor: 1,
    })
}

pub(super) fn native(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let input = inputs::tuples(&tools.scratch, count)?;
    let ours = |options: &str| {
        let program = poolmap_run(&tools.native)?.args(options).arg("native:do_work");
        Ok(from_file_to_file(tools, program, &input))
    };
    Ok(Row {
        metric: Metric::per_second("tasks/s", count as f64),
        also: vec![],
        contenders: vec![
            Contender {
                name: "poolmap run native:",
                program: ours(""),
                check: check::pokemon_outcomes(count),
            },
            Contender {
                name: "poolmap run native: --backend thread",
                program: ours("--backend thread"),
                check: check::pokemon_outcomes(count),
            },
            Contender {
                name: STARMAP,
                program: Ok(script_on(tools, "tuples_starmap.py", &input)),
                check: check::pokemon_values(count),
            },
        ],
        goals: vec![Goal::AtLeast(1_000_000.0)],
        rounds_factor: 1,
    })
}
