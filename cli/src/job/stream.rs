//! A job that is streamed: tasks go in and outcomes come out until it has ended, or somebody interrupts it.

use std::sync::Arc;
use std::time::Duration;

use poolmap_client::{Job, JobEnd, OutcomeStream};

use super::feeder::Feeder;
use super::plan::Plan;
use super::sink::Sink;
use crate::exit::Failure;
use crate::output::{Counts, Progress};
use crate::signals::Signals;

/// Time that tasks have to end after the first Ctrl-C.
const INTERRUPT_GRACE: Duration = Duration::from_secs(3);

/// Time to tell the coordinator to stop what runs, once nobody waits for it any more.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How a job ended, as far as this side knows.
pub(crate) struct Ended {
    pub(crate) counts: Counts,
    pub(crate) end: Option<JobEnd>,
    pub(crate) was_interrupted: bool,
    /// Whether all input could be read and sent.
    pub(crate) input: Result<(), Failure>,
}

/// What Ctrl-C and SIGTERM mean for the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// It ends: nothing begins any more, and what runs may end, until the second one.
    Cancel,
    /// It goes on without this command.
    Leave,
}

/// The two directions of a job.
pub(crate) struct Streams {
    feeder: Feeder,
    sink: Sink,
}

impl Streams {
    /// Starts both. Call this within a tokio runtime.
    pub(crate) fn start(plan: Plan, job: &Job, progress: Arc<Progress>) -> Self {
        let tags = plan.output.style.tags.clone();
        let sink = Sink::start(plan.output, progress.clone());
        let feeder = Feeder::start(plan.tasks, job, sink.held_bytes(), tags, progress);
        Self { feeder, sink }
    }

    /// Runs until the job has ended, nobody wants its results, it was interrupted, or it cannot go on, which `lost` completes
    /// to say.
    pub(crate) async fn run(
        mut self,
        job: &Job,
        on_interrupt: OnInterrupt,
        lost: impl Future<Output = String>,
    ) -> Result<Ended, Failure> {
        let mut signals = Signals::new()?;
        let (mut outcomes, mut was_interrupted) = (job.outcomes(), false);
        let mut fed = None;
        let end = tokio::select! {
            end = self.sink.take_all(&mut outcomes) => end?,
            refused = refused(&mut self.feeder, &mut fed) => return Err(refused),
            why = lost => return Err(Failure::Lost(why)),
            () = signals.next() => { was_interrupted = true; None }
        };
        if was_interrupted {
            self.feeder.abort();
        }
        let end = if was_interrupted && on_interrupt != OnInterrupt::Leave {
            self.cancel(job, &mut outcomes, signals).await
        } else {
            end
        };
        let counts = self.sink.finish().await?;
        // The reader may wait for input for ever, of which nothing is wanted any more.
        let is_stopped = end.as_ref().is_none_or(|end| !end.stopped.is_empty());
        let input = match fed {
            Some(input) => input,
            None if is_stopped => Ok(()),
            None => self.feeder.finish().await?,
        };
        Ok(Ended { counts, end, was_interrupted, input })
    }

    /// Lets what runs end, for a while or until the next signal; then it is stopped.
    async fn cancel(
        &mut self,
        job: &Job,
        outcomes: &mut OutcomeStream,
        mut signals: Signals,
    ) -> Option<JobEnd> {
        let rest = async {
            job.cancel_unbegun().await?;
            self.sink.take_all(outcomes).await
        };
        let end = tokio::select! {
            end = tokio::time::timeout(INTERRUPT_GRACE, rest) => end.ok().and_then(Result::ok).flatten(),
            () = signals.next() => None,
        };
        if end.is_none() {
            let _lost_or_late = tokio::time::timeout(STOP_PATIENCE, job.cancel()).await;
        }
        end
    }
}

/// Completes if the coordinator does not take the tasks: their job would wait for them for ever.
async fn refused(feeder: &mut Feeder, fed: &mut Option<Result<(), Failure>>) -> Failure {
    match feeder.finish().await {
        Ok(input) => *fed = Some(input),
        Err(failure) => return failure,
    }
    std::future::pending().await
}
