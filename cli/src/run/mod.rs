//! `poolmap run`: a function or a command over tuples, on this machine, with nothing to start.
//!
//! It holds a coordinator in this process, starts workers that dial in over a private socket ([`local`]), and carries tasks from a
//! thread that reads input to a thread that writes results ([`stream`]).

mod args;
mod contradictions;
mod function;
mod limits;
mod local;
mod plan;
mod stream;

use std::num::NonZeroU32;
use std::process::ExitCode;

use poolmap_client::{Backend, Client, Transport};
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::sizing::detect;

pub(crate) use self::args::RunArgs;
use self::function::Target;
use self::local::{Local, Shape};
use self::plan::Plan;
use self::stream::{Ended, Streams};
use crate::exit::{Failure, INTERRUPTED, TASK_FAILED, say};
use crate::log::Level;
use crate::output::Progress;

/// Runs the job that the arguments describe.
pub(crate) fn run(args: &RunArgs, log_level: Level, registry: Registry) -> Result<ExitCode, Failure> {
    if args.is_dry_run() {
        return plan::dry_run(args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("starting"))?;
    let _within = runtime.enter();
    let target = args.target()?;
    args.check(&target)?;
    let shape = shape(args, &target);
    let plan = Plan::new(args, target, shape.backend)?;
    let local = Local::start(shape, log_level, registry)?;
    let ended = runtime.block_on(job(plan, local));
    // A thread may still wait for input that nobody needs any more.
    runtime.shutdown_background();
    ended
}

/// The workers that a job gets. With one slot, a native function needs no process but this one.
fn shape(args: &RunArgs, target: &Target) -> Shape {
    let rule = args.sizing().rule();
    let machine = detect::this_machine(None);
    tracing::info!("{}", rule.explain(&machine));
    let slots = rule.size(&machine).slots;
    let is_alone = slots.get() == 1 && args.workers().get() == 1;
    let needs_child = args.recycles() || args.limits().timeout().is_some();
    let is_inline = target.is_native() && is_alone && !needs_child;
    let default = if is_inline { Backend::Inline } else { Backend::Process };
    let backend = args.backend().unwrap_or(default);
    let slots = if backend == Backend::Inline { NonZeroU32::MIN } else { slots };
    Shape { workers: args.workers(), slots, backend, worker_timeout: args.limits().worker_timeout() }
}

/// Runs a planned job to its end, whatever that is, and leaves no process behind.
async fn job(plan: Plan, mut local: Local) -> Result<ExitCode, Failure> {
    let client = Client::new(Transport::in_process(local.coordinator().jobs()));
    let name = plan.name.clone();
    let progress = std::sync::Arc::new(Progress::new(plan.progress));
    let job = client.submit(plan.spec.clone()).await?;
    let streams = Streams::start(plan, &job, progress.clone());
    let ended = streams.run(&job, &mut local).await;
    progress.finish();
    local.stop().await;
    conclude(&name, ended?)
}

fn conclude(name: &str, ended: Ended) -> Result<ExitCode, Failure> {
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
