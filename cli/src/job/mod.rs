//! What `run` and `submit` share: the words that describe a job ([`args`]), what follows from them ([`plan`]), and the way of its
//! tasks from a thread that reads input to a coordinator ([`feeder`]), and of its outcomes to a thread that writes results
//! ([`sink`]).

mod args;
mod contradictions;
mod feeder;
mod function;
mod limits;
mod plan;
mod sink;
mod stream;

use std::process::ExitCode;

use tokio::runtime::Runtime;

pub(crate) use self::args::{JobArgs, OutputForm, parse_count};
pub(crate) use self::feeder::Feeder;
pub(crate) use self::function::Target;
pub(crate) use self::plan::{Output, Place, Plan, open};
pub(crate) use self::sink::Sink;
pub(crate) use self::stream::{Ended, OnInterrupt, Streams};
use crate::exit::{Failure, INTERRUPTED, TASK_FAILED, say};

/// Carries out what the command line describes: shows the command lines of a dry run, or runs the job, checked, on a runtime.
pub(crate) fn carry_out(
    args: &JobArgs,
    run: impl FnOnce(&Runtime, Target) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if args.is_dry_run() {
        return plan::dry_run(args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("starting"))?;
    let ended = {
        let _within = runtime.enter();
        let target = args.target()?;
        args.check(&target)?;
        run(&runtime, target)
    };
    // A thread may still wait for input that nobody needs any more.
    runtime.shutdown_background();
    ended
}

/// The last words on a job that was streamed, and how to exit.
pub(crate) fn conclude(name: &str, ended: Ended) -> Result<ExitCode, Failure> {
    let Ended { counts, end, was_interrupted, input } = ended;
    let end = end.unwrap_or_default();
    if !end.error.is_empty() {
        return Err(Failure::Job { function: name.to_owned(), reason: end.error });
    }
    if was_interrupted {
        say(&format!("interrupted: {counts}"));
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !end.stopped.is_empty() {
        say(&format!("the job was stopped: {}", end.stopped));
    }
    if counts.failed() > 0 {
        say(&counts.to_string());
    }
    input?;
    let all_succeeded = counts.failed() == 0 && end.stopped.is_empty();
    Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::from(TASK_FAILED) })
}
