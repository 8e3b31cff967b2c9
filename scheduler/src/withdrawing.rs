//! Single tasks that are cancelled, while their job goes on.
//!
//! What waits is cancelled at once. A task in flight is *withdrawn*: its batch is asked for it and what follows it. If it comes
//! back it is cancelled there; if the answer is that it has begun, it is the last of its batch by then, and the batch is
//! stopped. One that ends before it heard of that is delivered.

use crate::action::Action;
use crate::batch::Batch;
use crate::event::{BatchId, JobId};
use crate::job::Job;
use crate::ranges::Range;
use crate::scheduler::Scheduler;
use crate::tries::{Retry, Tries};

impl Scheduler {
    /// Cancels the tasks `first..first + count` of a job as far as they wait, and if `kills_running` those in flight too.
    pub(crate) fn tasks_cancelled(
        &mut self,
        id: JobId,
        first: u64,
        count: u64,
        kills_running: bool,
        actions: &mut Vec<Action>,
    ) {
        let end = first.saturating_add(count);
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_cancelled && first < end) else {
            self.ignored.requests += 1;
            return;
        };
        for range in job.backlog.remove(first, end) {
            let count = u64::from(range.count);
            Self::count(job, &mut self.counts, |counts| {
                counts.queued -= count;
                counts.done += count;
            });
            actions.push(Action::Cancel { job: id, first: range.first, count });
        }
        if kills_running {
            for batch in job.batches.clone() {
                self.withdraw_from(batch, first, end, actions);
            }
        }
        self.settle_job(id, actions);
    }

    /// Asks for the tasks of a batch that are among these, and so for all that follow.
    fn withdraw_from(&mut self, id: BatchId, first: u64, end: u64, actions: &mut Vec<Action>) {
        // Of a task that runs twice one attempt may bring its outcome: it is left to that.
        let is_alone = |batch: &&Batch| !batch.is_void && batch.twin.is_none();
        let Some(batch) = self.batches.get(&id).map(Box::as_ref).filter(is_alone) else { return };
        let rest = batch.rest();
        let (from, to) = (first.max(rest.first), end.min(rest.end()));
        if from >= to {
            return;
        }
        actions.push(Action::TakeBack { worker: batch.worker, batch: id, count: (rest.end() - from) as u32 });
        if let Some(job) = self.jobs.get_mut(&batch.job) {
            job.withdrawn.extend(from..to);
        }
    }

    /// After the answer to a question: if the only withdrawn task of the batch is its last, it has begun.
    pub(crate) fn stop_if_withdrawn(&self, id: BatchId, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get(&id).filter(|batch| batch.remaining() > 0) else { return };
        let Some(job) = self.jobs.get(&batch.job).filter(|job| !job.withdrawn.is_empty()) else { return };
        let rest = batch.rest();
        if job.withdrawn.range(rest.first..rest.end()).eq([&(rest.end() - 1)]) {
            actions.push(Action::Stop { worker: batch.worker, batch: id });
        }
    }

    /// Puts a task that was tried into the queue by `queue`, or cancels it if it was withdrawn. It counts as queued.
    pub(crate) fn queue_unless_withdrawn(
        &mut self,
        id: JobId,
        retry: Retry,
        actions: &mut Vec<Action>,
        queue: impl FnOnce(&mut Job, Retry),
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.withdrawn.remove(&retry.index) {
            Self::count(job, &mut self.counts, |counts| {
                counts.queued -= 1;
                counts.done += 1;
            });
            actions.push(Action::Cancel { job: id, first: retry.index, count: 1 });
        } else {
            queue(job, retry);
        }
    }

    /// Takes tasks that did not begin back into the queue, last first, but for those that were withdrawn: they are cancelled.
    pub(crate) fn give_back(&mut self, id: JobId, range: Range, tries: Tries, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let withdrawn: Vec<u64> = job.withdrawn.range(range.first..range.end()).copied().collect();
        let mut kept = range;
        for index in withdrawn.into_iter().rev() {
            job.withdrawn.remove(&index);
            let offset = (index - range.first) as u32;
            job.backlog.give_back(kept.after(offset + 1), tries);
            kept = kept.until(offset);
            Self::count(job, &mut self.counts, |counts| {
                counts.queued -= 1;
                counts.done += 1;
            });
            actions.push(Action::Cancel { job: id, first: index, count: 1 });
        }
        job.backlog.give_back(kept, tries);
    }
}

impl Job {
    /// These tasks have their outcomes.
    pub(crate) fn forget_withdrawn(&mut self, range: Range) {
        if !self.withdrawn.is_empty() {
            self.withdrawn.retain(|index| !(range.first..range.end()).contains(index));
        }
    }
}
