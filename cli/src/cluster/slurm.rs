//! Workers as jobs of Slurm: arrays of sbatch, seen through squeue, ended by scancel.
//!
//! How many there should be is decided in [`growth`]; what runs in an allocation is in [`allocation`].

pub(crate) mod allocation;
pub(crate) mod growth;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::file::{Settings, SlurmGroup};
use super::ssh::quoted;
use crate::reason::reason;

/// Time that a command of Slurm may take; a controller that is busy takes seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An array of jobs to submit.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) cluster: &'a str,
    /// Name of the group, with which the names of its workers begin.
    pub(crate) group: &'a str,
    pub(crate) slurm: &'a SlurmGroup,
    pub(crate) settings: &'a Settings,
    pub(crate) count: usize,
    /// They leave when they have been idle.
    pub(crate) is_temporary: bool,
    /// poolmap, for hosts that share the file system.
    pub(crate) program: &'a Path,
    pub(crate) access: &'a Path,
    pub(crate) logs: &'a Path,
}

/// A job of an array, as squeue sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) job: u64,
    pub(crate) task: u32,
    pub(crate) phase: Phase,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// With Slurm's reason.
    Queued(String),
    Running,
    /// With Slurm's word for it.
    Ended(String),
}

/// The name that the worker of a job has, and its log.
pub(crate) fn worker_name(group: &str, job: u64, task: u32) -> String {
    format!("{group}-{job}_{task}")
}

/// The name of all jobs of a cluster.
fn job_name(cluster: &str) -> String {
    format!("poolmap-{cluster}")
}

/// Submits an array; returns its job id.
pub(crate) async fn submit(submission: &Submission<'_>) -> Result<u64, String> {
    let mut command = Command::new("sbatch");
    command.args(submission.flags());
    let output = run(command, Some(submission.script())).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    // With several Slurm clusters the name of one follows.
    let id = said.trim().split(';').next().unwrap_or_default();
    id.parse().map_err(|_| format!("sbatch said '{}', which is no job", said.trim()))
}

/// What Slurm knows of a cluster's jobs; those that have ended a while ago are forgotten.
pub(crate) async fn queue(cluster: &str) -> Result<Vec<Entry>, String> {
    let mut command = Command::new("squeue");
    command.args(["--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r"]);
    command.arg(format!("--name={}", job_name(cluster)));
    let output = run(command, None).await?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(entry).collect())
}

/// Cancels jobs; those that have ended are no fault.
pub(crate) async fn cancel(jobs: &[u64]) -> Result<(), String> {
    if jobs.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("scancel");
    command.arg("--quiet").args(jobs.iter().map(u64::to_string));
    run(command, None).await.map(|_| ())
}

fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.trim().splitn(4, '|');
    let (job, task) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let (state, why) = (fields.next()?, fields.next()?);
    let phase = match state {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" => {
            Phase::Queued(why.to_owned())
        }
        "RUNNING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT" | "RESIZING" => Phase::Running,
        "COMPLETED" | "COMPLETING" => Phase::Ended(state.to_owned()),
        _ => Phase::Ended(format!("{state}, {why}")),
    };
    Some(Entry { job, task, phase })
}

impl Submission<'_> {
    fn flags(&self) -> Vec<String> {
        let Self { slurm, logs, .. } = self;
        let mut flags = vec![
            "--parsable".to_owned(),
            format!("--job-name={}", job_name(self.cluster)),
            format!("--array=0-{}", self.count.saturating_sub(1)),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--output={}/{}-%A_%a.log", logs.display(), self.group),
        ];
        flags.extend(slurm.partition.iter().map(|partition| format!("--partition={partition}")));
        flags.extend(slurm.time.iter().map(|time| format!("--time={time}")));
        flags.extend(slurm.cpus.iter().map(|cpus| format!("--cpus-per-task={cpus}")));
        flags.extend(slurm.arguments.iter().cloned());
        flags
    }

    /// What each job of the array runs.
    fn script(&self) -> String {
        let mut script = "#!/bin/sh\n".to_owned();
        for (name, value) in &self.settings.environment {
            let _infallible = writeln!(script, "export {name}={}", quoted(value));
        }
        let program = self.settings.program.clone().unwrap_or_else(|| self.program.display().to_string());
        let mut words =
            vec![program, "cluster".to_owned(), "allocation".to_owned(), format!("--group={}", self.group)];
        words.push("--".to_owned());
        words.push(format!("--access={}", self.access.display()));
        words.extend(self.settings.flags.iter().cloned());
        if self.is_temporary {
            words.push(format!("--idle-timeout={}s", self.slurm.idle_timeout.as_secs_f64()));
        }
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let _infallible = writeln!(script, "exec {}", words.join(" "));
        script
    }
}

async fn run(mut command: Command, input: Option<String>) -> Result<Output, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("cannot run {name}: {}", reason(&error)))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that does not read it says why.
        let _closed = stdin.write_all(input.as_bytes()).await;
    }
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
    let output = output.map_err(|_| format!("{name} did not answer within {} s", TIMEOUT.as_secs()))?;
    let output = output.map_err(|error| format!("{name}: {}", reason(&error)))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = super::folder::last_lines(&String::from_utf8_lossy(&output.stderr)).join("\n");
    Err(if said.is_empty() { format!("{name}: {}", output.status) } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_are_understood() {
        let phases = |lines: &str| lines.lines().filter_map(entry).collect::<Vec<_>>();
        let entry = |task, phase| Entry { job: 7, task, phase };
        assert_eq!(
            phases(
                "7|0|PENDING|Resources\n7|1|RUNNING|None\n7|2|COMPLETED|None\n7|3|FAILED|NonZeroExitCode\nnonsense\n7|N/A|RUNNING|None"
            ),
            [
                entry(0, Phase::Queued("Resources".to_owned())),
                entry(1, Phase::Running),
                entry(2, Phase::Ended("COMPLETED".to_owned())),
                entry(3, Phase::Ended("FAILED, NonZeroExitCode".to_owned())),
            ]
        );
    }
}
