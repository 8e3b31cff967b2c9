//! What clients ask for, and workers that come.

use crate::action::Action;
use crate::event::{BatchId, JobId, JobOptions, WorkerId};
use crate::job::Job;
use crate::scheduler::Scheduler;

impl Scheduler {
    pub(crate) fn job_submitted(&mut self, id: JobId, options: &JobOptions) {
        if self.jobs.contains_key(&id) {
            self.ignored.requests += 1;
            return;
        }
        let share = self.fairness.admit(options.priority);
        self.jobs.insert(id, Job::new(options, share));
    }

    pub(crate) fn tasks_added(&mut self, id: JobId, count: u32) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_closed) else {
            self.ignored.requests += 1;
            return;
        };
        job.backlog.append(job.added, count);
        job.added += u64::from(count);
        Self::count(job, &mut self.counts, |counts| counts.queued += u64::from(count));
        let is_ready = job.is_ready();
        self.fairness.set_ready(id, &mut job.share, is_ready);
    }

    pub(crate) fn job_closed(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_closed) else {
            self.ignored.requests += 1;
            return;
        };
        job.is_closed = true;
        self.settle_job(id, actions);
    }

    /// What waits is cancelled at once; what is in flight and may not have begun is asked for.
    pub(crate) fn job_cancelled(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_cancelled) else {
            self.ignored.requests += 1;
            return;
        };
        job.is_cancelled = true;
        job.is_closed = true;
        cancel_backlog(id, job, actions);
        let queued = job.counts.queued;
        Self::count(job, &mut self.counts, |counts| {
            counts.queued -= queued;
            counts.done += queued;
        });
        for batch_id in job.batches.clone() {
            self.ask_for_all(batch_id, actions);
            self.place_candidate(batch_id);
        }
        self.settle_job(id, actions);
    }

    /// Asks on behalf of a cancelled job. Such a question is not counted among those of idle slots.
    fn ask_for_all(&self, id: BatchId, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get(&id) else { return };
        let count = batch.maybe_unbegun();
        if count > 0 {
            actions.push(Action::TakeBack { worker: batch.worker, batch: id, count });
        }
    }

    pub(crate) fn job_held(&mut self, id: JobId, is_held: bool) {
        let Some(job) = self.jobs.get_mut(&id) else {
            self.ignored.requests += 1;
            return;
        };
        if job.is_held == is_held {
            return;
        }
        job.is_held = is_held;
        let is_ready = job.is_ready();
        self.fairness.set_ready(id, &mut job.share, is_ready);
        for batch_id in job.batches.clone() {
            self.place_candidate(batch_id);
        }
    }

    pub(crate) fn worker_joined(&mut self, id: WorkerId, slots: u32) {
        if !self.workers.join(id, slots) {
            self.ignored.requests += 1;
        }
    }
}

/// Empties a job's backlog into `Cancel` actions, one for each run of consecutive tasks.
fn cancel_backlog(id: JobId, job: &mut Job, actions: &mut Vec<Action>) {
    let mut run: Option<(u64, u64)> = None;
    for range in job.backlog.iter() {
        run = match run {
            Some((first, count)) if first + count == range.first => {
                Some((first, count + u64::from(range.count)))
            }
            before => {
                actions.extend(before.map(|(first, count)| Action::Cancel { job: id, first, count }));
                Some((range.first, u64::from(range.count)))
            }
        };
    }
    actions.extend(run.map(|(first, count)| Action::Cancel { job: id, first, count }));
    job.backlog.clear();
}
