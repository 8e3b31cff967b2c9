//! Attempts that end without an outcome: children that die or are killed, and workers that are gone. Each
//! costs the one task that ran; the others of its batch never began, and go back as they were.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::batch::{Batch, Stage};
use crate::event::{BatchId, JobId, WorkerId};
use crate::scheduler::Scheduler;
use crate::tries::{End, Retry};
use crate::worker::Intake;

impl Scheduler {
    /// The child that ran the task at `offset` is dead.
    pub(crate) fn child_died(
        &mut self,
        worker: WorkerId,
        id: BatchId,
        offset: u32,
        end: End,
        actions: &mut Vec<Action>,
    ) {
        let fits = |batch: &Batch| offset == batch.done && batch.remaining() > 0;
        if self.reported(worker, id, fits).is_some()
            && let Some(job) = self.lose_batch(id, Some(end), actions)
        {
            self.halt_if_failed(job, actions);
            self.settle_job(job, actions);
        }
    }

    /// Every batch of the worker is lost. In one that had begun, a task was running, and may be what killed
    /// the worker. Batches go back last first, so that their tasks queue in their order.
    pub(crate) fn worker_left(&mut self, id: WorkerId, is_blamed: bool, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.leave(id) else {
            self.ignored.late += 1;
            return;
        };
        let end = if is_blamed && worker.intake != Intake::Draining { End::Crashed } else { End::Lost };
        let mut jobs = BTreeSet::new();
        for &batch in worker.batches.iter().rev() {
            let was_running = self.batches.get(&batch).is_some_and(|batch| batch.stage == Stage::Begun);
            jobs.extend(self.lose_batch(batch, was_running.then_some(end), actions));
        }
        // Only now, since a job that halts stops all its batches, and none is left on this worker.
        for job in jobs {
            self.halt_if_failed(job, actions);
            self.settle_job(job, actions);
        }
    }

    /// Ends a batch whose child or worker is gone, or may not run it any more; returns its job unless that may be forgotten. If a task
    /// was running, it is the first that has not ended, and its attempt ended so.
    pub(crate) fn lose_batch(
        &mut self,
        id: BatchId,
        end: Option<End>,
        actions: &mut Vec<Action>,
    ) -> Option<JobId> {
        let batch = self.batches.get(&id)?;
        let (job, is_void) = (batch.job, batch.is_void);
        if is_void {
            self.forget_batch(id);
            return None;
        }
        if !self.leave_to_twin(id, end) {
            self.break_up(id, end, actions);
        }
        Some(job)
    }

    fn break_up(&mut self, id: BatchId, end: Option<End>, actions: &mut Vec<Action>) {
        let Some(mut batch) = self.forget_batch(id) else { return };
        let tail = batch.rest().after(u32::from(end.is_some()));
        let refund_ns = batch.uncharge(tail.count);
        self.give_up(batch.job, tail, batch.tries, refund_ns, actions);
        if let Some(end) = end {
            self.try_again(&batch, end, actions);
        }
    }

    /// The first task of a batch was running when its attempt ended without an outcome: it runs again, by
    /// itself, until that has happened too often. The time it had is not known; what was expected of it
    /// counts.
    fn try_again(&mut self, batch: &Batch, end: End, actions: &mut Vec<Action>) {
        let (id, next) = (batch.job, batch.next_tries(end));
        self.settle_share(id, batch.charged_ns, batch.charged_ns);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let task = batch.rest().until(1);
        if job.is_cancelled {
            self.unassign(id, task, batch.tries, actions);
        } else if next.crashes < job.options.crash_limit.max(1) && next.evictions < self.config.eviction_limit
        {
            Self::count(job, &mut self.counts, |counts| {
                counts.running -= 1;
                counts.queued += 1;
            });
            let retry = Retry { index: task.first, tries: next };
            self.queue_unless_withdrawn(id, retry, actions, |job, retry| job.backlog.retry(retry));
        } else {
            Self::count(job, &mut self.counts, |counts| {
                counts.running -= 1;
                counts.done += 1;
            });
            job.failed += 1;
            job.forget_withdrawn(task);
            actions.push(Action::Fail { job: id, index: task.first, attempt: batch.tries.attempt });
        }
    }

    /// A worker is about to leave.
    pub(crate) fn worker_draining(&mut self, id: WorkerId, actions: &mut Vec<Action>) {
        let Some(batches) = self.workers.drain(id) else {
            self.ignored.late += 1;
            return;
        };
        for batch in batches {
            self.ask_for_all(batch, actions);
        }
    }
}
