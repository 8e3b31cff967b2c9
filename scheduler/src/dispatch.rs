//! What follows from the state after every event: tasks for whoever has room, and questions for whoever has
//! too much.

use crate::action::Action;
use crate::batch::{Batch, Question, Stage};
use crate::event::{BatchId, JobId, Time, WorkerId};
use crate::lanes::{Lane, LaneId};
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
        self.assign_all(now, actions);
        let mut lane = Some(LaneId::default());
        while let Some(id) = lane {
            self.use_idle_slots(now, id, actions);
            lane = self.lanes.next(id);
        }
    }

    /// Hands out what waits, by turns, as far as there is room.
    fn assign_all(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.passed.clear();
        while let Some((lane, job)) = self.lanes.first(&self.passed) {
            if self.assign_next(now, lane, job, actions).is_none() {
                self.passed.push(lane);
            }
        }
    }

    /// Nothing waits for the idle slots that are left: asks others for what they have too much of this lane, or copies what is late.
    fn use_idle_slots(&mut self, now: Time, id: LaneId, actions: &mut Vec<Action>) {
        while let Some(lane) = self.lanes.get(id).filter(|lane| self.has_slot_to_spare(lane)) {
            let Some(batch) = lane.candidates.best(now) else { break };
            self.consider(now, id, batch, actions);
        }
        while let Some(lane) = self.lanes.get(id).filter(|lane| self.has_slot_to_spare(lane)) {
            let Some(job) = lane.late.due(now) else { break };
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

    /// Hands out one batch of the job whose turn it is; `None` if no worker that may run it has room. Jobs behind it do not get what
    /// such workers may have room for, since they would keep every slot busy before it for ever.
    fn assign_next(&mut self, now: Time, lane: LaneId, id: JobId, actions: &mut Vec<Action>) -> Option<()> {
        let classes = &self.lanes.get(lane)?.classes;
        let is_claimed = |class| self.passed.iter().any(|&passed| self.lanes.include(passed, class));
        let may_use = |class| classes.include(class) && !is_claimed(class);
        let (worker, room) = self.workers.least_loaded(may_use, self.config.lookahead_batches)?;
        let job = self.jobs.get_mut(&id)?;
        let count = job.sizing.batch_tasks(job.supply(self.workers.slots(classes)), &self.config);
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
            if let Some(lane) = self.lanes.get_mut(job.lane) {
                lane.fairness.serve(job_id, &mut job.share, batch.charged_ns);
            }
            job.batches.insert(id);
        }
        self.batches.insert(id, Box::new(batch));
        self.place(id);
        self.list_job(job_id);
        id
    }

    /// Whether an idle slot could use what a busy one has too much: there are fewer unanswered questions than idle slots. Nothing
    /// waits that could use them, or it would have been handed out.
    pub(crate) fn has_slot_to_spare(&self, lane: &Lane) -> bool {
        let idle = self.workers.idle_slots(&lane.classes);
        idle > 0 && idle > self.lanes.asked(lane)
    }

    /// What was expected of a job's tasks is over, and they took so long.
    pub(crate) fn settle_share(&mut self, id: JobId, expected_ns: u64, busy_ns: u64) {
        if let Some(job) = self.jobs.get_mut(&id)
            && let Some(lane) = self.lanes.get_mut(job.lane)
        {
            lane.fairness.settle(id, &mut job.share, expected_ns, busy_ns);
        }
    }

    /// A question to a batch of a job is not open any more.
    pub(crate) fn answered(&mut self, id: JobId) {
        if let Some(lane) = self.jobs.get(&id).and_then(|job| self.lanes.get_mut(job.lane)) {
            lane.candidates.asked -= 1;
        }
    }

    /// Asks a batch for a part of its tasks, unless its place was that of an older estimate. Then it only
    /// gets its right place: the estimate may have changed many times in between, and this is paid once.
    fn consider(&mut self, now: Time, lane: LaneId, id: BatchId, actions: &mut Vec<Action>) {
        self.place(id);
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if !batch.place.is_some_and(|place| place.is_worth_asking(now)) {
            return;
        }
        actions.push(Action::TakeBack { worker: batch.worker, batch: id, count: tasks_to_ask(batch) });
        batch.question = Question::Open;
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.candidates.asked += 1;
        }
        self.place(id);
    }
}
