//! What workers report of their batches, and workers that are gone.
//!
//! A report counts if its batch is in flight, is with that worker, and has all the tasks that the report
//! speaks of. Any other is late or wrong; it is counted and ignored as a whole.

use crate::action::Action;
use crate::batch::{Batch, Question, Stage};
use crate::event::{BatchId, JobId, Time, WorkerId};
use crate::ranges::{Range, Retry, Tries};
use crate::scheduler::Scheduler;

impl Scheduler {
    /// The batch of a report that counts, or `None` after counting it as ignored.
    fn reported(
        &mut self,
        worker: WorkerId,
        id: BatchId,
        fits: impl FnOnce(&Batch) -> bool,
    ) -> Option<&mut Batch> {
        let batch = self.batches.get_mut(&id).filter(|batch| batch.worker == worker && fits(batch));
        if batch.is_none() {
            self.ignored.reports += 1;
        }
        batch
    }

    pub(crate) fn begun(&mut self, now: Time, worker: WorkerId, id: BatchId) {
        let Some(batch) = self.reported(worker, id, |batch| batch.stage != Stage::Begun) else { return };
        batch.progressed(now);
        self.place_candidate(id);
    }

    pub(crate) fn ended(
        &mut self,
        now: Time,
        worker: WorkerId,
        id: BatchId,
        count: u32,
        busy_ns: u64,
        actions: &mut Vec<Action>,
    ) {
        let fits = |batch: &Batch| count > 0 && count <= batch.remaining();
        let Some(batch) = self.reported(worker, id, fits) else { return };
        // No slot can have been busy for longer than it had the batch.
        let busy_ns = busy_ns.min(now.0.saturating_sub(batch.assigned_at.0));
        let first = batch.rest().first;
        actions.push(Action::Deliver { job: batch.job, first, count, attempt: batch.tries.attempt });
        let charged_ns = batch.uncharge(count);
        batch.done += count;
        batch.busy_ns = batch.busy_ns.saturating_add(busy_ns);
        batch.progressed(now);
        let job_id = batch.job;
        self.learn(job_id, count, busy_ns, charged_ns);
        self.after_report(id, actions);
    }

    fn learn(&mut self, id: JobId, count: u32, busy_ns: u64, charged_ns: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        Self::count(job, &mut self.counts, |counts| {
            counts.running -= u64::from(count);
            counts.done += u64::from(count);
        });
        job.sizing.observe(count, busy_ns, &self.config);
        self.fairness.settle(id, &mut job.share, charged_ns, busy_ns);
    }

    pub(crate) fn returned(&mut self, worker: WorkerId, id: BatchId, length: u32, actions: &mut Vec<Action>) {
        let fits = |batch: &Batch| (batch.done..=batch.range.count).contains(&length);
        let Some(batch) = self.reported(worker, id, fits) else { return };
        let tail = batch.range.after(length);
        let was_asked = batch.question == Question::Open;
        if tail.count > 0 {
            batch.question = Question::None;
        } else if was_asked {
            batch.question = Question::InVain;
        }
        let refund_ns = batch.uncharge(tail.count);
        batch.range = batch.range.until(length);
        let (job_id, tries) = (batch.job, batch.tries);
        self.candidates.asked -= u64::from(was_asked);
        self.give_up(job_id, tail, tries, refund_ns, actions);
        self.after_report(id, actions);
    }

    pub(crate) fn crashed(&mut self, worker: WorkerId, id: BatchId, offset: u32, actions: &mut Vec<Action>) {
        let fits = |batch: &Batch| offset == batch.done && batch.remaining() > 0;
        if self.reported(worker, id, fits).is_some() {
            self.lose_batch(id, true, actions);
        }
    }

    /// Every batch of the worker is lost. In one that had begun, a task was running and is to blame as if it
    /// had killed its child: it may be what killed the worker. Batches go back last first, so that their
    /// tasks queue in their order.
    pub(crate) fn worker_left(&mut self, id: WorkerId, actions: &mut Vec<Action>) {
        let Some(worker) = self.workers.leave(id) else {
            self.ignored.reports += 1;
            return;
        };
        for &batch in worker.batches.iter().rev() {
            let was_running = self.batches.get(&batch).is_some_and(|batch| batch.stage == Stage::Begun);
            self.lose_batch(batch, was_running, actions);
        }
    }

    /// Ends a batch whose child or worker died. The first task that has not ended is to blame if one
    /// `was_running`; the others go back as they were.
    fn lose_batch(&mut self, id: BatchId, was_running: bool, actions: &mut Vec<Action>) {
        let Some(mut batch) = self.forget_batch(id) else { return };
        let running = u32::from(was_running).min(batch.remaining());
        let tail = batch.rest().after(running);
        let refund_ns = batch.uncharge(tail.count);
        self.give_up(batch.job, tail, batch.tries, refund_ns, actions);
        if running > 0 {
            self.blame(batch.job, batch.rest().until(1), batch.tries, batch.charged_ns, actions);
        }
        self.settle_job(batch.job, actions);
    }

    /// Takes back tasks that a worker will not run.
    fn give_up(&mut self, id: JobId, range: Range, tries: Tries, refund_ns: u64, actions: &mut Vec<Action>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            self.fairness.settle(id, &mut job.share, refund_ns, 0);
        }
        self.unassign(id, range, tries, actions);
    }

    /// A task was running when its child or worker died: it runs again, alone, until it has done so too
    /// often. The time it had is not known; what was expected of it counts.
    fn blame(&mut self, id: JobId, task: Range, tries: Tries, charged_ns: u64, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.fairness.settle(id, &mut job.share, charged_ns, charged_ns);
        let (index, next) = (task.first, tries.after_crash());
        if job.is_cancelled {
            self.unassign(id, task, tries, actions);
        } else if next.crashes < job.crash_limit {
            Self::count(job, &mut self.counts, |counts| {
                counts.running -= 1;
                counts.queued += 1;
            });
            job.backlog.retry(Retry { index, tries: next });
        } else {
            Self::count(job, &mut self.counts, |counts| {
                counts.running -= 1;
                counts.done += 1;
            });
            actions.push(Action::Fail { job: id, index, attempt: tries.attempt });
        }
    }

    /// Draws the consequences of a report: the batch may be finished, the job may be ready or done.
    fn after_report(&mut self, id: BatchId, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get(&id) else { return };
        let job_id = batch.job;
        if batch.remaining() > 0 {
            self.place_candidate(id);
        } else if let Some(batch) = self.forget_batch(id)
            && let Some(job) = self.jobs.get_mut(&batch.job)
        {
            job.sizing.batch_ended(batch.done, batch.busy_ns, &self.config);
        }
        self.settle_job(job_id, actions);
    }
}
