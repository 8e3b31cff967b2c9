//! The commands that see and steer the jobs of a cluster: `jobs`, `show`, `results`, `wait`, `cancel`, `pause`, `resume`.

mod listing;
mod results;

use std::process::ExitCode;

use clap::Args;
use poolmap_client::{Client, Job, JobStatus};

pub(crate) use self::listing::ListArgs;
pub(crate) use self::results::ResultsArgs;
use crate::connect::{ConnectFlags, blocking};
use crate::exit::{Failure, TASK_FAILED, say};

/// One job of a cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobArgs {
    /// The job's number, as `poolmap jobs` shows it
    #[arg(value_name = "JOB")]
    id: u64,

    #[command(flatten)]
    connect: ConnectFlags,
}

/// Several jobs of a cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct SeveralArgs {
    /// The jobs' numbers
    #[arg(value_name = "JOB", required = true)]
    ids: Vec<u64>,

    #[command(flatten)]
    connect: ConnectFlags,
}

/// One job of a cluster, for people or scripts.
#[derive(Args, Clone, Debug)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    job: JobArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl JobArgs {
    pub(super) async fn job(&self) -> Result<Job, Failure> {
        Ok(self.connect.client().await?.job(self.id))
    }
}

/// Lists all jobs.
pub(crate) fn list(args: &ListArgs) -> Result<ExitCode, Failure> {
    blocking(listing::list(args))
}

/// Prints results.
pub(crate) fn results(args: &ResultsArgs) -> Result<ExitCode, Failure> {
    blocking(results::results(args))
}

/// Shows one job.
pub(crate) fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    blocking(async {
        let status = args.job.job().await?.status().await?;
        listing::show(&status, args.json)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Waits for jobs; exits as `run` would have.
pub(crate) fn wait(args: &SeveralArgs) -> Result<ExitCode, Failure> {
    blocking(async {
        let client = args.connect.client().await?;
        let mut all_succeeded = true;
        for id in &args.ids {
            all_succeeded &= conclude(&client.job(*id).wait().await?);
        }
        Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::from(TASK_FAILED) })
    })
}

/// Says how a job has ended if not all was well, and returns whether it was.
fn conclude(status: &JobStatus) -> bool {
    let end = status.end.clone().unwrap_or_default();
    let how = match (&*end.error, &*end.stopped, end.failed) {
        ("", "", 0) => return true,
        ("", "", failed) => format!("{failed} of {} tasks failed", end.tasks),
        ("", stopped, _) => format!("it was stopped: {stopped}"),
        (error, ..) => format!("it could not run: {error}"),
    };
    say(&format!("job {}: {how}", status.job_id));
    false
}

/// Stops jobs.
pub(crate) fn cancel(args: &SeveralArgs) -> Result<ExitCode, Failure> {
    each(args, async |job| job.cancel().await)
}

/// Hands out nothing more of jobs.
pub(crate) fn pause(args: &SeveralArgs) -> Result<ExitCode, Failure> {
    each(args, async |job| job.pause().await)
}

/// Goes on with jobs.
pub(crate) fn resume(args: &SeveralArgs) -> Result<ExitCode, Failure> {
    each(args, async |job| job.resume().await)
}

fn each(
    args: &SeveralArgs,
    action: impl AsyncFn(Job) -> Result<(), poolmap_client::ClientError>,
) -> Result<ExitCode, Failure> {
    blocking(async {
        let client: Client = args.connect.client().await?;
        for id in &args.ids {
            action(client.job(*id)).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}
