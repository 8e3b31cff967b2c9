//! The words of `poolmap run`: a job, and the workers of this machine that are started for it.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use poolmap_client::Backend;

use crate::exit::Failure;
use crate::job::{JobArgs, parse_count};
use crate::quantity::parse_time;
use crate::sizing_flags::SizingFlags;

const EXAMPLES: &str = "\
Examples:
  poolmap run words.py:count jobs.jsonl                  one call per line; a line is the array of arguments
  find . -name '*.py' | poolmap run words.py:count --lines -
  poolmap run shop.pricing:quote --csv --header orders.csv -k -o quotes.jsonl
  poolmap run sweep.py:simulate sweep.jsonl --preload numpy --max-tasks-per-child 100
  poolmap run -- gzip -9 {} ::: *.log                    a command per value
  poolmap run -j8 -- convert {1} -resize {2} {1.}-{2}.png ::: *.jpg ::: 100x100 400x400
  cat hosts | poolmap run --tag -- ping -c1 {}

Exit status: 0 all tasks succeeded, 1 some failed, 2 usage or bad input, 3 workers lost, 130 interrupted.";

/// Run a function or a command over many inputs, on all processors of this machine.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, override_usage = "poolmap run [OPTIONS] FUNCTION [INPUT]...\n       \
    poolmap run [OPTIONS] -- COMMAND [ARG]... [::: VALUE...]")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(super) job: JobArgs,

    #[command(flatten)]
    pub(super) sizing: SizingFlags,

    /// Worker processes; each has its own slots
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count::<NonZeroU32>, allow_negative_numbers = true)]
    pub(super) workers: NonZeroU32,

    /// A worker process that has not been heard of for TIME is lost, and its tasks run again
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "15s", allow_hyphen_values = true)]
    pub(super) worker_timeout: Duration,
}

impl RunArgs {
    /// Refuses what contradicts itself, before anything is started.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.job.backend() == Some(Backend::Inline) && self.workers.get() > 1 {
            return Err(Failure::Usage("--backend inline has no workers: leave out --workers".to_owned()));
        }
        Ok(())
    }
}
