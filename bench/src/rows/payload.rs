//! Large arguments and results.

use anyhow::Result;

use super::{from_file_to_file, poolmap_function, script, script_on};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::setup::Tools;

const TASKS: usize = 2_000;
const BYTES: usize = 100_000;
const SUBMIT: &str = "ProcessPoolExecutor.submit, bytes, no files";

pub(super) fn row(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(TASKS);
    let input = inputs::payloads(&tools.scratch, count, BYTES)?;
    let ours =
        poolmap_function(tools, "tasks.py", "same").map(|program| from_file_to_file(tools, program, &input));
    let is_right = |index: usize, value: &String| *value == inputs::payload(index, BYTES);
    // There and back.
    let megabytes = (2 * count * BYTES) as f64 / 1e6;
    Ok(Row {
        metric: Metric::per_second("MB/s", megabytes),
        also: vec![Metric::per_second_of_call("MB/s without start and stop", megabytes)],
        contenders: vec![
            Contender {
                name: "poolmap run, JSON Lines",
                program: ours,
                check: check::outcomes(count, is_right),
            },
            Contender {
                name: SUBMIT,
                program: Ok(script(tools, "payload_executor.py").arg(count.to_string())),
                check: check::lines((0..count).map(|_| BYTES.to_string())),
            },
            Contender {
                name: "ProcessPoolExecutor.submit, JSON Lines",
                program: Ok(script_on(tools, "payload_executor_json.py", &input)),
                check: check::values(count, is_right),
            },
        ],
        goals: vec![Goal::Times(1.0, SUBMIT)],
        rounds_factor: 1,
    })
}
