//! Large arguments and results.

use anyhow::Result;

use super::with_package;
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::metric::Metric;
use crate::setup::Tools;

const PROCESSES: &str = "ProcessPoolExecutor.submit";
const JOBLIB: &str = "joblib";

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn bytes(tools: &Tools) -> Result<Row> {
    Ok(row(tools, "bytes", tools.tasks(2_000)))
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of every row")]
pub(in crate::rows) fn arrays(tools: &Tools) -> Result<Row> {
    Ok(row(tools, "arrays", tools.tasks(200)))
}

fn row(tools: &Tools, what: &str, count: usize) -> Row {
    let contender = |name, kind: &str| {
        let script = with_package(tools, "python_large.py");
        let program = script.map(|script| script.arg(kind).arg(what).arg(count.to_string()));
        Contender { name, program, check: check::lines((0..count).map(|place| place.to_string())) }
    };
    Row {
        metric: Metric::reported_rate("MB/s", "mb_per_s"),
        also: vec![],
        contenders: vec![
            contender("poolmap.Executor.submit", "poolmap"),
            contender(PROCESSES, "processes"),
            contender(JOBLIB, "joblib"),
        ],
        goals: vec![Goal::Times(1.0, PROCESSES), Goal::Times(1.0, JOBLIB)],
        rounds_factor: 1,
    }
}
