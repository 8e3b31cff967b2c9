//! A cluster of two workers, here: tasks per second once it is up. Each contender has as many tasks as it needs to take seconds.
//!
//! Each runs under `whole.py`, so that the processes of its cluster count and are gone before the next one starts.

use std::path::Path;

use anyhow::Result;

use super::{function, script};
use crate::check;
use crate::contest::{Contender, Goal, Row};
use crate::inputs;
use crate::metric::Metric;
use crate::process::{Output, Program};
use crate::setup::{Tools, need, on_path, venv};

const DASK: &str = "Dask: client.map, gather";
const RAY: &str = "Ray: remote, get";
const RAY_POOL: &str = "Ray: util.multiprocessing.Pool.starmap, chunks";
const HYPERQUEUE_FUNCTION: &str = "HyperQueue: Job.function";
const HYPERQUEUE_PROGRAM: &str = "HyperQueue: Job.program";
const HQ: &str = "HyperQueue: hq submit --array";

/// The name of its script and its package, which gets a venv: they want other versions of what they share.
type Peer = (&'static str, &'static str);
const IN_DASK: Peer = ("dask", "distributed==2026.8.0");
const IN_RAY: Peer = ("ray", "ray==2.60.0");
const IN_HYPERQUEUE: Peer = ("hyperqueue", "hyperqueue==0.27.0");

pub(super) fn functions(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(1_000_000);
    let input = inputs::tuples(&tools.scratch, count)?;
    let ours = submit(tools, count).map(|program| {
        let program = program.arg(function(tools, "tasks.py", "do_work")).arg(input);
        program.arg("-o").arg(tools.scratch.join("out")).output(Output::Named)
    });
    let peer = |name, peer, words: &str, full| {
        let count = tools.tasks(full);
        let program = cluster(tools, peer, words, count)
            .map(|program| program.arg(tools.scratch.join("out")).output(Output::Named));
        Contender { name, program, check: check::pokemon_values(count) }
    };
    Ok(Row {
        contenders: vec![
            Contender {
                name: "poolmap submit, whole command",
                program: ours,
                check: check::pokemon_outcomes(count),
            },
            peer(DASK, IN_DASK, "", 8_000),
            peer(RAY, IN_RAY, "tasks", 10_000),
            peer(RAY_POOL, IN_RAY, "pool", 500_000),
            peer(HYPERQUEUE_FUNCTION, IN_HYPERQUEUE, "function", 100),
        ],
        goals: [DASK, RAY, HYPERQUEUE_FUNCTION].map(|peer| Goal::Times(10.0, peer)).into(),
        ..row()
    })
}

pub(super) fn commands(tools: &Tools) -> Result<Row> {
    let count = tools.tasks(5_000);
    let input = inputs::numbers(&tools.scratch, count)?;
    let command = on_path("true")?;
    let ours = submit(tools, count).map(|program| program.arg("--input").arg(input).arg("--").arg(command));
    let hq = on_path("hq").map(|hq| {
        whole(tools, &tools.python).arg(tools.peers.join("cluster_hq.py")).arg(hq).arg(count.to_string())
    });
    let contender = |name, program| Contender { name, program, check: check::cpu_time_of_commands(count) };
    Ok(Row {
        contenders: vec![
            contender("poolmap submit --, whole command", ours),
            contender(
                HYPERQUEUE_PROGRAM,
                cluster(tools, IN_HYPERQUEUE, "command", count).map(|program| program.arg("-")),
            ),
            contender(HQ, hq),
        ],
        goals: [HYPERQUEUE_PROGRAM, HQ].map(|peer| Goal::Times(2.0, peer)).into(),
        ..row()
    })
}

/// What both rows have.
fn row() -> Row {
    Row {
        metric: Metric::reported_rate("tasks/s", "tasks_per_s"),
        also: vec![Metric::reported("s to start", "up_s")],
        contenders: vec![],
        goals: vec![],
        rounds_factor: 1,
    }
}

/// `poolmap submit`, still without its function or command.
fn submit(tools: &Tools, count: usize) -> Result<Program> {
    let program = whole(tools, &tools.python).arg(tools.peers.join("cluster_poolmap.py"));
    Ok(program.arg(need(&tools.poolmap)?).arg(&tools.python).arg(count.to_string()))
}

/// A peer's script, run by the interpreter that has the peer.
fn cluster(tools: &Tools, (name, package): Peer, words: &str, count: usize) -> Result<Program> {
    let python = venv(&tools.venvs.join(name), &[package])?;
    let script = tools.peers.join(format!("cluster_{name}.py"));
    Ok(whole(tools, &python).arg(script).args(words).arg(count.to_string()))
}

fn whole(tools: &Tools, python: &Path) -> Program {
    script(tools, "whole.py").arg(python)
}
