//! Changes of which workers may run which jobs. What a worker holds of a job that it may not run any more is over there: its tasks
//! go back, without blame.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::action::Action;
use crate::batch::Stage;
use crate::classes::{ClassId, Classes};
use crate::event::{BatchId, JobId, WorkerId};
use crate::scheduler::Scheduler;
use crate::tries::End;

impl Scheduler {
    pub(crate) fn job_limited(&mut self, id: JobId, classes: &Classes, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id) else {
            self.ignored.requests += 1;
            return;
        };
        if job.options.classes == *classes {
            return;
        }
        job.options.classes = classes.clone();
        let held = job.batches.iter().copied().collect();
        self.change_lane(id, classes);
        self.withdraw(held, actions);
    }

    pub(crate) fn worker_classed(&mut self, id: WorkerId, class: ClassId, actions: &mut Vec<Action>) {
        let Some(held) = self.workers.batches(id) else {
            self.ignored.late += 1;
            return;
        };
        self.workers.change_class(id, class);
        self.withdraw(held, actions);
    }

    /// Ends those of some batches that are with a worker which may not run their job. They go back last first, so that their
    /// tasks queue in their order.
    fn withdraw(&mut self, held: Vec<BatchId>, actions: &mut Vec<Action>) {
        let mut jobs = BTreeSet::new();
        for id in held.into_iter().rev().filter(|&id| !self.may_stay(id)).collect::<Vec<_>>() {
            let Some(batch) = self.batches.get(&id) else { continue };
            actions.push(Action::Stop { worker: batch.worker, batch: id });
            let was_running = batch.stage == Stage::Begun;
            jobs.extend(self.lose_batch(id, was_running.then_some(End::Lost), actions));
        }
        for job in jobs {
            self.settle_job(job, actions);
        }
    }

    fn may_stay(&self, id: BatchId) -> bool {
        let Some(batch) = self.batches.get(&id) else { return true };
        let class = self.workers.class(batch.worker);
        let job = self.jobs.get(&batch.job);
        job.zip(class).is_none_or(|(job, class)| job.options.classes.include(class))
    }

    /// Moves a job, with all that is listed of it, to the lane of its new classes.
    fn change_lane(&mut self, id: JobId, classes: &Classes) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (old, new) = (job.lane, self.lanes.enter(classes));
        let mut asked = 0;
        if let Some(lane) = self.lanes.get_mut(old) {
            lane.fairness.leave(id, &mut job.share);
            lane.late.set(id, &mut job.late_at, None);
            lane.alone.remove(&(Reverse(job.share.priority()), id));
            let before = lane.candidates.asked;
            for batch_id in &job.batches {
                if let Some(batch) = self.batches.get_mut(batch_id) {
                    lane.candidates.forget(*batch_id, batch);
                    batch.place = None;
                }
            }
            asked = before - lane.candidates.asked;
        }
        job.is_listed_alone = false;
        job.lane = new;
        if let Some(lane) = self.lanes.get_mut(new) {
            lane.fairness.enter(&job.share);
            lane.candidates.asked += asked;
        }
        for batch_id in job.batches.clone() {
            self.place(batch_id);
        }
        self.lanes.leave(old);
        self.set_late_alarm(id);
        self.list_job(id);
    }
}
