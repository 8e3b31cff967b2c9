//! The naive model: a record for every task, and what each event must do to it. It knows nothing of policy;
//! where the scheduler has a choice (who gets what, and when) it checks that the choice is legal.

use std::collections::BTreeMap;

use poolmap_scheduler::{
    Action, BatchId, Config, Event, JobId, JobOptions, Scheduler, TaskCounts, Time, WorkerId,
};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    InFlight(BatchId),
    Done,
}

#[derive(Clone, Debug)]
struct Task {
    place: Place,
    chunk: usize,
    crashes: u32,
}

#[derive(Clone, Debug)]
struct Job {
    options: JobOptions,
    tasks: Vec<Task>,
    chunks: usize,
    counts: TaskCounts,
    is_closed: bool,
    is_cancelled: bool,
    is_held: bool,
}

/// A batch in flight.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) job: JobId,
    pub(crate) worker: WorkerId,
    pub(crate) first: u64,
    pub(crate) length: u32,
    pub(crate) done: u32,
    pub(crate) has_begun: bool,
}

impl Batch {
    fn indexes(&self, from: u32) -> impl Iterator<Item = u64> + use<> {
        self.first + u64::from(from)..self.first + u64::from(self.length)
    }
}

/// What is told to whoever reads a job, task by task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Value { job: JobId, index: u64, attempt: u32 },
    Failure { job: JobId, index: u64, attempt: u32 },
    Cancelled { job: JobId, index: u64 },
    Done { job: JobId },
}

/// Everything that was told to the scheduler and what it must have said.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    jobs: BTreeMap<JobId, Job>,
    pub(crate) batches: BTreeMap<BatchId, Batch>,
    pub(crate) workers: BTreeMap<WorkerId, u32>,
    last_batch: u64,
    ignored: u64,
    told: Vec<Told>,
}

impl Ledger {
    /// Applies an event; afterwards `told` holds what must be told because of it.
    fn apply(&mut self, event: &Event) {
        let effective = match *event {
            Event::JobSubmitted { job, ref options } => self.submit(job, options),
            Event::TasksAdded { job, count } => self.add(job, count),
            Event::JobClosed { job } => self.close(job),
            Event::JobCancelled { job } => self.cancel(job),
            Event::JobHeld { job, held } => self.jobs.get_mut(&job).map(|job| job.is_held = held),
            Event::WorkerJoined { worker, slots } => self.join(worker, slots),
            Event::WorkerLeft { worker } => self.leave(worker),
            Event::Begun { worker, batch } => self.begin(worker, batch),
            Event::Ended { worker, batch, count, .. } => self.end(worker, batch, count),
            Event::Returned { worker, batch, length } => self.give_back(worker, batch, length),
            Event::Crashed { worker, batch, offset } => self.crash(worker, batch, offset),
            Event::TimePassed => Some(()),
        };
        self.ignored += u64::from(effective.is_none());
        self.finish();
    }

    fn submit(&mut self, id: JobId, options: &JobOptions) -> Option<()> {
        if self.jobs.contains_key(&id) {
            return None;
        }
        let job = Job {
            options: options.clone(),
            tasks: Vec::new(),
            chunks: 0,
            counts: TaskCounts::default(),
            is_closed: false,
            is_cancelled: false,
            is_held: false,
        };
        self.jobs.insert(id, job);
        Some(())
    }

    fn add(&mut self, id: JobId, count: u32) -> Option<()> {
        let job = self.jobs.get_mut(&id).filter(|job| !job.is_closed)?;
        let task = Task { place: Place::Queued, chunk: job.chunks, crashes: 0 };
        job.tasks.extend((0..count).map(|_| task.clone()));
        job.counts.queued += u64::from(count);
        job.chunks += 1;
        Some(())
    }

    fn close(&mut self, id: JobId) -> Option<()> {
        let job = self.jobs.get_mut(&id).filter(|job| !job.is_closed)?;
        job.is_closed = true;
        Some(())
    }

    fn cancel(&mut self, id: JobId) -> Option<()> {
        let job = self.jobs.get_mut(&id).filter(|job| !job.is_cancelled)?;
        (job.is_closed, job.is_cancelled) = (true, true);
        let queued =
            (0..job.tasks.len() as u64).filter(|&index| job.tasks[index as usize].place == Place::Queued);
        for index in queued.collect::<Vec<_>>() {
            self.put_back(id, index);
        }
        Some(())
    }

    fn join(&mut self, id: WorkerId, slots: u32) -> Option<()> {
        if self.workers.contains_key(&id) {
            return None;
        }
        self.workers.insert(id, slots);
        Some(())
    }

    fn known(&self, worker: WorkerId, id: BatchId) -> Option<&Batch> {
        self.batches.get(&id).filter(|batch| batch.worker == worker)
    }

    fn begin(&mut self, worker: WorkerId, id: BatchId) -> Option<()> {
        self.known(worker, id).filter(|batch| !batch.has_begun)?;
        self.batches.get_mut(&id)?.has_begun = true;
        Some(())
    }

    fn end(&mut self, worker: WorkerId, id: BatchId, count: u32) -> Option<()> {
        let batch =
            self.known(worker, id).filter(|batch| (1..=batch.length - batch.done).contains(&count))?.clone();
        for index in batch.indexes(batch.done).take(count as usize) {
            let attempt = self.jobs[&batch.job].tasks[index as usize].crashes + 1;
            self.tell(batch.job, index, Told::Value { job: batch.job, index, attempt });
        }
        let batch = self.batches.get_mut(&id)?;
        batch.done += count;
        batch.has_begun = true;
        Some(())
    }

    fn give_back(&mut self, worker: WorkerId, id: BatchId, length: u32) -> Option<()> {
        let batch =
            self.known(worker, id).filter(|batch| (batch.done..=batch.length).contains(&length))?.clone();
        for index in batch.indexes(length) {
            self.put_back(batch.job, index);
        }
        self.batches.get_mut(&id)?.length = length;
        Some(())
    }

    fn crash(&mut self, worker: WorkerId, id: BatchId, offset: u32) -> Option<()> {
        let batch = self.known(worker, id).filter(|batch| batch.done == offset)?.clone();
        self.lose(id, &batch, true);
        Some(())
    }

    fn leave(&mut self, id: WorkerId) -> Option<()> {
        self.workers.remove(&id)?;
        let lost: Vec<_> = self.batches.iter().filter(|(_, batch)| batch.worker == id).collect();
        for (id, batch) in lost.into_iter().map(|(&id, batch)| (id, batch.clone())).collect::<Vec<_>>() {
            self.lose(id, &batch, batch.has_begun);
        }
        Some(())
    }

    fn lose(&mut self, id: BatchId, batch: &Batch, blame: bool) {
        self.batches.remove(&id);
        let mut indexes = batch.indexes(batch.done);
        let blamed = if blame { indexes.next() } else { None };
        if let Some(index) = blamed {
            self.blame(batch.job, index);
        }
        for index in indexes {
            self.put_back(batch.job, index);
        }
    }

    fn blame(&mut self, id: JobId, index: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let task = &mut job.tasks[index as usize];
        task.crashes += 1;
        let attempt = task.crashes;
        if attempt < job.options.crash_limit || job.is_cancelled {
            self.put_back(id, index);
        } else {
            self.tell(id, index, Told::Failure { job: id, index, attempt });
        }
    }

    /// A task waits again, unless its job is cancelled.
    fn put_back(&mut self, id: JobId, index: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.is_cancelled {
            self.tell(id, index, Told::Cancelled { job: id, index });
        } else {
            job.tasks[index as usize].place = Place::Queued;
            job.counts.running -= 1;
            job.counts.queued += 1;
        }
    }

    fn tell(&mut self, id: JobId, index: u64, told: Told) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match std::mem::replace(&mut job.tasks[index as usize].place, Place::Done) {
            Place::Queued => job.counts.queued -= 1,
            Place::InFlight(_) => job.counts.running -= 1,
            Place::Done => panic!("task {index} of {id:?} has two outcomes"),
        }
        job.counts.done += 1;
        self.told.push(told);
    }

    fn finish(&mut self) {
        self.batches.retain(|_, batch| batch.done < batch.length);
        let done = |job: &Job| job.is_closed && job.counts.done == job.tasks.len() as u64;
        let finished: Vec<_> = self.jobs.iter().filter(|(_, job)| done(job)).map(|(&id, _)| id).collect();
        for job in finished {
            self.jobs.remove(&job);
            self.told.push(Told::Done { job });
        }
    }

    /// Checks that an action is legal and notes what it does.
    fn obey(&mut self, action: &Action, capacity_factor: u32) {
        match *action {
            Action::Assign { worker, batch, job, first, count, attempt } => {
                assert_eq!(batch.0, self.last_batch + 1, "batch ids come from a counter");
                self.last_batch = batch.0;
                self.assign(
                    batch,
                    Batch { job, worker, first, length: count, done: 0, has_begun: false },
                    attempt,
                );
                let held = self.batches.values().filter(|batch| batch.worker == worker).count();
                let slots = self.workers.get(&worker).expect("the worker is attached");
                assert!(held <= (slots * capacity_factor) as usize, "{worker:?} holds {held} batches");
            }
            Action::TakeBack { worker, batch, count } => {
                let asked = self.known(worker, batch).expect("only batches in flight are asked for");
                assert!((1..=asked.length - asked.done).contains(&count), "asks for {count} of {asked:?}");
            }
            _ => {}
        }
    }

    fn assign(&mut self, id: BatchId, batch: Batch, attempt: u32) {
        let job = self.jobs.get_mut(&batch.job).expect("the job is known");
        assert!(!job.is_held && !job.is_cancelled, "nothing of a held or cancelled job is handed out");
        assert!(batch.length > 0 && (batch.length == 1 || attempt == 1), "retries run alone: {batch:?}");
        let tasks = &mut job.tasks[batch.first as usize..(batch.first + u64::from(batch.length)) as usize];
        let chunk = tasks[0].chunk;
        for task in tasks {
            assert_eq!(task.place, Place::Queued, "only what waits is handed out: {batch:?}");
            assert_eq!(task.chunk, chunk, "no batch spans two chunks: {batch:?}");
            assert_eq!(task.crashes + 1, attempt, "attempts are counted: {batch:?}");
            task.place = Place::InFlight(id);
        }
        job.counts.queued -= u64::from(batch.length);
        job.counts.running += u64::from(batch.length);
        self.batches.insert(id, batch);
    }

    /// Jobs that are not done.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }
}

/// A scheduler beside its ledger. After every event it checks the invariants, and that what the scheduler
/// said is what the ledger expected.
pub(crate) struct Checked {
    pub(crate) scheduler: Scheduler,
    pub(crate) ledger: Ledger,
    capacity_factor: u32,
    actions: Vec<Action>,
}

impl Checked {
    pub(crate) fn new(config: Config) -> Self {
        let capacity_factor = 1 + config.lookahead_batches;
        Self {
            scheduler: Scheduler::new(config),
            ledger: Ledger::default(),
            capacity_factor,
            actions: Vec::new(),
        }
    }

    pub(crate) fn handle(&mut self, now: Time, event: Event) -> &[Action] {
        self.actions.clear();
        self.ledger.told.clear();
        let what = format!("{event:?} at {now:?}");
        self.ledger.apply(&event);
        self.scheduler.handle(now, event, &mut self.actions);
        if let Err(broken) = self.scheduler.check_invariants() {
            panic!("after {what}: {broken}");
        }
        let mut told: Vec<Told> = self.actions.iter().flat_map(told_by).collect();
        told.sort_unstable();
        self.ledger.told.sort_unstable();
        assert_eq!(told, self.ledger.told, "outcomes of {what}");
        for action in &self.actions {
            self.ledger.obey(action, self.capacity_factor);
        }
        self.compare_counts();
        &self.actions
    }

    fn compare_counts(&self) {
        let ignored = self.scheduler.ignored();
        assert_eq!(ignored.reports + ignored.requests, self.ledger.ignored, "events without effect");
        for (&id, job) in &self.ledger.jobs {
            assert_eq!(self.scheduler.task_counts(id), Some(job.counts), "counts of {id:?}");
        }
        assert_eq!(self.scheduler.totals().jobs, self.ledger.jobs.len(), "jobs that are not done");
    }
}

fn told_by(action: &Action) -> Vec<Told> {
    match *action {
        Action::Deliver { job, first, count, attempt } => {
            (first..first + u64::from(count)).map(|index| Told::Value { job, index, attempt }).collect()
        }
        Action::Fail { job, index, attempt } => vec![Told::Failure { job, index, attempt }],
        Action::Cancel { job, first, count } => {
            (first..first + count).map(|index| Told::Cancelled { job, index }).collect()
        }
        Action::JobDone { job } => vec![Told::Done { job }],
        Action::Assign { .. } | Action::TakeBack { .. } => Vec::new(),
    }
}
