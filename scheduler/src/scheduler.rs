//! The scheduler's state, its one entry, and what may be asked of it. It delegates: what clients ask for is
//! in
//! `requests`, what workers report in `reports`, what follows from both in `dispatch`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

use crate::action::Action;
use crate::batch::{Batch, Question};
use crate::config::Config;
use crate::event::{BatchId, Event, JobId, Time};
use crate::fairness::Fairness;
use crate::job::{Job, TaskCounts};
use crate::ranges::{Range, Tries};
use crate::takeback::{Candidates, Place};
use crate::worker::Workers;

/// A hasher without a random seed. No decision follows the order of a hash map; this makes even that order
/// the same in every run.
pub(crate) type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// Events that had no effect because they did not fit what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Reports of workers: late ones (which are normal after a crash or a lost connection) and wrong ones.
    pub reports: u64,
    /// Requests of clients, and workers that joined twice: mistakes of the caller.
    pub requests: u64,
}

/// The whole scheduler in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Jobs that are not done.
    pub jobs: usize,
    /// Attached workers.
    pub workers: usize,
    /// Their slots.
    pub slots: u64,
    /// Slots that no batch was handed out for.
    pub idle_slots: u64,
    /// Batches in flight.
    pub batches: usize,
    /// Tasks: those that wait or run, and all that were ever done.
    pub tasks: TaskCounts,
}

/// Decides which worker runs which tasks.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) jobs: HashMap<JobId, Job, FixedHasher>,
    pub(crate) batches: HashMap<BatchId, Batch, FixedHasher>,
    pub(crate) workers: Workers,
    pub(crate) fairness: Fairness,
    pub(crate) candidates: Candidates,
    pub(crate) counts: TaskCounts,
    pub(crate) ignored: Ignored,
    pub(crate) last_batch: u64,
}

impl Scheduler {
    /// A scheduler without jobs and workers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            jobs: HashMap::default(),
            batches: HashMap::default(),
            workers: Workers::default(),
            fairness: Fairness::default(),
            candidates: Candidates::default(),
            counts: TaskCounts::default(),
            ignored: Ignored::default(),
            last_batch: 0,
        }
    }

    /// Takes notice of an event and appends what is to be done, in order, to `actions`. Outcomes that came
    /// with the event belong to the one `Deliver` or to the `Fail`s among them; if there is none, they are
    /// void.
    ///
    /// The work is bounded by the number of actions, give or take logarithms, with two exceptions that are
    /// bounded by the batches in flight of one job or worker: holding or cancelling a job, and losing a
    /// worker.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::JobSubmitted { job, options } => self.job_submitted(job, &options),
            Event::TasksAdded { job, count } => self.tasks_added(job, count),
            Event::JobClosed { job } => self.job_closed(job, actions),
            Event::JobCancelled { job } => self.job_cancelled(job, actions),
            Event::JobHeld { job, held } => self.job_held(job, held),
            Event::WorkerJoined { worker, slots } => self.worker_joined(worker, slots),
            Event::WorkerLeft { worker } => self.worker_left(worker, actions),
            Event::Begun { worker, batch } => self.begun(now, worker, batch),
            Event::Ended { worker, batch, count, busy_ns } => {
                self.ended(now, worker, batch, count, busy_ns, actions);
            }
            Event::Returned { worker, batch, length } => self.returned(worker, batch, length, actions),
            Event::Crashed { worker, batch, offset } => self.crashed(worker, batch, offset, actions),
            Event::TimePassed => {}
        }
        self.dispatch(now, actions);
    }

    /// When to send [`Event::TimePassed`] unless another event comes first; `None` if time alone changes
    /// nothing. It is set only while a slot idles and short tasks may sit behind one that is stuck.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        if self.may_ask() { self.candidates.next_overdue() } else { None }
    }

    /// The tasks of a job; `None` if it is done or was never known.
    #[must_use]
    pub fn task_counts(&self, job: JobId) -> Option<TaskCounts> {
        self.jobs.get(&job).map(|job| job.counts)
    }

    /// Everything in numbers. Costs nothing.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            jobs: self.jobs.len(),
            workers: self.workers.len(),
            slots: self.workers.slots(),
            idle_slots: self.workers.idle_slots(),
            batches: self.batches.len(),
            tasks: self.counts,
        }
    }

    /// Events that had no effect, since the start.
    #[must_use]
    pub fn ignored(&self) -> Ignored {
        self.ignored
    }

    /// Applies a change to the counts of a job and of all together.
    pub(crate) fn count(job: &mut Job, all: &mut TaskCounts, change: impl Fn(&mut TaskCounts)) {
        change(&mut job.counts);
        change(all);
    }

    /// Gives a batch its place among the candidates for taking back, after it or its job changed.
    pub(crate) fn place_candidate(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let Some(job) = self.jobs.get(&batch.job) else { return };
        let place = Place::of(batch, job, &self.config);
        self.candidates.place(id, batch.place, place);
        batch.place = place;
    }

    /// Forgets a batch of which nothing is left to run.
    pub(crate) fn forget_batch(&mut self, id: BatchId) -> Option<Batch> {
        let batch = self.batches.remove(&id)?;
        self.candidates.place(id, batch.place, None);
        if batch.question == Question::Open {
            self.candidates.asked -= 1;
        }
        self.workers.release(batch.worker, id);
        if let Some(job) = self.jobs.get_mut(&batch.job) {
            job.batches.remove(&id);
        }
        Some(batch)
    }

    /// Takes tasks of a batch that did not begin back into the queue, or out of the world if their job was
    /// cancelled.
    pub(crate) fn unassign(&mut self, id: JobId, range: Range, tries: Tries, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if range.count == 0 {
            return;
        }
        let count = u64::from(range.count);
        if job.is_cancelled {
            Self::count(job, &mut self.counts, |counts| {
                counts.running -= count;
                counts.done += count;
            });
            actions.push(Action::Cancel { job: id, first: range.first, count });
        } else {
            Self::count(job, &mut self.counts, |counts| {
                counts.running -= count;
                counts.queued += count;
            });
            job.backlog.give_back(range, tries);
        }
    }

    /// Draws the consequences of a change to a job: whether it has a turn, and whether it is done.
    pub(crate) fn settle_job(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let is_ready = job.is_ready();
        self.fairness.set_ready(id, &mut job.share, is_ready);
        if !job.is_done() {
            return;
        }
        if let Some(job) = self.jobs.remove(&id) {
            self.fairness.retire(id, job.share);
            actions.push(Action::JobDone { job: id });
        }
    }
}
