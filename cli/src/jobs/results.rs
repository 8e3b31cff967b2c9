//! `poolmap results`: the outcomes of a job, from any machine, while it runs or after.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use poolmap_client::JobStatus;

use super::JobArgs;
use crate::exit::Failure;
use crate::job::{Ended, Output, OutputForm, Sink, conclude};
use crate::output::{Destination, Form, Progress, ProgressMode, Style, Subject};

/// Get the results of a job as they come, those that are there already first.
///
/// Of a detached job all can be had again and again until it is forgotten; of another one those that its own reader has not
/// had.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResultsArgs {
    #[command(flatten)]
    job: JobArgs,

    /// Leave out the first N results, in order of completion: those that you have already
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,

    /// Form of the results [default: json for functions, text for commands]
    #[arg(long, value_enum, value_name = "FORM")]
    output: Option<OutputForm>,

    /// Write the results to FILE
    #[arg(short = 'o', long, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Give results in input order
    #[arg(short = 'k', long, conflicts_with = "from")]
    keep_order: bool,

    /// Add attempts, worker, seconds, stdout and stderr to each JSON result, where the job was submitted with --details
    #[arg(long)]
    details: bool,

    /// Show a progress line on standard error
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    progress: ProgressMode,
}

pub(super) async fn results(args: &ResultsArgs) -> Result<ExitCode, Failure> {
    let job = args.job.job().await?;
    let status = job.status().await?;
    let progress = Arc::new(Progress::new(args.progress));
    if status.closed {
        progress.set_total(status.tasks.saturating_sub(args.from));
    }
    let mut sink = Sink::start(args.output(&status)?, progress.clone());
    let end = sink.take_all(&mut job.outcomes_from(args.from)).await;
    progress.finish();
    let counts = sink.finish().await?;
    conclude(&status.name, Ended { counts, end: end?, was_interrupted: false, input: Ok(()) })
}

impl ResultsArgs {
    fn output(&self, status: &JobStatus) -> Result<Output, Failure> {
        let subject = if status.is_command { Subject::Command } else { Subject::Function };
        let form = self.output.map_or_else(|| Form::usual(subject), Form::from);
        let style = Style { form, subject, has_details: self.details, tags: None };
        let destination = Destination::open(self.output_file.as_deref())?;
        Ok(Output { destination, style, keeps_order: self.keep_order })
    }
}
