//! What follows from the state after every event: tasks for whoever has room, and questions for whoever has
//! too much.

use crate::action::Action;
use crate::batch::{Batch, Question, Stage};
use crate::event::{BatchId, JobId, Time, WorkerId};
use crate::ranges::Range;
use crate::scheduler::Scheduler;
use crate::takeback::tasks_to_ask;
use crate::tries::Tries;
use crate::worker::Room;

impl Scheduler {
    /// Hands out and asks for as much as there is reason to.
    pub(crate) fn dispatch(&mut self, now: Time, actions: &mut Vec<Action>) {
        while let Some(job) = self.delays.due(now) {
            self.wake(now, job);
        }
        self.isolate(now, actions);
        while let Some(job) = self.fairness.first() {
            if self.assign_next(now, job, actions).is_none() {
                break;
            }
        }
        while self.has_slot_to_spare() {
            let Some(batch) = self.candidates.best(now) else { break };
            self.consider(now, batch, actions);
        }
        while self.has_slot_to_spare() {
            let Some(job) = self.late.due(now) else { break };
            if self.copy_latest(now, job, actions).is_none() {
                break;
            }
        }
    }

    /// Queues the tasks of a job whose time has come.
    fn wake(&mut self, now: Time, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.backlog.wake(now);
        }
        self.list_job(id);
    }

    /// Hands out one batch of the job whose turn it is; `None` if nobody has room for it. Others do not take
    /// its turn then: they would keep every slot busy before it for ever.
    fn assign_next(&mut self, now: Time, id: JobId, actions: &mut Vec<Action>) -> Option<()> {
        let (worker, room) = self.workers.least_loaded(self.config.lookahead_batches)?;
        let job = self.jobs.get_mut(&id)?;
        let count = job.sizing.batch_tasks(job.supply(self.workers.slots()), &self.config);
        let expected_ns = job.sizing.expected_ns(count);
        if room == Room::Ahead && expected_ns.is_some_and(|ns| ns > self.config.lookahead_below_ns) {
            return None;
        }
        let tasks = job.backlog.take(count)?;
        let mut batch = self.new_batch(now, id, worker, tasks)?;
        if room == Room::Ahead {
            batch.stage = Stage::Ahead;
        }
        self.hand_over(batch, actions);
        Some(())
    }

    /// Makes a batch of tasks that were just taken from the backlog.
    pub(crate) fn new_batch(
        &mut self,
        now: Time,
        id: JobId,
        worker: WorkerId,
        tasks: (Range, Tries),
    ) -> Option<Batch> {
        let job = self.jobs.get_mut(&id)?;
        let count = u64::from(tasks.0.count);
        Self::count(job, &mut self.counts, |counts| {
            counts.queued -= count;
            counts.running += count;
        });
        Some(Batch::new(now, id, worker, tasks))
    }

    /// Sends a batch on its way, at its job's expense.
    pub(crate) fn hand_over(&mut self, mut batch: Batch, actions: &mut Vec<Action>) -> BatchId {
        self.last_batch += 1;
        let id = BatchId(self.last_batch);
        actions.push(Action::Assign {
            worker: batch.worker,
            batch: id,
            job: batch.job,
            first: batch.range.first,
            count: batch.range.count,
            attempt: batch.tries.attempt,
        });
        if batch.tries.is_alone() {
            self.workers.assign_alone(batch.worker, id);
        } else {
            self.workers.assign(batch.worker, id);
        }
        let job_id = batch.job;
        if let Some(job) = self.jobs.get_mut(&job_id) {
            let expected_ns = job.sizing.expected_ns(batch.range.count);
            batch.charged_ns = expected_ns.unwrap_or(self.config.target_batch_ns);
            self.fairness.serve(job_id, &mut job.share, batch.charged_ns);
            job.batches.insert(id);
        }
        self.batches.insert(id, Box::new(batch));
        self.place(id);
        self.list_job(job_id);
        id
    }

    /// Whether an idle slot could use what a busy one has too much: nothing waits, and there are fewer
    /// unanswered questions than idle slots.
    pub(crate) fn has_slot_to_spare(&self) -> bool {
        self.workers.idle_slots() > self.candidates.asked && self.fairness.first().is_none()
    }

    /// Asks a batch for a part of its tasks, unless its place was that of an older estimate. Then it only
    /// gets its right place: the estimate may have changed many times in between, and this is paid once.
    fn consider(&mut self, now: Time, id: BatchId, actions: &mut Vec<Action>) {
        self.place(id);
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if !batch.place.is_some_and(|place| place.is_worth_asking(now)) {
            return;
        }
        actions.push(Action::TakeBack { worker: batch.worker, batch: id, count: tasks_to_ask(batch) });
        batch.question = Question::Open;
        self.candidates.asked += 1;
        self.place(id);
    }
}
