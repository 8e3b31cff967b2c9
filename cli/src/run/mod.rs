//! `poolmap run`: a function or a command over tuples, on this machine, with nothing to start.
//!
//! It holds a coordinator in this process and starts workers that dial in over a private socket ([`Local`]).

mod args;

use std::num::NonZeroU32;
use std::process::ExitCode;

use poolmap_client::{Backend, Client, Transport};
use poolmap_local::{Local, Place, Shape, WorkerProgram};
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::sizing::detect;

pub(crate) use self::args::RunArgs;
use crate::exit::Failure;
use crate::job::{OnInterrupt, Place as JobPlace, Plan, Streams, Target, carry_out, conclude};
use crate::log::Level;
use crate::output::{Progress, ProgressMode};
use crate::this_program::THIS_PROGRAM;

/// Runs the job that the arguments describe.
pub(crate) fn run(args: &RunArgs, log_level: Level, registry: Registry) -> Result<ExitCode, Failure> {
    carry_out(&args.job, |runtime, target| {
        args.check()?;
        let slots = slots(args);
        let backend = backend(args, &target, slots);
        let plan = Plan::new(&args.job, target, backend, JobPlace::Here)?;
        let is_inline = backend == Backend::Inline;
        let place =
            if is_inline { Place::Inline(registry) } else { Place::Processes(worker_program(log_level)) };
        let slots = if is_inline { NonZeroU32::MIN } else { slots };
        let worker_timeout = args.worker_timeout;
        let local = Local::start(Shape { workers: args.workers, slots, place, worker_timeout })?;
        runtime.block_on(job(plan, args.job.progress(), local))
    })
}

/// Slots of each worker.
fn slots(args: &RunArgs) -> NonZeroU32 {
    let rule = args.sizing.rule();
    let machine = detect::this_machine(None);
    tracing::info!("{}", rule.explain(&machine));
    rule.size(&machine).slots
}

/// What a slot is. With one of them, a native function needs no process but this one.
fn backend(args: &RunArgs, target: &Target, slots: NonZeroU32) -> Backend {
    let is_alone = slots.get() == 1 && args.workers.get() == 1;
    let needs_child = args.job.recycles() || args.job.limits().timeout().is_some();
    let is_inline = target.is_native() && is_alone && !needs_child;
    args.job.backend().unwrap_or(if is_inline { Backend::Inline } else { Backend::Process })
}

fn worker_program(log_level: Level) -> WorkerProgram {
    let log_level = log_level.word().to_owned();
    WorkerProgram { path: THIS_PROGRAM.into(), log_level }
}

/// Runs a planned job to its end, whatever that is, and leaves no process behind.
async fn job(plan: Plan, progress: ProgressMode, mut local: Local) -> Result<ExitCode, Failure> {
    let client = Client::new(Transport::in_process(local.coordinator().jobs()));
    let name = plan.name.clone();
    let progress = std::sync::Arc::new(Progress::new(progress));
    let job = client.submit(plan.spec.clone()).await?;
    let streams = Streams::start(plan, &job, progress.clone());
    let lost = async { format!("all workers are gone: {}", local.all_ended().await) };
    let ended = streams.run(&job, OnInterrupt::Cancel, lost).await;
    progress.finish();
    local.stop().await;
    conclude(&name, ended?)
}
