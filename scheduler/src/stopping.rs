//! Jobs that stop before their end: cancelled by somebody, or halted by their failures.

use crate::action::Action;
use crate::event::{BatchId, JobId};
use crate::job::Job;
use crate::scheduler::Scheduler;

impl Scheduler {
    /// A job may be cancelled twice: first what has not begun, then what runs.
    pub(crate) fn job_cancelled(&mut self, id: JobId, kills_running: bool, actions: &mut Vec<Action>) {
        let is_new = |job: &Job| !job.is_cancelled || (kills_running && !job.is_killed);
        if !self.jobs.get(&id).is_some_and(is_new) {
            self.ignored.requests += 1;
            return;
        }
        self.stop_job(id, kills_running, actions);
        self.settle_job(id, actions);
    }

    /// Stops a job if enough of it has failed.
    pub(crate) fn halt_if_failed(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let is_due = |job: &Job| !job.is_cancelled && job.is_to_be_halted(&self.config);
        if self.jobs.get(&id).is_some_and(is_due) {
            actions.push(Action::JobHalted { job: id });
            self.stop_job(id, true, actions);
        }
    }

    /// What waits is cancelled at once; what is in flight is stopped, or only that part of it which may not
    /// have begun is asked for.
    fn stop_job(&mut self, id: JobId, kills_running: bool, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        (job.is_closed, job.is_cancelled, job.is_killed) = (true, true, kills_running);
        cancel_backlog(id, job, actions);
        let queued = job.counts.queued;
        Self::count(job, &mut self.counts, |counts| {
            counts.queued -= queued;
            counts.done += queued;
        });
        for batch_id in job.batches.clone() {
            if kills_running {
                self.stop_batch(batch_id, actions);
            } else {
                self.ask_for_all(batch_id, actions);
            }
            self.place(batch_id);
        }
        self.set_late_alarm(id);
    }

    fn stop_batch(&self, id: BatchId, actions: &mut Vec<Action>) {
        if let Some(batch) = self.batches.get(&id) {
            actions.push(Action::Stop { worker: batch.worker, batch: id });
        }
    }

    /// Asks for whatever has not begun, because its job or its worker is to end. Such a question is not
    /// counted among those of idle slots.
    pub(crate) fn ask_for_all(&self, id: BatchId, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get(&id).filter(|batch| !batch.is_void) else { return };
        let count = batch.maybe_unbegun();
        if count > 0 {
            actions.push(Action::TakeBack { worker: batch.worker, batch: id, count });
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
