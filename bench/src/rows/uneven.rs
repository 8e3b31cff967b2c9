//! Tasks of very different length: how much of two slots' time is work.

use anyhow::Result;

use super::{from_file_to_file, poolmap_function, script_on};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::setup::{SLOTS, Tools};

const TASKS: usize = 2_000;

pub(super) fn shuffled(tools: &Tools) -> Result<Row> {
    row(tools, false, 0.97)
}

pub(super) fn long_last(tools: &Tools) -> Result<Row> {
    row(tools, true, 0.93)
}

fn row(tools: &Tools, are_long_last: bool, share: f64) -> Result<Row> {
    let durations = inputs::uneven(tools.tasks(TASKS), are_long_last);
    let input = inputs::durations(&tools.scratch, "uneven.jsonl", &durations)?;
    let busy_s = f64::from(durations.iter().sum::<u32>()) / 1e3;
    let per_slot_s = busy_s / SLOTS as f64;
    let count = durations.len();
    let ours =
        poolmap_function(tools, "tasks.py", "burn").map(|program| from_file_to_file(tools, program, &input));
    // A task tells how many milliseconds it was busy.
    let is_right =
        move |index: usize, &busy: &f64| durations.get(index).is_some_and(|&asked| busy >= asked.into());
    let peer = |name, program| Contender {
        name,
        program: Ok(program),
        check: check::values(count, is_right.clone()),
    };
    Ok(Row {
        metric: Metric::per_second("busy time / (slots × wall)", per_slot_s),
        also: vec![Metric::per_second_of_call("without start and stop", per_slot_s)],
        contenders: vec![
            Contender { name: "poolmap run", program: ours, check: check::outcomes(count, is_right.clone()) },
            peer(
                "ProcessPoolExecutor.map, chunksize=1",
                script_on(tools, "uneven_executor.py", &input).arg("1"),
            ),
            peer(
                "ProcessPoolExecutor.map, chunksize=100",
                script_on(tools, "uneven_executor.py", &input).arg("100"),
            ),
            peer("Pool.starmap", script_on(tools, "uneven_starmap.py", &input)),
            peer("joblib", script_on(tools, "uneven_joblib.py", &input)),
        ],
        goals: vec![Goal::AtLeast(share)],
        rounds_factor: 1,
    })
}
