//! Jobs for people and for scripts.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use poolmap_client::JobStatus;
use serde::Serialize;

use crate::connect::ConnectFlags;
use crate::exit::Failure;
use crate::table::{ago, table};

/// See the jobs of a cluster: those that run, and those whose results can still be had.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connect: ConnectFlags,
}

/// A job as scripts see it.
#[derive(Serialize)]
struct Report<'a> {
    id: u64,
    name: &'a str,
    state: &'static str,
    tasks: u64,
    running: u64,
    done: u64,
    failed: u64,
    /// All tasks are submitted.
    closed: bool,
    detached: bool,
    priority: i32,
    labels: &'a [String],
    submitted_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    waits_for: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    stopped: &'a str,
}

impl<'a> Report<'a> {
    fn new(job: &'a JobStatus) -> Self {
        let end = job.end.as_ref();
        Self {
            id: job.job_id,
            name: &job.name,
            state: state(job),
            tasks: job.tasks,
            running: job.running,
            done: job.done,
            failed: job.failed,
            closed: job.closed,
            detached: job.detached,
            priority: job.priority,
            labels: &job.labels,
            submitted_ms: job.submitted_ms,
            ended_ms: (job.ended_ms > 0).then_some(job.ended_ms),
            waits_for: &job.waits_for,
            error: end.map_or("", |end| &end.error),
            stopped: end.map_or("", |end| &end.stopped),
        }
    }
}

/// One word for where a job stands.
fn state(job: &JobStatus) -> &'static str {
    match &job.end {
        Some(end) if !end.error.is_empty() => "rejected",
        Some(end) if !end.stopped.is_empty() => "stopped",
        Some(end) if end.failed > 0 => "failed",
        Some(_) => "done",
        None if job.paused => "paused",
        None if job.running > 0 => "running",
        None => "waiting",
    }
}

pub(super) async fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    let jobs = args.connect.client().await?.list().await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for job in &jobs {
            writeln!(out, "{}", json(&Report::new(job))?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = table(["job", "name", "state", "done", "tasks", "failed", "submitted"]);
    for job in &jobs {
        table.add_row([
            job.job_id.to_string(),
            job.name.clone(),
            state(job).to_owned(),
            job.done.to_string(),
            job.tasks.to_string(),
            job.failed.to_string(),
            ago(job.submitted_ms),
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(job: &JobStatus, as_json: bool) -> Result<(), Failure> {
    let report = Report::new(job);
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{}", json(&report)?)?;
        return Ok(());
    }
    let more = if job.closed { "" } else { ", more are coming" };
    let ended = (job.ended_ms > 0).then(|| ago(job.ended_ms));
    let lines = [
        ("job", job.job_id.to_string()),
        ("name", job.name.clone()),
        ("state", report.state.to_owned()),
        ("waits for", job.waits_for.clone()),
        ("error", report.error.to_owned()),
        ("stopped", report.stopped.to_owned()),
        (
            "tasks",
            format!(
                "{} ({} running, {} done, {} failed{more})",
                job.tasks, job.running, job.done, job.failed
            ),
        ),
        ("priority", job.priority.to_string()),
        ("labels", job.labels.join(", ")),
        ("detached", if job.detached { "yes" } else { "no" }.to_owned()),
        ("submitted", ago(job.submitted_ms)),
        ("ended", ended.unwrap_or_default()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "{name:<10} {value}")?;
    }
    Ok(())
}

fn json(report: &Report<'_>) -> Result<String, Failure> {
    serde_json::to_string(report).map_err(|error| Failure::Lost(error.to_string()))
}
