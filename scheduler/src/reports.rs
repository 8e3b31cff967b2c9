//! What workers report of their batches.
//!
//! A report counts if its batch is in flight, is with that worker, and has all the tasks that the report
//! speaks of. Any other is late or wrong; it is counted and ignored as a whole.

use crate::action::Action;
use crate::batch::{Batch, Question, Stage};
use crate::event::{BatchId, JobId, Time, WorkerId};
use crate::ranges::Range;
use crate::scheduler::Scheduler;
use crate::tries::{End, Retry, Tries};

/// Tasks of a batch that have ended.
pub(crate) struct Ending {
    pub(crate) count: u32,
    pub(crate) busy_ns: u64,
    /// Those that failed, counted from the first of these.
    pub(crate) failed: Vec<u32>,
}

impl Ending {
    fn fits(&self, batch: &Batch) -> bool {
        let is_ascending = self.failed.is_sorted_by(|before, after| before < after);
        let are_of_these = self.failed.last().is_none_or(|&last| last < self.count);
        (1..=batch.remaining()).contains(&self.count) && is_ascending && are_of_these
    }
}

impl Scheduler {
    /// The batch of a report that counts, or `None` after counting it as ignored.
    pub(crate) fn reported(
        &mut self,
        worker: WorkerId,
        id: BatchId,
        fits: impl FnOnce(&Batch) -> bool,
    ) -> Option<&mut Batch> {
        let batch = self.batches.get_mut(&id).map(Box::as_mut);
        if batch.is_none() && (1..=self.last_batch).contains(&id.0) {
            self.ignored.late += 1;
            return None;
        }
        let batch = batch.filter(|batch| batch.worker == worker && fits(batch));
        if batch.is_none() {
            self.ignored.wrong += 1;
        }
        batch
    }

    pub(crate) fn begun(&mut self, now: Time, worker: WorkerId, id: BatchId) {
        let Some(batch) = self.reported(worker, id, |batch| batch.stage != Stage::Begun) else { return };
        batch.progressed(now);
        self.place(id);
    }

    pub(crate) fn ended(
        &mut self,
        now: Time,
        worker: WorkerId,
        id: BatchId,
        ending: &Ending,
        actions: &mut Vec<Action>,
    ) {
        let Some(batch) = self.reported(worker, id, |batch| ending.fits(batch)) else { return };
        if batch.is_void {
            self.forget_batch(id);
            return;
        }
        // No slot can have been busy for longer than it had the batch.
        let busy_ns = ending.busy_ns.min(now.0.saturating_sub(batch.assigned_at.0));
        let (job_id, range, twin) = (batch.job, batch.rest().until(ending.count), batch.twin);
        let next = batch.next_tries(End::Failed);
        let runs_again = !ending.failed.is_empty() && self.may_retry(job_id, next);
        if runs_again && self.leave_to_twin(id, Some(End::Failed)) {
            self.settle_job(job_id, actions);
            return;
        }
        self.progress(now, id, ending.count, busy_ns);
        if runs_again {
            self.deliver_around(id, range, &ending.failed, actions);
            self.retry_failed(now, job_id, range, &ending.failed, next, actions);
        } else {
            self.deliver(id, range, 0, actions);
            self.count_failures(job_id, ending.failed.len() as u64);
        }
        if let Some(twin) = twin {
            self.void(twin, actions);
        }
        self.forget_if_over(id);
        self.halt_if_failed(job_id, actions);
        self.settle_job(job_id, actions);
    }

    /// Whether a task of the job runs again that will then have been tried so often.
    fn may_retry(&self, id: JobId, next: Tries) -> bool {
        let job = self.jobs.get(&id).filter(|job| !job.is_cancelled);
        job.is_some_and(|job| next.failures <= job.options.retries)
    }

    /// Notes that the next tasks of a batch have ended, and learns from it.
    fn progress(&mut self, now: Time, id: BatchId, count: u32, busy_ns: u64) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let charged_ns = batch.uncharge(count);
        batch.done += count;
        batch.busy_ns = batch.busy_ns.saturating_add(busy_ns);
        batch.progressed(now);
        let job_id = batch.job;
        if let Some(job) = self.jobs.get_mut(&job_id) {
            job.sizing.observe(count, busy_ns, &self.config);
        }
        self.settle_share(job_id, charged_ns, busy_ns);
        self.set_late_alarm(job_id);
    }

    fn deliver(&mut self, id: BatchId, range: Range, offset: u32, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get(&id) else { return };
        let Some(job) = self.jobs.get_mut(&batch.job) else { return };
        let (first, count, attempt) = (range.first, range.count, batch.tries.attempt);
        actions.push(Action::Deliver { job: batch.job, first, offset, count, attempt });
        job.forget_withdrawn(range);
        Self::count(job, &mut self.counts, |counts| {
            counts.running -= u64::from(count);
            counts.done += u64::from(count);
        });
    }

    /// Delivers what lies before, between and after the tasks that run again.
    fn deliver_around(&mut self, id: BatchId, range: Range, failed: &[u32], actions: &mut Vec<Action>) {
        let mut from = 0;
        for &end in failed.iter().chain([&range.count]) {
            let part = range.until(end).after(from);
            if part.count > 0 {
                self.deliver(id, part, from, actions);
            }
            from = end.saturating_add(1);
        }
    }

    /// Queues the tasks that failed, each for its time.
    fn retry_failed(
        &mut self,
        now: Time,
        id: JobId,
        range: Range,
        failed: &[u32],
        next: Tries,
        actions: &mut Vec<Action>,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let count = failed.len() as u64;
        Self::count(job, &mut self.counts, |counts| {
            counts.running -= count;
            counts.queued += count;
        });
        for &offset in failed {
            let retry = Retry { index: range.first + u64::from(offset), tries: next };
            let delay_ns = self.jobs.get(&id).map_or(0, |job| retry.delay_ns(id, &job.options, &self.config));
            self.queue_unless_withdrawn(id, retry, actions, |job, retry| match delay_ns {
                0 => job.backlog.retry(retry),
                delay_ns => job.backlog.retry_at(Time(now.0.saturating_add(delay_ns)), retry),
            });
        }
    }

    fn count_failures(&mut self, id: JobId, count: u64) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.failed += count;
        }
    }

    pub(crate) fn returned(&mut self, worker: WorkerId, id: BatchId, length: u32, actions: &mut Vec<Action>) {
        let fits = |batch: &Batch| (batch.done..=batch.range.count).contains(&length);
        let Some(batch) = self.reported(worker, id, fits) else { return };
        let is_over = length == batch.done;
        if batch.is_void {
            if is_over {
                self.forget_batch(id);
            }
            return;
        }
        let job_id = batch.job;
        if !is_over || !self.leave_to_twin(id, None) {
            self.shorten(id, length, actions);
            self.forget_if_over(id);
            self.stop_if_withdrawn(id, actions);
        }
        self.settle_job(job_id, actions);
    }

    /// Takes the tasks from `length` on off a batch, and closes the question that this answers.
    fn shorten(&mut self, id: BatchId, length: u32, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
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
        if was_asked {
            self.answered(job_id);
        }
        self.give_up(job_id, tail, tries, refund_ns, actions);
    }

    /// Takes back tasks that a worker will not run.
    pub(crate) fn give_up(
        &mut self,
        id: JobId,
        range: Range,
        tries: Tries,
        refund_ns: u64,
        actions: &mut Vec<Action>,
    ) {
        self.settle_share(id, refund_ns, 0);
        self.unassign(id, range, tries, actions);
    }

    /// After a report: forgets the batch if nothing of it is left to run.
    fn forget_if_over(&mut self, id: BatchId) {
        if self.batches.get(&id).is_some_and(|batch| batch.remaining() > 0) {
            self.place(id);
        } else if let Some(batch) = self.forget_batch(id)
            && let Some(job) = self.jobs.get_mut(&batch.job)
        {
            job.sizing.batch_ended(batch.done, batch.busy_ns, &self.config);
        }
    }
}
