//! The scheduler's state, its one entry, and what may be asked of it. It delegates: what clients ask for is
//! in `requests` and `stopping`, what workers report in `reports` and `losses`, what follows from all of it
//! in `dispatch`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::action::Action;
use crate::alarms::Alarms;
use crate::batch::Batch;
use crate::classes::Classes;
use crate::config::Config;
use crate::event::{BatchId, Event, JobId, Time, WorkerId};
use crate::job::{Job, TaskCounts};
use crate::lanes::{LaneId, Lanes};
use crate::ranges::Range;
use crate::reports::Ending;
use crate::takeback::Place;
use crate::tries::{End, Tries};
use crate::worker::Workers;

/// A hasher for our ids: one multiplication, and no random seed. Ids are counted up by us or by the shell, so
/// that nobody can choose them to collide. No decision follows the order of a hash map; this makes even that
/// order the same in every run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The golden ratio, in fixed point, spreads neighbours over all upper bits; the table looks at the
        // lower ones too.
        let spread = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread ^ (spread >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type FixedHasher = BuildHasherDefault<IdHasher>;

/// Events that had no effect because they did not fit what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Reports of batches that are over, and of workers that are gone: normal after a crash, a lost
    /// connection, or when two messages cross.
    pub late: u64,
    /// Reports that contradict what is known: of a batch that was never handed out or is with another worker,
    /// or of other tasks than it has. No honest worker sends them.
    pub wrong: u64,
    /// Requests of clients, and workers that joined twice: mistakes of the caller.
    pub requests: u64,
}

impl Ignored {
    /// Reports of workers, late or wrong.
    #[must_use]
    pub fn reports(self) -> u64 {
        self.late + self.wrong
    }
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
    /// Slots that no batch was handed out for, and that take any: those of workers that drain, or are kept
    /// for a single task, do not.
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
    /// In a tree, since batches begin and end roughly in the order of their ids: what is touched next lies
    /// beside what was touched before.
    pub(crate) batches: BTreeMap<BatchId, Box<Batch>>,
    pub(crate) workers: Workers,
    pub(crate) lanes: Lanes,
    /// Kept between events so that none allocates: lanes that were passed over while tasks were handed out.
    pub(crate) passed: Vec<LaneId>,
    /// Jobs with delayed tasks, by when the first is due.
    pub(crate) delays: Alarms,
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
            batches: BTreeMap::new(),
            workers: Workers::default(),
            lanes: Lanes::default(),
            passed: Vec::new(),
            delays: Alarms::default(),
            counts: TaskCounts::default(),
            ignored: Ignored::default(),
            last_batch: 0,
        }
    }

    /// Takes notice of an event and appends what is to be done, in order, to `actions`. Outcomes that came
    /// with the event belong to the `Deliver`s or to the `Fail`s among them; those for which there is none are
    /// void.
    ///
    /// The work is bounded by the number of actions, by the classes that workers have, and by the different limits that jobs have,
    /// give or take logarithms, with three exceptions. Two are bounded by the batches in flight of one job or worker: holding,
    /// limiting or stopping a job, and draining, classing or losing a worker. Cancelling tasks of a job is bounded by its batches
    /// in flight and the ranges that wait.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::JobSubmitted { job, options } => self.job_submitted(job, options),
            Event::TasksAdded { job, count } => self.tasks_added(job, count),
            Event::JobClosed { job } => self.job_closed(job, actions),
            Event::JobCancelled { job, kills_running } => self.job_cancelled(job, kills_running, actions),
            Event::TasksCancelled { job, first, count, kills_running } => {
                self.tasks_cancelled(job, first, count, kills_running, actions);
            }
            Event::JobHeld { job, held } => self.job_held(job, held),
            Event::JobLimited { job, classes } => self.job_limited(job, &classes, actions),
            Event::WorkerJoined { worker, slots, class } => self.worker_joined(worker, slots, class),
            Event::WorkerClassed { worker, class } => self.worker_classed(worker, class, actions),
            Event::WorkerDraining { worker } => self.worker_draining(worker, actions),
            Event::WorkerLeft { worker, is_blamed } => self.worker_left(worker, is_blamed, actions),
            Event::Begun { worker, batch } => self.begun(now, worker, batch),
            Event::Ended { worker, batch, count, busy_ns, failed } => {
                self.ended(now, worker, batch, &Ending { count, busy_ns, failed }, actions);
            }
            Event::Returned { worker, batch, length } => self.returned(worker, batch, length, actions),
            Event::Crashed { worker, batch, offset } => {
                self.child_died(worker, batch, offset, End::Crashed, actions);
            }
            Event::Evicted { worker, batch, offset } => {
                self.child_died(worker, batch, offset, End::Evicted, actions);
            }
            Event::TimePassed => {}
        }
        self.dispatch(now, actions);
    }

    /// When to send [`Event::TimePassed`] unless another event comes first; `None` if time alone changes
    /// nothing. It is set while tasks wait for their retry, and while a slot idles and tasks in flight may
    /// turn out to be stuck or late.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Time> {
        let spare = self.lanes.iter().filter(|(_, lane)| self.has_slot_to_spare(lane));
        let of_spare_slots = spare.flat_map(|(_, lane)| [lane.candidates.next_overdue(), lane.late.next()]);
        self.delays.next().into_iter().chain(of_spare_slots.flatten()).min()
    }

    /// The tasks of a job; `None` if it is done or was never known.
    #[must_use]
    pub fn task_counts(&self, job: JobId) -> Option<TaskCounts> {
        self.jobs.get(&job).map(|job| job.counts)
    }

    /// Tasks that a worker holds and that have not ended; `None` if it is not attached.
    #[must_use]
    pub fn tasks_held(&self, worker: WorkerId) -> Option<u64> {
        let held = self.workers.batches(worker)?;
        Some(
            held.iter().filter_map(|id| self.batches.get(id)).map(|batch| u64::from(batch.remaining())).sum(),
        )
    }

    /// Everything in numbers. Costs nothing.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            jobs: self.jobs.len(),
            workers: self.workers.len(),
            slots: self.workers.slots(&Classes::All),
            idle_slots: self.workers.idle_slots(&Classes::All),
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

    /// Lists a batch where it belongs, after it or its job changed: among the candidates for taking back, and
    /// among those that may become late.
    pub(crate) fn place(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let Some(job) = self.jobs.get(&batch.job) else { return };
        let place = Place::of(batch, job, &self.config);
        if let Some(lane) = self.lanes.get_mut(job.lane) {
            lane.candidates.place(id, batch.place, place);
        }
        batch.place = place;
        if job.options.speculate {
            self.watch(id);
        }
    }

    /// Lists a job where it belongs, after its backlog changed or it was held: among those with a turn, with
    /// tasks for empty workers, and with delayed ones.
    pub(crate) fn list_job(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let (is_ready, is_ready_alone) = (job.is_ready(), job.is_ready_alone());
        let is_new = is_ready && !job.share.is_ready();
        let floor_ns = if is_new { self.lanes.floor_ns(job.lane, job.share.priority()) } else { 0 };
        let Some(lane) = self.lanes.get_mut(job.lane) else { return };
        lane.fairness.set_ready(id, &mut job.share, is_ready.then_some(floor_ns));
        if job.is_listed_alone != is_ready_alone {
            job.is_listed_alone = is_ready_alone;
            let place = (Reverse(job.share.priority()), id);
            if is_ready_alone {
                lane.alone.insert(place)
            } else {
                lane.alone.remove(&place)
            };
        }
        let due_at = job.backlog.next_due();
        self.delays.set(id, &mut job.due_at, due_at);
    }

    /// Forgets a batch of which nothing is left to run.
    pub(crate) fn forget_batch(&mut self, id: BatchId) -> Option<Box<Batch>> {
        let batch = self.batches.remove(&id)?;
        self.workers.release(batch.worker, id);
        if let Some(job) = self.jobs.get_mut(&batch.job) {
            if let Some(lane) = self.lanes.get_mut(job.lane) {
                lane.candidates.forget(id, &batch);
            }
            job.batches.remove(&id);
            if let Some(since) = batch.watched_since {
                job.watched.remove(&(since, id));
                self.set_late_alarm(batch.job);
            }
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
            self.give_back(id, range, tries, actions);
        }
    }

    /// Draws the consequences of a change to a job: whether it has a turn, and whether it is done.
    pub(crate) fn settle_job(&mut self, id: JobId, actions: &mut Vec<Action>) {
        self.list_job(id);
        if !self.jobs.get(&id).is_some_and(Job::is_done) {
            return;
        }
        if let Some(mut job) = self.jobs.remove(&id) {
            if let Some(lane) = self.lanes.get_mut(job.lane) {
                lane.fairness.leave(id, &mut job.share);
            }
            self.lanes.leave(job.lane);
            actions.push(Action::JobDone { job: id });
        }
    }
}
