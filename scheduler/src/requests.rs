//! What clients ask for, and workers that come.

use crate::action::Action;
use crate::classes::ClassId;
use crate::event::{JobId, WorkerId};
use crate::job::Job;
use crate::options::JobOptions;
use crate::scheduler::Scheduler;

impl Scheduler {
    pub(crate) fn job_submitted(&mut self, id: JobId, options: JobOptions) {
        if self.jobs.contains_key(&id) {
            self.ignored.requests += 1;
            return;
        }
        let lane = self.lanes.enter(&options.classes);
        let Some(share) = self.lanes.get_mut(lane).map(|lane| lane.fairness.admit(options.priority)) else {
            return;
        };
        self.jobs.insert(id, Job::new(options, lane, share));
    }

    pub(crate) fn tasks_added(&mut self, id: JobId, count: u32) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_closed) else {
            self.ignored.requests += 1;
            return;
        };
        job.backlog.append(job.added, count);
        job.added += u64::from(count);
        Self::count(job, &mut self.counts, |counts| counts.queued += u64::from(count));
        self.list_job(id);
    }

    pub(crate) fn job_closed(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_closed) else {
            self.ignored.requests += 1;
            return;
        };
        job.is_closed = true;
        self.halt_if_failed(id, actions);
        self.settle_job(id, actions);
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
        for batch_id in job.batches.clone() {
            self.place(batch_id);
        }
        self.set_late_alarm(id);
        self.list_job(id);
    }

    pub(crate) fn worker_joined(&mut self, id: WorkerId, slots: u32, class: ClassId) {
        if !self.workers.join(id, slots, class) {
            self.ignored.requests += 1;
        }
    }
}
