//! What a runner's death means: which tasks had ended, which one is to blame, and what happens to the rest.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Crashed, Evicted, Failure, FailureKind};

use super::Driver;
use crate::child::Exit;
use crate::slot::collect::Violation;
use crate::slot::runner::Runner;
use crate::slot::status::Status;

/// A job is given up after so many children of a slot in a row that died without having begun a task. Children that somebody
/// kills by chance while they start are not so many.
const FALSE_STARTS_MAX: u32 = 8;
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
        if let Some(until) = self.written_until() {
            let _nonsense = self.report_until(until, None).await;
        }
        self.shared.status.set_child(None);
        let Some(runner) = self.runner.take() else { return };
        let was_running = self.frame().is_some_and(|frame| {
            runner.begun() >= runner.next_outcome()
                && (frame.sequence..frame.end).contains(&runner.next_outcome())
        });
        let was_ready = runner.is_ready;
        let exit = ended(runner).await;
        if was_running {
            self.false_starts = 0;
            self.task_died(&exit).await;
        } else {
            self.reset().await;
            self.let_go_if_finished().await;
            self.count_false_start(was_ready, &exit).await;
        }
    }

    /// The runner wrote nonsense: it is killed, and the task it was at is to blame. What had ended before stays ended.
    pub(super) async fn runner_broke(&mut self, violation: &Violation) {
        self.shared.status.set_child(None);
        self.runner.iter().for_each(Runner::kill);
        let _more_of_it = self.report_written().await;
        let Some(runner) = self.runner.take() else { return };
        let was_ready = runner.is_ready;
        let exit = ended(runner).await;
        if self.frame().is_some() {
            let message = violation.to_string();
            self.bury(Failure { kind: FailureKind::Crashed.into(), message, ..Failure::default() }).await;
        } else {
            self.reset().await;
            self.let_go_if_finished().await;
            self.count_false_start(was_ready, &exit).await;
        }
    }

    /// The task that was running is to blame, unless the kernel took its memory while others had a share of it: then it
    /// was evicted, a moment before the memory guard would have done so.
    async fn task_died(&mut self, exit: &Exit) {
        let cause = exit.cause();
        if !self.was_out_of_memory(exit) {
            return self.bury(cause).await;
        }
        // Its own slot is free by now.
        if !self.shared.statuses.iter().any(Status::is_busy) {
            let message = format!("the kernel was out of memory: {}", cause.message);
            return self.bury(Failure { kind: FailureKind::OutOfMemory.into(), message, ..cause }).await;
        }
        if let Some(work) = &self.work {
            let (batch_id, offset) = (work.batch_id, work.reported());
            self.tell(Report::Evicted(Evicted { batch_id, offset })).await;
        }
        self.end_batch().await;
    }

    /// The kernel's kills for memory look like any other SIGKILL, but are counted.
    fn was_out_of_memory(&self, exit: &Exit) -> bool {
        let mut oom = self.shared.oom.lock().unwrap_or_else(PoisonError::into_inner);
        exit.is_sigkill() && oom.killed_since(Instant::now())
    }

    /// Nothing lies with a runner any more: all of it can be given back, if that was asked for.
    pub(super) async fn reset(&mut self) {
        self.is_bloated = false;
        self.forget_frame();
        if let Some(work) = &mut self.work {
            work.abandon();
        }
        if self.fence.is_some() {
            self.fence_stands(0).await;
            self.fence = None;
        }
    }

    /// Reports that the task which was running is to blame for the death of its child. Its batch ends here.
    async fn bury(&mut self, cause: Failure) {
        if let Some(work) = self.work.as_ref().filter(|work| !work.is_finished()) {
            let (batch_id, offset) = (work.batch_id, work.reported());
            self.tell(Report::Crashed(Crashed { batch_id, offset, cause: Some(cause) })).await;
        }
        self.end_batch().await;
    }

    async fn end_batch(&mut self) {
        // A batch that ends here has nothing to give back.
        self.fence = None;
        self.let_go().await;
        self.reset().await;
    }

    async fn count_false_start(&mut self, was_ready: bool, exit: &Exit) {
        self.false_starts += 1;
        let Some(job) = self.job.clone() else { return };
        // One that ends by itself would do so again; one that was killed may have been so by chance.
        if !was_ready && !exit.is_violent() {
            self.reject(job.id, job.launcher.stillborn(exit)).await;
        } else if self.false_starts >= FALSE_STARTS_MAX {
            if !was_ready {
                return self.reject(job.id, job.launcher.stillborn(exit)).await;
            }
            let times = self.false_starts;
            let error =
                format!("{times} children in a row died before they began a task; the last one {exit}");
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
