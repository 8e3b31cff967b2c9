//! What runs in an allocation of Slurm: a worker that knows its name, its share of the node, and how long it may stay.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Args;

use super::worker_name;
use crate::cluster::program::OWN_PROGRAM;
use crate::exit::{Failure, say};

/// Run a worker in the allocation of Slurm that this is called in
#[derive(Args, Clone, Debug)]
pub(crate) struct AllocationArgs {
    /// The worker's group
    #[arg(long)]
    group: String,

    /// Flags of `poolmap worker`
    #[arg(last = true)]
    flags: Vec<OsString>,
}

/// Becomes the worker.
pub(crate) fn run(args: AllocationArgs) -> Result<ExitCode, Failure> {
    let (job, task) = (number("SLURM_ARRAY_JOB_ID")?, number("SLURM_ARRAY_TASK_ID")?);
    let mut worker = Command::new(OWN_PROGRAM);
    worker.arg0("poolmap").arg("worker").args(args.flags);
    worker.arg(format!("--name={}", worker_name(&args.group, job, u32::try_from(task).unwrap_or(u32::MAX))));
    let chose_slots = std::env::args().any(|word| word.starts_with("--max-slots="));
    if let (Ok(cpus), false) = (number("SLURM_CPUS_ON_NODE"), chose_slots) {
        worker.arg(format!("--max-slots={cpus}"));
    }
    match time_left(job, task) {
        Ok(Some(left)) => {
            worker.arg(format!("--time-limit={}s", left.as_secs().max(1)));
        }
        Ok(None) => {}
        Err(why) => say(&format!("how long the allocation lasts is not known: {why}")),
    }
    Err(Failure::System { doing: "becoming a worker".to_owned(), source: worker.exec() })
}

fn number(variable: &str) -> Result<u64, Failure> {
    let value = std::env::var(variable).ok().and_then(|value| value.parse().ok());
    value.ok_or_else(|| Failure::Usage(format!("{variable} is not set: this is no job of an array of Slurm")))
}

/// How long an allocation lasts; `None`: for ever.
fn time_left(job: u64, task: u64) -> Result<Option<Duration>, String> {
    let output = Command::new("squeue")
        .args(["--noheader", "--format=%L", "--jobs"])
        .arg(format!("{job}_{task}"))
        .output();
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim() {
        "UNLIMITED" => Ok(None),
        said => parse(said).map(Some).ok_or_else(|| format!("squeue said '{said}'")),
    }
}

/// Reads `[[days-]hours:]minutes:seconds`.
fn parse(text: &str) -> Option<Duration> {
    let (days, clock) = text.split_once('-').unwrap_or(("0", text));
    let parts = clock.split(':').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
    let seconds = match parts.as_slice() {
        [minutes, seconds] => minutes * 60 + seconds,
        [hours, minutes, seconds] => (hours * 60 + minutes) * 60 + seconds,
        _ => return None,
    };
    Some(Duration::from_secs(days.parse::<u64>().ok()? * 24 * 60 * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_slurm_are_read() {
        let seconds = |text| parse(text).map(|time| time.as_secs());
        assert_eq!(seconds("0:59"), Some(59));
        assert_eq!(seconds("15:00"), Some(900));
        assert_eq!(seconds("2:00:01"), Some(7201));
        assert_eq!(seconds("1-00:00:00"), Some(86400));
        for wrong in ["", "INVALID", "NOT_SET", "5", "1:2:3:4"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
