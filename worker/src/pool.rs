//! The pool: hands the batches that the coordinator sends to idle slots, first come, first served.
//!
//! It decides little. Batches wait here until a slot has room for them, since from here they can be given back at no cost.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{
    Batch, Draining, FunctionsAdded, JobRejected, JobStarted, Returned, TakeBack, WorkerMessage,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::files::{FetchError, JobFolder};
use crate::job::Job;
use crate::launch::{self, Ground};
use crate::memory::guard::{Decision, Guard};
use crate::memory::limits::Limits;
use crate::memory::oom::OomWatch;
use crate::session::SessionError;
use crate::slot::driver::{COMMAND_QUEUE, Driver, Left, Shared, SlotCommand};
use crate::slot::status::Status;
use crate::slot::work::Work;

/// Time between two looks at the memory of the machine.
pub(crate) const GUARD_INTERVAL: Duration = Duration::from_millis(100);

/// All slots of a worker.
pub(crate) struct Pool {
    ground: Ground,
    slots: Vec<Slot>,
    jobs: HashMap<u64, Arc<Job>>,
    /// Jobs that cannot run here; batches of them may still come.
    rejected: HashSet<u64>,
    /// Brings the files of jobs.
    fetches: JoinSet<(u64, Result<(), FetchError>)>,
    /// Jobs whose files are still to come; their batches wait.
    fetching: HashMap<u64, AbortHandle>,
    waiting: VecDeque<Work>,
    /// Which slot has which batch.
    placed: HashMap<u64, usize>,
    reports: mpsc::Sender<WorkerMessage>,
    /// What the pool itself has to report, until there is room for it: at most a few words for each message it was sent.
    unsaid: VecDeque<WorkerMessage>,
    memory: Limits,
    guard: Guard,
    oom: Arc<Mutex<OomWatch>>,
    /// Memory is short: a batch may begin only while no other runs.
    is_holding: bool,
    /// No batch begins any more.
    is_draining: bool,
}

struct Slot {
    commands: mpsc::Sender<SlotCommand>,
    is_idle: bool,
    status: Status,
}

/// A slot does not take its commands any more: its task has ended, which it never should.
#[derive(Debug, thiserror::Error)]
#[error("slot {} of the pool does not answer", .0 + 1)]
pub struct SlotStuck(usize);

/// A batch that cannot be run as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadBatch {
    #[error("batch {batch} is of job {job}, which was never announced")]
    UnknownJob { batch: u64, job: u64 },
    #[error("batch {0} has no tasks")]
    Empty(u64),
    #[error("the payloads of batch {batch} have {payloads} bytes, their lengths add up to {lengths}")]
    LengthsDisagree { batch: u64, payloads: usize, lengths: u64 },
}

impl Pool {
    /// A pool of idle slots, none of which reports more at once than a message may have, and the channel on which they say which batches have left.
    pub(crate) fn start(
        ground: Ground,
        reports: mpsc::Sender<WorkerMessage>,
        max_message_bytes: usize,
    ) -> (Self, mpsc::Receiver<Left>) {
        let (left, departures) = mpsc::channel(ground.slots);
        let oom = Arc::new(Mutex::new(OomWatch::start()));
        let statuses: Arc<[Status]> = (0..ground.slots).map(|_| Status::default()).collect();
        let slots = statuses.iter().cloned().enumerate().map(|(slot, status)| {
            let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
            let (left, reports, tasks) = (left.clone(), reports.clone(), ground.tasks.clone());
            let (oom, statuses) = (oom.clone(), statuses.clone());
            let status = status.clone();
            let shared =
                Shared { left, reports, max_message_bytes, tasks, status: status.clone(), statuses, oom };
            ground.tasks.spawn(Driver::new(slot, receiver, shared).run());
            Slot { commands, is_idle: true, status }
        });
        let slots = slots.collect();
        let pool = Self {
            ground,
            slots,
            jobs: HashMap::new(),
            rejected: HashSet::new(),
            fetches: JoinSet::new(),
            fetching: HashMap::new(),
            waiting: VecDeque::new(),
            placed: HashMap::new(),
            reports,
            unsaid: VecDeque::new(),
            memory: Limits::find(),
            guard: Guard::default(),
            oom,
            is_holding: false,
            is_draining: false,
        };
        (pool, departures)
    }

    /// The coordinator announces a job.
    pub(crate) fn job_started(&mut self, announced: JobStarted) {
        let job_id = announced.job_id;
        match launch::prepare(announced, &self.ground) {
            Ok(job) => {
                if let Some(folder) = &job.folder {
                    self.fetch(job_id, folder.clone());
                }
                self.jobs.insert(job_id, Arc::new(job));
            }
            Err(error) => self.reject(job_id, error.to_string()),
        }
    }

    fn fetch(&mut self, job_id: u64, folder: Arc<JobFolder>) {
        let filled = self.ground.fetcher.clone().fill(folder);
        let fetch = self.fetches.spawn(async move { (job_id, filled.await) });
        self.fetching.insert(job_id, fetch);
    }

    /// Lets a job begin whose files have come.
    fn fetched(
        &mut self,
        fetched: Result<(u64, Result<(), FetchError>), JoinError>,
    ) -> Result<(), SlotStuck> {
        let (job_id, error) = match fetched {
            Ok((job_id, fetched)) => (job_id, fetched.err().map(|error| error.to_string())),
            Err(error) => {
                let of = self.fetching.iter().find(|(_, fetch)| fetch.id() == error.id());
                // If it is of no job any more, that has ended before.
                let Some((job_id, _)) = of else { return Ok(()) };
                (*job_id, Some(error.to_string()))
            }
        };
        match (self.fetching.remove(&job_id), error) {
            (Some(_), Some(error)) => self.reject(job_id, error),
            (Some(_), None) => return self.place(),
            (None, _) => {}
        }
        Ok(())
    }

    /// Nothing of a job is run.
    fn reject(&mut self, job_id: u64, error: String) {
        self.jobs.remove(&job_id);
        self.waiting.retain(|work| work.job.id != job_id);
        self.rejected.insert(job_id);
        self.tell(Report::JobRejected(JobRejected { job_id, error }));
    }

    /// Functions that batches of a job may name from here on.
    pub(crate) fn functions_added(&self, added: FunctionsAdded) {
        if let (Some(job), Some(list)) = (self.jobs.get(&added.job_id), added.functions) {
            job.functions.add(list);
        }
    }

    /// Takes a batch; of a job that was rejected nothing is run.
    pub(crate) fn batch(&mut self, batch: Batch) -> Result<(), SessionError> {
        check(&batch)?;
        let (batch_id, job_id) = (batch.batch_id, batch.job_id);
        match self.jobs.get(&job_id) {
            // It was sent before the coordinator knew.
            Some(_) if self.is_draining => self.tell(Report::Returned(Returned { batch_id, length: 0 })),
            Some(job) => self.waiting.push_back(Work::new(batch, job.clone())),
            None if self.rejected.contains(&job_id) => {}
            None => return Err(BadBatch::UnknownJob { batch: batch_id, job: job_id }.into()),
        }
        Ok(self.place()?)
    }

    pub(crate) fn take_back(&mut self, asked: TakeBack) -> Result<(), SlotStuck> {
        let TakeBack { batch_id, count } = asked;
        if let Some(slot) = self.placed.get(&batch_id) {
            return self.command(*slot, SlotCommand::TakeBack { batch_id, count });
        }
        let Some(place) = self.waiting.iter().position(|work| work.batch_id == batch_id) else {
            return Ok(());
        };
        let Some(work) = self.waiting.get_mut(place) else { return Ok(()) };
        work.give_back_unsent(count);
        let length = work.length();
        if work.is_finished() {
            self.waiting.remove(place);
        }
        self.tell(Report::Returned(Returned { batch_id, length }));
        Ok(())
    }

    /// Ends a batch at once.
    pub(crate) fn stop_batch(&mut self, batch_id: u64) -> Result<(), SlotStuck> {
        if let Some(slot) = self.placed.get(&batch_id) {
            return self.command(*slot, SlotCommand::Stop { batch_id });
        }
        self.take_back(TakeBack { batch_id, count: u32::MAX })
    }

    /// Says that it is about to leave, and gives back whatever has not begun.
    pub(crate) fn drain(&mut self) -> Result<(), SlotStuck> {
        self.is_draining = true;
        self.tell(Report::Draining(Draining {}));
        self.batches().try_for_each(|batch_id| self.take_back(TakeBack { batch_id, count: u32::MAX }))
    }

    /// Ends all batches at once.
    pub(crate) fn stop_all(&mut self) -> Result<(), SlotStuck> {
        self.batches().try_for_each(|batch_id| self.stop_batch(batch_id))
    }

    /// All batches, as of now.
    fn batches(&self) -> impl Iterator<Item = u64> + use<> {
        let waiting = self.waiting.iter().map(|work| work.batch_id);
        waiting.chain(self.placed.keys().copied()).collect::<Vec<_>>().into_iter()
    }

    /// Whether nothing runs or waits, and there is nothing left to report.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.placed.is_empty() && self.unsaid.is_empty()
    }

    /// The longest time that a task of a known job has taken lately, or has been running.
    pub(crate) fn longest_task(&self, now: Instant) -> Duration {
        let known = self.jobs.values().map(|job| job.task_time.longest());
        let running = self.slots.iter().filter_map(|slot| slot.status.attempt_started());
        known.chain(running.map(|started| now.saturating_duration_since(started))).max().unwrap_or_default()
    }

    /// Attends to what the pool waits for by itself: room for what it has to report, and files of jobs. Never ends if that
    /// is nothing, and may be dropped while it waits.
    pub(crate) async fn attend(&mut self) -> Result<(), SlotStuck> {
        let fetched = tokio::select! {
            room = self.reports.reserve(), if !self.unsaid.is_empty() => {
                match (room, self.unsaid.pop_front()) {
                    (Ok(room), Some(message)) => room.send(message),
                    // Nobody listens any more.
                    _ => self.unsaid.clear(),
                }
                return Ok(());
            }
            Some(fetched) = self.fetches.join_next() => fetched,
            else => std::future::pending().await,
        };
        self.fetched(fetched)
    }

    /// Nothing follows of a job.
    pub(crate) fn job_ended(&mut self, job_id: u64) -> Result<(), SlotStuck> {
        self.jobs.remove(&job_id);
        self.rejected.remove(&job_id);
        if let Some(fetch) = self.fetching.remove(&job_id) {
            fetch.abort();
        }
        self.waiting.retain(|work| work.job.id != job_id);
        (0..self.slots.len()).try_for_each(|slot| self.command(slot, SlotCommand::EndJob(job_id)))
    }

    /// A batch has left its slot, which so has room for another.
    pub(crate) fn left(&mut self, left: Left) -> Result<(), SlotStuck> {
        self.placed.remove(&left.batch_id);
        if let Some(slot) = self.slots.get_mut(left.slot) {
            slot.is_idle = true;
        }
        self.place()
    }

    /// Looks at the memory of the machine and does what the guard decides. To be called every [`GUARD_INTERVAL`].
    pub(crate) fn guard(&mut self) -> Result<(), SlotStuck> {
        let now = Instant::now();
        self.oom.lock().unwrap_or_else(PoisonError::into_inner).look(now);
        // Where it cannot be read there is nothing to guard by.
        let Ok(memory) = self.memory.read() else { return Ok(()) };
        let uses = self.slots.iter().enumerate().filter_map(|(place, slot)| slot.status.memory(place));
        let uses: Vec<_> = uses.collect();
        for decision in self.guard.decide(now, memory, &uses) {
            tracing::debug!(?decision, used = memory.used_share(), "the memory guard decides");
            match decision {
                Decision::Hold(hold) => self.hold(hold)?,
                Decision::RecycleIdle(slot) => self.command(slot, SlotCommand::RecycleIdle)?,
                Decision::Evict(slot) => self.command(slot, SlotCommand::Evict)?,
            }
        }
        Ok(())
    }

    fn hold(&mut self, hold: bool) -> Result<(), SlotStuck> {
        if hold {
            tracing::warn!("memory is short: tasks run one at a time until there is more");
        }
        self.is_holding = hold;
        self.place()
    }

    /// Whether a batch may begin now.
    fn may_begin(&self) -> bool {
        !self.is_holding || self.slots.iter().all(|slot| slot.is_idle)
    }

    /// Gives waiting batches to idle slots.
    fn place(&mut self) -> Result<(), SlotStuck> {
        while self.may_begin() {
            let next = self.waiting.iter().position(|work| !self.fetching.contains_key(&work.job.id));
            let Some(next) = next else { return Ok(()) };
            let idle = self.slots.iter_mut().enumerate().find(|(_, slot)| slot.is_idle);
            let Some((place, slot)) = idle else { return Ok(()) };
            let Some(mut work) = self.waiting.remove(next) else { return Ok(()) };
            work.has_followers = !self.waiting.is_empty();
            slot.is_idle = false;
            self.placed.insert(work.batch_id, place);
            self.command(place, SlotCommand::Run(work))?;
        }
        Ok(())
    }

    fn command(&self, slot: usize, command: SlotCommand) -> Result<(), SlotStuck> {
        let Some(entry) = self.slots.get(slot) else { return Err(SlotStuck(slot)) };
        entry.commands.try_send(command).map_err(|_full_or_closed| SlotStuck(slot))
    }

    fn tell(&mut self, report: Report) {
        self.unsaid.push_back(WorkerMessage { received: 0, kind: Some(report) });
    }
}

fn check(batch: &Batch) -> Result<(), BadBatch> {
    let Some(tasks) = batch.tasks.as_ref().filter(|tasks| !tasks.lengths.is_empty()) else {
        return Err(BadBatch::Empty(batch.batch_id));
    };
    let lengths = tasks.lengths.iter().map(|length| u64::from(*length)).sum();
    let payloads = tasks.payloads.len();
    if lengths == payloads as u64 {
        Ok(())
    } else {
        Err(BadBatch::LengthsDisagree { batch: batch.batch_id, payloads, lengths })
    }
}
