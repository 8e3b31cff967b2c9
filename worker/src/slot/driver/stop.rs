//! Stopping a task that runs: it took too long, its job was stopped, or memory runs out.

use std::time::{Duration, Instant};

use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Evicted, Failure, FailureKind, Returned};

use super::Driver;
use crate::slot::collect::{RunBuilder, Violation};
use crate::slot::runner::Runner;

impl Driver {
    /// Stops the task that was seen to run if that was too long ago. Its slot goes on with a new child at once.
    pub(super) async fn check_time(&mut self, begun: u64) {
        let since = match self.current {
            Some((sequence, since)) if sequence == begun => since,
            _ => {
                let now = Instant::now();
                self.current = Some((begun, now));
                self.shared.status.set_attempt(Some(now));
                now
            }
        };
        let timeout = self.job.as_ref().and_then(|job| job.timeout);
        let Some(timeout) = timeout.filter(|timeout| since.elapsed() >= *timeout) else { return };
        if let Err(violation) = self.report_written().await {
            return self.runner_broke(&violation).await;
        }
        if self.is_due(begun) {
            let mut run = RunBuilder::default();
            run.push_failure(timed_out(timeout));
            self.report(run, None).await;
            self.abandon().await;
            self.let_go_if_finished().await;
        }
    }

    /// Ends a batch at once: what has ended stays ended, the rest is given back, the task that runs included.
    pub(super) async fn stop_batch(&mut self, batch_id: u64) {
        if self.work.as_ref().is_none_or(|work| work.batch_id != batch_id) {
            return;
        }
        if self.frame().is_some() {
            let _nonsense = self.report_written().await;
            self.abandon().await;
        }
        if let Some(work) = &mut self.work {
            work.give_back_unsent(work.length());
            let length = work.length();
            self.tell(Report::Returned(Returned { batch_id, length })).await;
        }
        self.let_go().await;
    }

    /// Kills the task that runs; its batch ends here and it is not to blame.
    pub(super) async fn evict(&mut self) {
        let _nonsense = self.report_written().await;
        let Some(work) = self.work.as_ref().filter(|work| work.frame().is_some()) else { return };
        let (batch_id, offset, is_finished) = (work.batch_id, work.reported(), work.is_finished());
        if let Some(runner) = &self.runner {
            runner.kill();
        }
        self.abandon().await;
        if !is_finished {
            self.tell(Report::Evicted(Evicted { batch_id, offset })).await;
        }
        self.let_go().await;
    }

    /// Lets a child go that does nothing; the next batch starts a new one.
    pub(super) fn recycle_idle(&mut self) {
        if self.work.is_none() {
            self.retire();
        }
    }

    /// Reports what stands in the map.
    pub(super) async fn report_written(&mut self) -> Result<(), Violation> {
        match self.written_until() {
            Some(until) => self.report_until(until, None).await,
            None => Ok(()),
        }
    }

    /// Parts with the runner in the middle of a task: it is interrupted, and killed if that does not help, while the slot is
    /// free again at once.
    async fn abandon(&mut self) {
        self.shared.status.set_child(None);
        if let Some(runner) = self.runner.take() {
            self.see_off(Runner::interrupt(runner));
        }
        self.reset().await;
    }
}

fn timed_out(timeout: Duration) -> Failure {
    let message = format!("the task was stopped after {} s, its time-out", timeout.as_secs_f64());
    Failure { kind: FailureKind::Timeout.into(), message, ..Failure::default() }
}
