//! `poolmap submit`: a job for a cluster. It is described, fed and read like one of `poolmap run`; who runs it is the
//! coordinator's business.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use poolmap_client::{Backend, Client, Job, JobSpec};
use tokio::sync::watch;

use crate::connect::ConnectFlags;
use crate::exit::{Failure, say};
use crate::input::TaskReader;
use crate::job::{Feeder, JobArgs, OnInterrupt, Place, Plan, Streams, Target, carry_out, conclude, open};
use crate::output::{Progress, ProgressMode};

const EXAMPLES: &str = "\
Examples:
  poolmap submit words.py:count jobs.jsonl               results come as with poolmap run
  poolmap submit --detach --name nightly words.py:count jobs.jsonl
  poolmap results 7                                      ... of a job that was detached, from any machine
  poolmap submit --ship model.bin --label gpu predict.py:predict images.jsonl

Exit status: as poolmap run; 3 also where the coordinator cannot be reached.";

/// Run a function or a command over many inputs, on the workers of a cluster.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "poolmap submit [OPTIONS] FUNCTION [INPUT]...\n       \
    poolmap submit [OPTIONS] -- COMMAND [ARG]... [::: VALUE...]")]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    job: JobArgs,

    #[command(flatten)]
    flags: SubmitFlags,

    #[command(flatten)]
    connect: ConnectFlags,
}

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Job")]
struct SubmitFlags {
    /// Print the job's id once all tasks are submitted, and return; `poolmap results` has its results
    #[arg(long, conflicts_with_all = ["output", "output_file", "keep_order", "tag"])]
    detach: bool,

    /// Let the job go on when this command goes away; `poolmap results` has its results, all of them
    #[arg(long)]
    keep_on_disconnect: bool,

    /// Name of the job, for people [default: the function's or the command's]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Jobs of a higher priority go first; jobs of the same share evenly
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,

    /// Run tasks only on workers that have this label; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,

    /// Send this file or folder along: tasks find it in their working folder, and Python's `import` too
    #[arg(long, value_name = "PATH")]
    ship: Vec<PathBuf>,
}

/// Submits the job that the arguments describe.
pub(crate) fn run(args: &SubmitArgs) -> Result<ExitCode, Failure> {
    carry_out(&args.job, |runtime, target| {
        if args.job.backend() == Some(Backend::Inline) {
            let text = "--backend inline runs tasks in this very process: that is poolmap run";
            return Err(Failure::Usage(text.to_owned()));
        }
        runtime.block_on(submit(args, target))
    })
}

async fn submit(args: &SubmitArgs, target: Target) -> Result<ExitCode, Failure> {
    let backend = args.job.backend().unwrap_or(Backend::Unspecified);
    if args.flags.detach {
        let (spec, tasks) = open(&args.job, target, backend, Place::Elsewhere)?;
        let client = args.connect.client().await?;
        let spec = args.flags.complete(spec, &client).await?;
        return detach(&client.submit(spec).await?, tasks, args.job.progress()).await;
    }
    let mut plan = Plan::new(&args.job, target, backend, Place::Elsewhere)?;
    let client = args.connect.client().await?;
    plan.spec = args.flags.complete(plan.spec, &client).await?;
    stream(plan, args, &client).await
}

/// Appends all tasks and prints the job's id.
async fn detach(job: &Job, tasks: TaskReader, progress: ProgressMode) -> Result<ExitCode, Failure> {
    let progress = Arc::new(Progress::new(progress));
    let (_, nothing_held) = watch::channel(0);
    let fed = Feeder::start(tasks, job, nothing_held, None, progress.clone()).finish().await;
    progress.finish();
    writeln!(std::io::stdout(), "{}", job.id())?;
    fed??;
    Ok(ExitCode::SUCCESS)
}

async fn stream(plan: Plan, args: &SubmitArgs, client: &Client) -> Result<ExitCode, Failure> {
    let name = plan.name.clone();
    let progress = Arc::new(Progress::new(args.job.progress()));
    let job = client.submit(plan.spec.clone()).await?;
    let on_interrupt = if args.flags.keep_on_disconnect { OnInterrupt::Leave } else { OnInterrupt::Cancel };
    let streams = Streams::start(plan, &job, progress.clone());
    let ended = streams.run(&job, on_interrupt, std::future::pending()).await;
    progress.finish();
    let ended = ended?;
    if ended.was_interrupted && on_interrupt == OnInterrupt::Leave {
        say(&format!("job {} goes on; its results: poolmap results {0}", job.id()));
    }
    conclude(&name, ended)
}

impl SubmitFlags {
    /// Adds what only a cluster knows to a job, and sends its files.
    async fn complete(&self, spec: JobSpec, client: &Client) -> Result<JobSpec, Failure> {
        Ok(JobSpec {
            name: self.name.clone().unwrap_or(spec.name),
            priority: self.priority,
            labels: self.labels.clone(),
            detached: self.detach || self.keep_on_disconnect,
            files: client.ship(&self.ship).await?,
            ..spec
        })
    }
}
