//! The naive model: a record for every task, and what each event must do to it. It knows nothing of policy;
//! where the scheduler has a choice (who gets what, and when) `legality` checks that the choice is legal.

use std::collections::BTreeMap;

use poolmap_scheduler::{BatchId, ClassId, Classes, Event, Halt, JobId, JobOptions, TaskCounts, WorkerId};

use crate::records::{Batch, Job, Place, Task, Told, Worker, is_plain};

/// How an attempt ended that is not the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Crashed,
    Evicted,
    Lost,
}

/// Everything that was told to the scheduler and what it must have said.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) now: u64,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) batches: BTreeMap<BatchId, Batch>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) last_batch: u64,
    pub(crate) eviction_limit: u32,
    pub(crate) halt_judged_from: u64,
    pub(crate) ignored: u64,
    pub(crate) told: Vec<Told>,
    /// Reasons that there were to run a task once more.
    pub(crate) causes: BTreeMap<(JobId, u64), u32>,
}

impl Ledger {
    /// Applies an event; afterwards `told` holds what must be told because of it.
    pub(crate) fn apply(&mut self, event: &Event) {
        let effective = match *event {
            Event::JobSubmitted { job, ref options } => self.submit(job, options),
            Event::TasksAdded { job, count } => self.add(job, count),
            Event::JobClosed { job } => self.close(job),
            Event::JobCancelled { job, kills_running } => self.cancel(job, kills_running),
            Event::TasksCancelled { job, first, count, kills_running } => {
                self.cancel_tasks(job, first, count, kills_running)
            }
            Event::JobHeld { job, held } => self.jobs.get_mut(&job).map(|job| job.is_held = held),
            Event::JobLimited { job, ref classes } => self.limit(job, classes),
            Event::WorkerJoined { worker, slots, class } => self.join(worker, slots, class),
            Event::WorkerClassed { worker, class } => self.class(worker, class),
            Event::WorkerDraining { worker } => self.drain(worker),
            Event::WorkerLeft { worker, is_blamed } => self.leave(worker, is_blamed),
            Event::Begun { worker, batch } => self.begin(worker, batch),
            Event::Ended { worker, batch, count, ref failed, .. } => self.end(worker, batch, count, failed),
            Event::Returned { worker, batch, length } => self.give_back(worker, batch, length),
            Event::Crashed { worker, batch, offset } => self.child_died(worker, batch, offset, End::Crashed),
            Event::Evicted { worker, batch, offset } => self.child_died(worker, batch, offset, End::Evicted),
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
            ready: 0,
            failed: 0,
            is_closed: false,
            is_cancelled: false,
            is_killed: false,
            is_held: false,
        };
        self.jobs.insert(id, job);
        Some(())
    }

    fn add(&mut self, id: JobId, count: u32) -> Option<()> {
        let job = self.jobs.get_mut(&id).filter(|job| !job.is_closed)?;
        let task = Task {
            place: Place::Queued,
            chunk: job.chunks,
            crashes: 0,
            failures: 0,
            evictions: 0,
            next_attempt: 1,
            last_attempt: 0,
            not_before: 0,
            is_withdrawn: false,
        };
        job.tasks.extend((0..count).map(|_| task.clone()));
        job.counts.queued += u64::from(count);
        job.ready += u64::from(count);
        job.chunks += 1;
        Some(())
    }

    fn close(&mut self, id: JobId) -> Option<()> {
        let job = self.jobs.get_mut(&id).filter(|job| !job.is_closed)?;
        job.is_closed = true;
        Some(())
    }

    fn cancel(&mut self, id: JobId, kills: bool) -> Option<()> {
        self.jobs.get(&id).filter(|job| !job.is_cancelled || (kills && !job.is_killed))?;
        self.stop(id, kills);
        Some(())
    }

    fn cancel_tasks(&mut self, id: JobId, first: u64, count: u64, kills: bool) -> Option<()> {
        let end = first.saturating_add(count);
        let job = self.jobs.get_mut(&id).filter(|job| !job.is_cancelled && first < end)?;
        for index in first..end.min(job.tasks.len() as u64) {
            match self.task(id, index).place {
                Place::Queued => self.tell(id, index, Told::Cancelled { job: id, index }),
                Place::InFlight(batch) if kills => {
                    let is_alone = self.batches[&batch].twin.is_none();
                    self.task(id, index).is_withdrawn |= is_alone;
                }
                Place::InFlight(_) | Place::Done => {}
            }
        }
        Some(())
    }

    fn stop(&mut self, id: JobId, kills: bool) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        (job.is_closed, job.is_cancelled, job.is_killed) = (true, true, kills);
        let queued =
            (0..job.tasks.len() as u64).filter(|&index| job.tasks[index as usize].place == Place::Queued);
        for index in queued.collect::<Vec<_>>() {
            self.tell(id, index, Told::Cancelled { job: id, index });
        }
        let in_flight = self.batches.iter().filter(|(_, batch)| batch.job == id && !batch.is_void && kills);
        self.told.extend(in_flight.map(|(&batch, _)| Told::Stop { batch }));
    }

    fn limit(&mut self, id: JobId, classes: &Classes) -> Option<()> {
        self.jobs.get_mut(&id)?.options.classes = classes.clone();
        self.withdraw(|batch| batch.job == id && !batch.is_void);
        Some(())
    }

    fn class(&mut self, id: WorkerId, class: ClassId) -> Option<()> {
        self.workers.get_mut(&id)?.class = class;
        self.withdraw(|batch| batch.worker == id);
        Some(())
    }

    pub(crate) fn may_run(&self, batch: &Batch) -> bool {
        let job = self.jobs.get(&batch.job);
        job.is_none_or(|job| job.options.classes.include(self.workers[&batch.worker].class))
    }

    /// Ends those of some batches that are where they may not be.
    fn withdraw(&mut self, which: impl Fn(&Batch) -> bool) {
        let stray = self.batches.iter().filter(|(_, batch)| which(batch) && !self.may_run(batch));
        let stray: Vec<_> = stray.map(|(&id, batch)| (id, batch.clone())).collect();
        for (id, batch) in stray.into_iter().rev() {
            self.told.push(Told::Stop { batch: id });
            for index in batch.indexes(batch.done) {
                *self.causes.entry((batch.job, index)).or_default() += 1;
            }
            let twin = self.batches[&id].twin;
            self.lose(id, &Batch { twin, ..batch.clone() }, batch.has_begun.then_some(End::Lost));
        }
    }

    fn join(&mut self, id: WorkerId, slots: u32, class: ClassId) -> Option<()> {
        if self.workers.contains_key(&id) {
            return None;
        }
        self.workers.insert(id, Worker { slots, class, is_draining: false });
        Some(())
    }

    fn drain(&mut self, id: WorkerId) -> Option<()> {
        self.workers.get_mut(&id).filter(|worker| !worker.is_draining)?.is_draining = true;
        Some(())
    }

    pub(crate) fn known(&self, worker: WorkerId, id: BatchId) -> Option<&Batch> {
        self.batches.get(&id).filter(|batch| batch.worker == worker)
    }

    fn begin(&mut self, worker: WorkerId, id: BatchId) -> Option<()> {
        self.known(worker, id).filter(|batch| !batch.has_begun)?;
        self.batches.get_mut(&id)?.has_begun = true;
        Some(())
    }

    fn end(&mut self, worker: WorkerId, id: BatchId, count: u32, failed: &[u32]) -> Option<()> {
        let fits = |batch: &&Batch| (1..=batch.length - batch.done).contains(&count);
        let batch = self.known(worker, id).filter(fits)?.clone();
        if !failed.windows(2).all(|pair| pair[0] < pair[1]) || failed.iter().any(|&offset| offset >= count) {
            return None;
        }
        if batch.is_void {
            self.batches.remove(&id);
            return Some(());
        }
        let entry = self.batches.get_mut(&id)?;
        entry.done += count;
        entry.has_begun = true;
        for (offset, index) in (0..count).zip(batch.indexes(batch.done)) {
            let has_failed = failed.contains(&offset);
            if has_failed && self.may_retry(batch.job, index) {
                self.fail_once(&batch, index);
            } else {
                self.jobs.get_mut(&batch.job)?.failed += u64::from(has_failed);
                let attempt = batch.attempt;
                self.tell(batch.job, index, Told::Outcome { job: batch.job, index, attempt, offset });
                self.void(batch.twin);
            }
        }
        Some(())
    }

    fn may_retry(&self, id: JobId, index: u64) -> bool {
        let job = &self.jobs[&id];
        job.tasks[index as usize].failures < job.options.retries && !job.is_cancelled
    }

    fn fail_once(&mut self, batch: &Batch, index: u64) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&batch.job) else { return };
        let doublings = job.tasks[index as usize].failures;
        let task = &mut job.tasks[index as usize];
        task.failures += 1;
        if batch.twin.is_none() {
            task.not_before = now + (job.options.retry_delay_ns << doublings) / 4 * 3;
        }
        self.try_again(batch, index);
    }

    /// The attempt is over without an outcome: the task waits, unless its copy runs.
    fn try_again(&mut self, batch: &Batch, index: u64) {
        *self.causes.entry((batch.job, index)).or_default() += 1;
        if !self.leave_to_twin(batch) {
            let task = self.task(batch.job, index);
            task.next_attempt = task.last_attempt + 1;
            self.put_back(batch.job, index);
        }
    }

    fn task(&mut self, job: JobId, index: u64) -> &mut Task {
        &mut self.jobs.get_mut(&job).expect("the job is known").tasks[index as usize]
    }

    fn leave_to_twin(&mut self, batch: &Batch) -> bool {
        let Some(id) = batch.twin else { return false };
        let twin = self.batches.get_mut(&id).expect("a twin is in flight");
        twin.twin = None;
        let index = twin.first + u64::from(twin.done);
        self.task(batch.job, index).place = Place::InFlight(id);
        true
    }

    fn void(&mut self, twin: Option<BatchId>) {
        if let Some((id, batch)) = twin.and_then(|id| Some((id, self.batches.get_mut(&id)?))) {
            (batch.is_void, batch.twin) = (true, None);
            self.told.push(Told::Stop { batch: id });
        }
    }

    fn give_back(&mut self, worker: WorkerId, id: BatchId, length: u32) -> Option<()> {
        let batch =
            self.known(worker, id).filter(|batch| (batch.done..=batch.length).contains(&length))?.clone();
        self.batches.get_mut(&id)?.length = length;
        if batch.is_void || (length == batch.done && self.leave_to_twin(&batch)) {
            return Some(());
        }
        for index in batch.indexes(length) {
            self.task(batch.job, index).next_attempt = batch.attempt;
            self.put_back(batch.job, index);
        }
        let rest = batch.first + u64::from(batch.done)..batch.first + u64::from(length);
        let withdrawn: Vec<_> =
            rest.clone().filter(|&index| self.task(batch.job, index).is_withdrawn).collect();
        if !rest.is_empty() && withdrawn == [rest.end - 1] {
            self.told.push(Told::Stop { batch: id });
        }
        Some(())
    }

    fn child_died(&mut self, worker: WorkerId, id: BatchId, offset: u32, end: End) -> Option<()> {
        let batch = self.known(worker, id).filter(|batch| batch.done == offset)?.clone();
        self.lose(id, &batch, Some(end));
        Some(())
    }

    fn leave(&mut self, id: WorkerId, is_blamed: bool) -> Option<()> {
        let worker = self.workers.remove(&id)?;
        let end = if is_blamed && !worker.is_draining { End::Crashed } else { End::Lost };
        let lost: Vec<_> = self.batches.iter().filter(|(_, batch)| batch.worker == id).collect();
        let lost: Vec<_> = lost.into_iter().map(|(&id, batch)| (id, batch.clone())).collect();
        for (id, batch) in lost.into_iter().rev() {
            // What was told of it may be lost too: any of its tasks may have run.
            for index in batch.indexes(batch.done) {
                *self.causes.entry((batch.job, index)).or_default() += 1;
            }
            // A twin on the same worker may have been lost just before.
            let twin = self.batches[&id].twin;
            self.lose(id, &Batch { twin, ..batch.clone() }, batch.has_begun.then_some(end));
        }
        Some(())
    }

    fn lose(&mut self, id: BatchId, batch: &Batch, end: Option<End>) {
        self.batches.remove(&id);
        if batch.is_void {
            return;
        }
        let mut indexes = batch.indexes(batch.done);
        if let Some(end) = end {
            indexes.next().into_iter().for_each(|index| self.blame(batch, index, end));
        } else if batch.twin.is_some() {
            self.leave_to_twin(batch);
            return;
        }
        for index in indexes {
            self.task(batch.job, index).next_attempt = batch.attempt;
            self.put_back(batch.job, index);
        }
    }

    fn blame(&mut self, batch: &Batch, index: u64, end: End) {
        let (limit, has_twin) = (self.eviction_limit, batch.twin.is_some());
        let job = self.jobs.get_mut(&batch.job).expect("the job is known");
        let task = &mut job.tasks[index as usize];
        task.crashes += u32::from(end == End::Crashed);
        task.evictions += u32::from(end == End::Evicted && !has_twin);
        let is_spent = task.crashes >= job.options.crash_limit || task.evictions >= limit;
        if is_spent && !has_twin && !job.is_cancelled {
            job.failed += 1;
            let attempt = batch.attempt;
            self.tell(batch.job, index, Told::Failure { job: batch.job, index, attempt });
        } else {
            self.try_again(batch, index);
        }
    }

    /// A task waits again, unless it or its job is cancelled.
    fn put_back(&mut self, id: JobId, index: u64) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.is_cancelled || job.tasks[index as usize].is_withdrawn {
            self.tell(id, index, Told::Cancelled { job: id, index });
        } else {
            let task = &mut job.tasks[index as usize];
            task.place = Place::Queued;
            job.ready += u64::from(is_plain(task));
            job.counts.running -= 1;
            job.counts.queued += 1;
        }
    }

    fn tell(&mut self, id: JobId, index: u64, told: Told) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let task = &mut job.tasks[index as usize];
        match std::mem::replace(&mut task.place, Place::Done) {
            Place::Queued => {
                job.counts.queued -= 1;
                job.ready -= u64::from(is_plain(task));
            }
            Place::InFlight(_) => job.counts.running -= 1,
            Place::Done => panic!("task {index} of {id:?} has two outcomes"),
        }
        job.counts.done += 1;
        self.told.push(told);
    }

    fn finish(&mut self) {
        self.batches.retain(|_, batch| batch.done < batch.length);
        let halted: Vec<_> = self.jobs.iter().filter(|(_, job)| self.halts(job)).map(|(&id, _)| id).collect();
        for job in halted {
            self.told.push(Told::Halted { job });
            self.stop(job, true);
        }
        let done = |job: &Job| job.is_closed && job.counts.done == job.tasks.len() as u64;
        let finished: Vec<_> = self.jobs.iter().filter(|(_, job)| done(job)).map(|(&id, _)| id).collect();
        for job in finished {
            self.jobs.remove(&job);
            self.told.push(Told::Done { job });
        }
    }

    fn halts(&self, job: &Job) -> bool {
        let (done, all) = (job.counts.done, job.tasks.len() as u64);
        let is_judged = done >= self.halt_judged_from || (job.is_closed && done == all);
        !job.is_cancelled
            && match job.options.halt {
                Halt::Never => false,
                Halt::AfterFailures(most) => job.failed >= most,
                Halt::AfterShare { percent } => {
                    is_judged && job.failed > 0 && job.failed * 100 >= done * u64::from(percent)
                }
            }
    }

    /// Jobs that are not done.
    pub(crate) fn jobs(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }
}
