//! Copies of tasks that take much longer than the others of their job, on slots that would idle. A task and
//! its copy are two batches, twins, of one task each; the first outcome counts, and the other batch is void
//! from then on: its worker is told to stop it, and only its slot is waited for. As long as one of them runs,
//! the end of the other without an outcome is noted and nothing more.

use crate::action::Action;
use crate::batch::{Batch, Question, Stage};
use crate::event::{BatchId, JobId, Time};
use crate::job::Job;
use crate::scheduler::Scheduler;
use crate::tries::{End, Tries};

impl Scheduler {
    /// Copies the task of a job that has run for longest; the job's alarm said that it is late.
    pub(crate) fn copy_latest(&mut self, now: Time, job: JobId, actions: &mut Vec<Action>) -> Option<()> {
        let late = self.jobs.get(&job)?;
        let &(_, id) = late.watched.first()?;
        let classes = &self.lanes.get(late.lane)?.classes;
        let batch = self.batches.get_mut(&id)?;
        let worker = self.workers.idle_besides(classes, batch.worker)?;
        batch.was_copied = true;
        batch.last_attempt = batch.last_attempt.saturating_add(1);
        let tries = Tries { attempt: batch.last_attempt, ..batch.tries };
        let mut copy = Batch::new(now, job, worker, (batch.rest(), tries));
        (copy.was_copied, copy.twin) = (true, Some(id));
        let copy_id = self.hand_over(copy, actions);
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.twin = Some(copy_id);
        }
        self.place(id);
        Some(())
    }

    /// Ends a batch without an outcome, if its twin still runs; returns whether it does. `end` is how the
    /// attempt ended if it had begun.
    pub(crate) fn leave_to_twin(&mut self, id: BatchId, end: Option<End>) -> bool {
        let Some(twin_id) = self.batches.get(&id).and_then(|batch| batch.twin) else { return false };
        let Some(batch) = self.forget_batch(id) else { return false };
        self.settle_share(batch.job, batch.charged_ns, batch.charged_ns);
        if let Some(twin) = self.batches.get_mut(&twin_id) {
            twin.twin = None;
            // An eviction says something of the worker that has both, not of the one that goes on.
            twin.tries =
                end.filter(|&end| end != End::Evicted).map_or(twin.tries, |end| twin.tries.with(end));
            twin.last_attempt = twin.last_attempt.max(batch.last_attempt);
        }
        true
    }

    /// The twin of a batch has its outcome: stops the batch.
    pub(crate) fn void(&mut self, id: BatchId, actions: &mut Vec<Action>) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        (batch.is_void, batch.twin) = (true, None);
        let was_asked = std::mem::replace(&mut batch.question, Question::None) == Question::Open;
        actions.push(Action::Stop { worker: batch.worker, batch: id });
        let (job_id, charged_ns) = (batch.job, batch.charged_ns);
        if was_asked {
            self.answered(job_id);
        }
        self.place(id);
        if let Some(job) = self.jobs.get_mut(&job_id) {
            job.batches.remove(&id);
        }
        self.settle_share(job_id, charged_ns, charged_ns);
    }

    /// Lists a batch with those that may become late, or no more, after it changed.
    pub(crate) fn watch(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let Some(job) = self.jobs.get_mut(&batch.job) else { return };
        let since = may_become_late(batch, job).then_some(batch.progress_at);
        if batch.watched_since == since {
            return;
        }
        if let Some(before) = batch.watched_since {
            job.watched.remove(&(before, id));
        }
        job.watched.extend(since.map(|since| (since, id)));
        batch.watched_since = since;
        let job_id = batch.job;
        self.set_late_alarm(job_id);
    }

    /// Sets the alarm for the moment when the first of a job's tasks is late, by what is known now.
    pub(crate) fn set_late_alarm(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.options.speculate) else { return };
        let first = job.watched.first().filter(|_| job.is_movable());
        let late_at = first.zip(job.sizing.expected_ns(1)).map(|(&(since, _), task_ns)| {
            let by_others = task_ns.saturating_mul(self.config.late_factor);
            let by_target = self.config.target_batch_ns.saturating_mul(self.config.late_targets);
            Time(since.0.saturating_add(by_others.max(by_target)).saturating_add(1))
        });
        if let Some(lane) = self.lanes.get_mut(job.lane) {
            lane.late.set(id, &mut job.late_at, late_at);
        }
    }
}

/// Whether one task of the batch is left, runs, and may be copied. One that needs a worker to itself may not.
pub(crate) fn may_become_late(batch: &Batch, job: &Job) -> bool {
    let is_running_its_last = batch.stage == Stage::Begun && batch.remaining() == 1;
    let may_be_copied = !batch.was_copied && !batch.is_void && !batch.tries.is_alone();
    job.options.speculate && is_running_its_last && may_be_copied
}
