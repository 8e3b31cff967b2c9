//! The little language of the scenarios. Jobs, workers and batches are numbers; batches are numbered by the
//! scheduler from 1 in the order in which they are handed out.

use poolmap_scheduler::{
    Action, BatchId, ClassId, Classes, Config, Event, JobId, JobOptions, Scheduler, Time, WorkerId,
};

/// Nanoseconds of a millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds of a microsecond.
pub(crate) const US: u64 = 1_000;

/// A scheduler and its clock.
pub(crate) struct Story {
    pub(crate) scheduler: Scheduler,
    now: Time,
}

/// Options of an ordinary job.
pub(crate) fn ordinary() -> JobOptions {
    JobOptions::default()
}

/// An ordinary job of a higher (or lower) priority.
pub(crate) fn priority(priority: i32) -> JobOptions {
    JobOptions { priority, ..ordinary() }
}

/// A job whose first batches have `count` tasks, since it wants as many in each child.
pub(crate) fn in_batches_of(count: u32) -> JobOptions {
    JobOptions { max_tasks_per_child: Some(count), ..ordinary() }
}

/// These classes of workers.
pub(crate) fn those(classes: &[u64]) -> Classes {
    classes.iter().copied().map(ClassId).collect()
}

/// An ordinary job that only workers of these classes may run.
pub(crate) fn only(classes: &[u64]) -> JobOptions {
    JobOptions { classes: those(classes), ..ordinary() }
}

impl Story {
    pub(crate) fn new() -> Self {
        Self { scheduler: Scheduler::new(Config::default()), now: Time(0) }
    }

    /// Workers 1, 2, … with so many slots each.
    pub(crate) fn with_workers(slots: &[u32]) -> Self {
        let mut story = Self::new();
        for (worker, &slots) in (1..).zip(slots) {
            story.joins(worker, slots);
        }
        story
    }

    fn when(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.scheduler.handle(self.now, event, &mut actions);
        assert_eq!(self.scheduler.check_invariants(), Ok(()));
        actions
    }

    /// Lets time pass; the scheduler hears of it if it asked to.
    pub(crate) fn after(&mut self, pause_ns: u64) -> Vec<Action> {
        self.now.0 += pause_ns;
        let is_due = self.scheduler.next_wakeup().is_some_and(|at| at <= self.now);
        if is_due { self.when(Event::TimePassed) } else { Vec::new() }
    }

    pub(crate) fn joins(&mut self, worker: u64, slots: u32) -> Vec<Action> {
        self.joins_class(worker, slots, 0)
    }

    pub(crate) fn joins_class(&mut self, worker: u64, slots: u32, class: u64) -> Vec<Action> {
        self.when(Event::WorkerJoined { worker: WorkerId(worker), slots, class: ClassId(class) })
    }

    pub(crate) fn classed(&mut self, worker: u64, class: u64) -> Vec<Action> {
        self.when(Event::WorkerClassed { worker: WorkerId(worker), class: ClassId(class) })
    }

    pub(crate) fn limited(&mut self, job: u64, classes: &[u64]) -> Vec<Action> {
        self.when(Event::JobLimited { job: JobId(job), classes: those(classes) })
    }

    /// A worker is lost, and what ran there may be the reason.
    pub(crate) fn leaves(&mut self, worker: u64) -> Vec<Action> {
        self.when(Event::WorkerLeft { worker: WorkerId(worker), is_blamed: true })
    }

    /// A worker is taken away.
    pub(crate) fn retires(&mut self, worker: u64) -> Vec<Action> {
        self.when(Event::WorkerLeft { worker: WorkerId(worker), is_blamed: false })
    }

    pub(crate) fn drains(&mut self, worker: u64) -> Vec<Action> {
        self.when(Event::WorkerDraining { worker: WorkerId(worker) })
    }

    /// A job with one chunk of tasks, closed.
    pub(crate) fn job(&mut self, job: u64, options: JobOptions, tasks: u32) -> Vec<Action> {
        let mut actions = self.submitted(job, options);
        actions.extend(self.added(job, tasks));
        actions.extend(self.closed(job));
        actions
    }

    pub(crate) fn submitted(&mut self, job: u64, options: JobOptions) -> Vec<Action> {
        self.when(Event::JobSubmitted { job: JobId(job), options })
    }

    pub(crate) fn added(&mut self, job: u64, count: u32) -> Vec<Action> {
        self.when(Event::TasksAdded { job: JobId(job), count })
    }

    pub(crate) fn closed(&mut self, job: u64) -> Vec<Action> {
        self.when(Event::JobClosed { job: JobId(job) })
    }

    pub(crate) fn cancelled(&mut self, job: u64) -> Vec<Action> {
        self.when(Event::JobCancelled { job: JobId(job), kills_running: false })
    }

    /// Cancels a job with all that runs.
    pub(crate) fn killed(&mut self, job: u64) -> Vec<Action> {
        self.when(Event::JobCancelled { job: JobId(job), kills_running: true })
    }

    /// Cancels single tasks, whatever they do.
    pub(crate) fn withdrawn(&mut self, job: u64, first: u64, count: u64) -> Vec<Action> {
        self.when(Event::TasksCancelled { job: JobId(job), first, count, kills_running: true })
    }

    /// Cancels single tasks that wait.
    pub(crate) fn withdrawn_gently(&mut self, job: u64, first: u64, count: u64) -> Vec<Action> {
        self.when(Event::TasksCancelled { job: JobId(job), first, count, kills_running: false })
    }

    pub(crate) fn held(&mut self, job: u64, held: bool) -> Vec<Action> {
        self.when(Event::JobHeld { job: JobId(job), held })
    }

    pub(crate) fn begun(&mut self, worker: u64, batch: u64) -> Vec<Action> {
        self.when(Event::Begun { worker: WorkerId(worker), batch: BatchId(batch) })
    }

    /// So many tasks ended that took `each_ns`; that time passes too.
    pub(crate) fn ended(&mut self, worker: u64, batch: u64, count: u32, each_ns: u64) -> Vec<Action> {
        let busy_ns = u64::from(count) * each_ns;
        self.now.0 += busy_ns;
        self.reports(worker, batch, count, busy_ns, &[])
    }

    /// So many tasks ended in no time, and these of them failed.
    pub(crate) fn failed(&mut self, worker: u64, batch: u64, count: u32, failed: &[u32]) -> Vec<Action> {
        self.reports(worker, batch, count, 0, failed)
    }

    fn reports(&mut self, worker: u64, batch: u64, count: u32, busy_ns: u64, failed: &[u32]) -> Vec<Action> {
        let (worker, batch, failed) = (WorkerId(worker), BatchId(batch), failed.to_vec());
        self.when(Event::Ended { worker, batch, count, busy_ns, failed })
    }

    pub(crate) fn returned(&mut self, worker: u64, batch: u64, length: u32) -> Vec<Action> {
        self.when(Event::Returned { worker: WorkerId(worker), batch: BatchId(batch), length })
    }

    pub(crate) fn crashed(&mut self, worker: u64, batch: u64, offset: u32) -> Vec<Action> {
        self.when(Event::Crashed { worker: WorkerId(worker), batch: BatchId(batch), offset })
    }

    pub(crate) fn evicted(&mut self, worker: u64, batch: u64, offset: u32) -> Vec<Action> {
        self.when(Event::Evicted { worker: WorkerId(worker), batch: BatchId(batch), offset })
    }
}

/// `worker` gets `batch`: tasks `first..first + count` of `job`, first attempt.
pub(crate) fn assign(worker: u64, batch: u64, job: u64, first: u64, count: u32) -> Action {
    attempt(worker, batch, job, first, count, 1)
}

/// The same with the number of the attempt.
pub(crate) fn attempt(worker: u64, batch: u64, job: u64, first: u64, count: u32, attempt: u32) -> Action {
    let (worker, batch, job) = (WorkerId(worker), BatchId(batch), JobId(job));
    Action::Assign { worker, batch, job, first, count, attempt }
}

pub(crate) fn take_back(worker: u64, batch: u64, count: u32) -> Action {
    Action::TakeBack { worker: WorkerId(worker), batch: BatchId(batch), count }
}

pub(crate) fn stop(worker: u64, batch: u64) -> Action {
    Action::Stop { worker: WorkerId(worker), batch: BatchId(batch) }
}

/// Outcomes of a whole report, first attempt.
pub(crate) fn deliver(job: u64, first: u64, count: u32) -> Action {
    deliver_part(job, first, 0, count, 1)
}

/// Outcomes from `offset` on of a report.
pub(crate) fn deliver_part(job: u64, first: u64, offset: u32, count: u32, attempt: u32) -> Action {
    Action::Deliver { job: JobId(job), first, offset, count, attempt }
}

pub(crate) fn fail(job: u64, index: u64, attempt: u32) -> Action {
    Action::Fail { job: JobId(job), index, attempt }
}

pub(crate) fn cancel(job: u64, first: u64, count: u64) -> Action {
    Action::Cancel { job: JobId(job), first, count }
}

pub(crate) fn halted(job: u64) -> Action {
    Action::JobHalted { job: JobId(job) }
}

pub(crate) fn job_done(job: u64) -> Action {
    Action::JobDone { job: JobId(job) }
}
