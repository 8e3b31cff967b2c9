//! Four tuples: what it costs to start and to stop.

use anyhow::Result;

use super::{from_file_to_file, poolmap_function, poolmap_run, script};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::process::{Input, Program};
use crate::setup::{Tools, need, on_path};

const ANSWERS: [&str; 4] = ["Pokemon#245", "Pokemon#250", "Pokemon#380", "Pokemon#381"];
const POOL: &str = "Python: Pool(2) by fork, starmap";
/// A run takes milliseconds, so there can be more of them.
const ROUNDS_FACTOR: u32 = 4;

pub(super) fn function_row(tools: &Tools) -> Result<Row> {
    let tuples = ["[2,4,5]", "[2,5,0]", "[3,8,0]", "[3,8,1]"].map(str::to_owned);
    let input = inputs::write(&tools.scratch, "four.jsonl", tuples.into_iter())?;
    let ours = poolmap_function(tools, "tasks.py", "do_work")
        .map(|program| from_file_to_file(tools, program, &input));
    Ok(Row {
        metric: Metric::milliseconds(),
        also: vec![],
        contenders: vec![
            Contender {
                name: "poolmap run",
                program: ours,
                check: check::outcomes(4, |index, value: &String| {
                    ANSWERS.get(index) == Some(&value.as_str())
                }),
            },
            Contender {
                name: POOL,
                program: Ok(script(tools, "four_pool.py")),
                check: check::lines(ANSWERS.map(str::to_owned)),
            },
            Contender {
                name: "Python that does nothing",
                program: Ok(Program::new(&tools.python).args("-c pass")),
                check: check::lines([]),
            },
        ],
        goals: vec![Goal::Times(1.0, POOL)],
        rounds_factor: ROUNDS_FACTOR,
    })
}

pub(super) fn command_row(tools: &Tools) -> Result<Row> {
    let echo = on_path("echo")?;
    let input = inputs::words(&tools.scratch, 4)?;
    let expected = || check::lines(inputs::words_of(4));
    let ours = poolmap_run(&tools.poolmap).map(|program| {
        program.args("--colsep").arg(" ").arg("--input").arg(&input).arg("--").arg(&echo).args("{1} {2} {3}")
    });
    let xargs = need(&tools.xargs)
        .map(|xargs| Program::new(xargs).args("-P2 -L1").arg(&echo).input(Input::File(input.clone())));
    let parallel = need(&tools.parallel).map(|parallel| {
        Program::new(parallel).args("-j2 --colsep").arg(" ").arg(&echo).args("{1} {2} {3} ::::").arg(&input)
    });
    Ok(Row {
        metric: Metric::milliseconds(),
        also: vec![],
        contenders: vec![
            Contender { name: "poolmap run --", program: ours, check: expected() },
            Contender { name: "xargs -P2", program: xargs, check: expected() },
            Contender { name: "GNU parallel -j2", program: parallel, check: expected() },
        ],
        goals: vec![Goal::AtMost(20.0)],
        rounds_factor: ROUNDS_FACTOR,
    })
}
