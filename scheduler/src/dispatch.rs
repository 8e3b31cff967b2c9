//! What follows from the state after every event: tasks for whoever has room, and questions for whoever has
//! too much.

use crate::action::Action;
use crate::batch::{Batch, Question, Stage};
use crate::event::{BatchId, JobId, Time};
use crate::scheduler::Scheduler;
use crate::takeback::tasks_to_ask;
use crate::worker::Room;

impl Scheduler {
    /// Hands out and asks for as much as there is reason to.
    pub(crate) fn dispatch(&mut self, now: Time, actions: &mut Vec<Action>) {
        while let Some(job) = self.fairness.first() {
            if self.assign_next(now, job, actions).is_none() {
                break;
            }
        }
        while self.may_ask() {
            let Some(batch) = self.candidates.best(now) else { break };
            self.consider(now, batch, actions);
        }
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
        let (range, tries) = job.backlog.take(count)?;
        let charged_ns = expected_ns.unwrap_or(self.config.target_batch_ns);
        let batch = Batch {
            job: id,
            worker,
            range,
            tries,
            done: 0,
            stage: if room == Room::Ahead { Stage::Ahead } else { Stage::Starting },
            question: Question::None,
            place: None,
            assigned_at: now,
            progress_at: now,
            busy_ns: 0,
            charged_ns,
        };
        Self::count(job, &mut self.counts, |counts| {
            counts.queued -= u64::from(range.count);
            counts.running += u64::from(range.count);
        });
        self.fairness.serve(id, &mut job.share, charged_ns);
        let is_ready = job.is_ready();
        self.fairness.set_ready(id, &mut job.share, is_ready);
        actions.push(self.hand_over(batch));
        Some(())
    }

    fn hand_over(&mut self, batch: Batch) -> Action {
        self.last_batch += 1;
        let id = BatchId(self.last_batch);
        let action = Action::Assign {
            worker: batch.worker,
            batch: id,
            job: batch.job,
            first: batch.range.first,
            count: batch.range.count,
            attempt: batch.tries.attempt,
        };
        self.workers.assign(batch.worker, id);
        if let Some(job) = self.jobs.get_mut(&batch.job) {
            job.batches.insert(id);
        }
        self.batches.insert(id, batch);
        self.place_candidate(id);
        action
    }

    /// Whether an idle slot could use what a busy one has too much: nothing waits, and there are fewer
    /// unanswered questions than idle slots.
    pub(crate) fn may_ask(&self) -> bool {
        self.workers.idle_slots() > self.candidates.asked && self.fairness.first().is_none()
    }

    /// Asks a batch for a part of its tasks, unless its place was that of an older estimate. Then it only
    /// gets its right place: the estimate may have changed many times in between, and this is paid once.
    fn consider(&mut self, now: Time, id: BatchId, actions: &mut Vec<Action>) {
        self.place_candidate(id);
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if !batch.place.is_some_and(|place| place.is_worth_asking(now)) {
            return;
        }
        actions.push(Action::TakeBack { worker: batch.worker, batch: id, count: tasks_to_ask(batch) });
        batch.question = Question::Open;
        self.candidates.asked += 1;
        self.place_candidate(id);
    }
}
