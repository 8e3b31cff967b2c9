//! What a runner's death means: which tasks had ended, which one is to blame, and what happens to the rest.

use std::time::Duration;

use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Crashed, Failure, FailureKind};

use super::Driver;
use crate::child::Exit;
use crate::slot::collect::Violation;
use crate::slot::runner::Runner;
use crate::slot::work::SentFrame;

/// A job is given up after so many children in a row that died without having begun a task.
const FALSE_STARTS_MAX: u32 = 3;
/// Time between the end of a child's socket and its own; then it is killed.
const CLOSING_GRACE: Duration = Duration::from_millis(500);

impl Driver {
    /// The runner has ended, or closed its socket and so is about to.
    pub(super) async fn runner_died(&mut self) {
        if let Some(runner) = &mut self.runner {
            runner.drain();
        }
        // What it said and wrote before it died counts; nonsense in there changes nothing any more.
        let _nonsense = self.take_frames().await;
        while let Some(until) = self.written_until() {
            if self.report_until(until, None).await.is_err() || !self.confirm_if_whole(until) {
                break;
            }
        }
        let Some(runner) = self.runner.take() else { return };
        let blamed = self.blamed(&runner);
        let was_ready = runner.warm_up.is_some();
        let exit = ended(runner).await;
        self.bury(blamed, exit.cause()).await;
        if blamed.is_none() {
            self.count_false_start(was_ready, &exit).await;
        }
    }

    /// The runner wrote nonsense: it is killed, and the task it was at is to blame.
    pub(super) async fn runner_broke(&mut self, violation: &Violation) {
        let Some(runner) = self.runner.take() else { return };
        runner.kill();
        let blamed = self.queue.frames().front().map(|front| (*front, runner.next_outcome()));
        ended(runner).await;
        let cause =
            Failure { kind: FailureKind::Crashed.into(), message: violation.to_string(), ..Failure::default() };
        self.bury(blamed, cause).await;
    }

    /// Up to where the outcomes of the oldest frame are complete in the map of a dead runner.
    fn written_until(&self) -> Option<u64> {
        let (runner, front) = (self.runner.as_ref()?, self.queue.frames().front()?);
        let fence = self.fence.as_ref().map_or(u64::MAX, |fence| fence.sequence);
        let until = runner.begun().min(front.end()).min(fence);
        (until > runner.next_outcome()).then_some(until)
    }

    /// Whether the oldest frame has ended with `until`, so that the next one may have begun.
    fn confirm_if_whole(&mut self, until: u64) -> bool {
        let is_whole = self.queue.frames().front().is_some_and(|front| front.end() == until);
        if is_whole {
            self.queue.confirm(until);
        }
        is_whole
    }

    /// The task that was running when the runner died, if one was.
    fn blamed(&self, runner: &Runner) -> Option<(SentFrame, u64)> {
        let front = *self.queue.frames().front()?;
        let sequence = runner.next_outcome();
        let was_running = runner.begun() >= sequence && sequence < front.end() && sequence >= front.sequence;
        was_running.then_some((front, sequence))
    }

    /// Reports a death. The batch of the blamed task ends here; the others are sent to the next runner.
    async fn bury(&mut self, blamed: Option<(SentFrame, u64)>, cause: Failure) {
        self.queue.void_all();
        self.fence = None;
        self.is_bloated = false;
        self.front_since = None;
        self.front_reported = Duration::ZERO;
        if let Some((frame, sequence)) = blamed {
            let (batch_id, offset) = (frame.batch_id, frame.offset_of(sequence));
            self.tell(Report::Crashed(Crashed { batch_id, offset, cause: Some(cause) })).await;
            self.let_go(batch_id).await;
        }
    }

    async fn count_false_start(&mut self, was_ready: bool, exit: &Exit) {
        self.false_starts += 1;
        let Some(job) = self.job.clone() else { return };
        if !was_ready {
            self.reject(job.id, job.launcher.stillborn(exit)).await;
        } else if self.false_starts >= FALSE_STARTS_MAX {
            let times = self.false_starts;
            let error = format!("{times} children in a row died before they began a task; the last one {exit}");
            self.reject(job.id, error).await;
        }
    }
}

/// Waits for a child that is ending; kills it if it does not.
async fn ended(runner: Runner) -> Exit {
    let mut child = runner.into_child();
    if let Ok(exit) = tokio::time::timeout(CLOSING_GRACE, child.exited()).await {
        return exit;
    }
    child.kill();
    child.end().await
}
