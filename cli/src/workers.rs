//! The commands that see and steer the workers of a cluster: `workers`, `drain`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use poolmap_client::{WorkerState, WorkerStatus};
use serde::Serialize;

use crate::connect::{ConnectFlags, blocking};
use crate::exit::Failure;
use crate::table::{ago, table};

/// See the workers of a cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkersArgs {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectFlags,
}

/// Have workers finish what they run, take nothing new, and leave.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainArgs {
    /// Numbers or names of workers, as `poolmap workers` shows them
    #[arg(value_name = "WORKER", required = true)]
    workers: Vec<String>,

    #[command(flatten)]
    connect: ConnectFlags,
}

/// A worker as scripts see it.
#[derive(Serialize)]
struct Report<'a> {
    id: u64,
    name: &'a str,
    host: &'a str,
    state: &'static str,
    slots: u32,
    cpus: u32,
    /// Tasks handed out to it and not ended.
    tasks: u64,
    labels: &'a [String],
    python: &'a str,
    version: &'a str,
    process_id: u32,
    attached_ms: u64,
    silent_ms: u64,
}

impl<'a> From<&'a WorkerStatus> for Report<'a> {
    fn from(worker: &'a WorkerStatus) -> Self {
        Self {
            id: worker.worker_id,
            name: &worker.name,
            host: &worker.host,
            state: state(worker),
            slots: worker.slots,
            cpus: worker.cpus,
            tasks: worker.tasks,
            labels: &worker.labels,
            python: &worker.python_version,
            version: &worker.version,
            process_id: worker.process_id,
            attached_ms: worker.attached_ms,
            silent_ms: worker.silent_ms,
        }
    }
}

fn state(worker: &WorkerStatus) -> &'static str {
    match worker.state() {
        WorkerState::Draining => "draining",
        WorkerState::Away => "away",
        WorkerState::Ready | WorkerState::Unspecified => "ready",
    }
}

/// Lists all workers.
pub(crate) fn list(args: &WorkersArgs) -> Result<ExitCode, Failure> {
    blocking(async {
        let workers = args.connect.client().await?.workers().await?;
        let mut out = std::io::stdout().lock();
        if args.json {
            for worker in &workers {
                let report = serde_json::to_string(&Report::from(worker));
                writeln!(out, "{}", report.map_err(|error| Failure::Lost(error.to_string()))?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let head = ["worker", "name", "host", "state", "slots", "tasks", "labels", "python", "attached"];
        let mut table = table(head);
        for worker in &workers {
            table.add_row([
                worker.worker_id.to_string(),
                worker.name.clone(),
                worker.host.clone(),
                state(worker).to_owned(),
                worker.slots.to_string(),
                worker.tasks.to_string(),
                worker.labels.join(","),
                worker.python_version.clone(),
                ago(worker.attached_ms),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Drains workers.
pub(crate) fn drain(args: &DrainArgs) -> Result<ExitCode, Failure> {
    blocking(async {
        let client = args.connect.client().await?;
        for worker in &args.workers {
            client.drain_worker(worker).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
