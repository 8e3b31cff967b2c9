//! What happened: the scheduler's inputs.

use crate::classes::{ClassId, Classes};
use crate::options::JobOptions;

/// Nanoseconds since any fixed moment; the caller's clock, which never runs backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// A job, named by the caller; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// One attachment of a worker, named by the caller; a worker that comes back has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

/// One handing out of consecutive tasks, named by the scheduler; never used twice. That is how late reports
/// are told from those that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Something that happened. Facts that come from peers may be late, repeated or wrong: what does not fit what
/// is known (an unknown name, a batch of another worker, more tasks than the batch has) is counted and
/// ignored as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client created a job.
    JobSubmitted {
        /// The new job.
        job: JobId,
        /// What it asks for.
        options: JobOptions,
    },
    /// A client appended tasks; their indexes follow those of the tasks before. No batch spans two of these
    /// events, so that the payloads of a batch lie in one buffer.
    TasksAdded {
        /// The job.
        job: JobId,
        /// How many.
        count: u32,
    },
    /// No more tasks follow.
    JobClosed {
        /// The job.
        job: JobId,
    },
    /// Stop a job: what has not begun never will. This closes it too.
    JobCancelled {
        /// The job.
        job: JobId,
        /// Whether to stop the tasks that run as well. A job that was cancelled without may be cancelled
        /// again with it.
        kills_running: bool,
    },
    /// Cancel some tasks of a job, which goes on. Those that have an outcome keep it.
    TasksCancelled {
        /// The job.
        job: JobId,
        /// Index of the first task.
        first: u64,
        /// How many tasks.
        count: u64,
        /// Whether those that were handed out are to be cancelled as well, and stopped if they run.
        kills_running: bool,
    },
    /// Hand out nothing of this job until told otherwise: its reader is behind, or somebody paused it.
    JobHeld {
        /// The job.
        job: JobId,
        /// Whether to hold or to go on.
        held: bool,
    },
    /// Other workers may run a job from now on. What those hold of it that may not any more is over there, as when a
    /// [`Self::WorkerClassed`] says so.
    JobLimited {
        /// The job.
        job: JobId,
        /// Workers that may run it.
        classes: Classes,
    },
    /// A worker attached.
    WorkerJoined {
        /// The new worker.
        worker: WorkerId,
        /// Tasks it can run at once; at least 1.
        slots: u32,
        /// Which jobs it may run.
        class: ClassId,
    },
    /// A worker may run other jobs from now on. What it holds of those that it may not run any more is over there: what ran runs
    /// again elsewhere, without blame, and reports of it are late.
    WorkerClassed {
        /// The worker.
        worker: WorkerId,
        /// Which jobs it may run.
        class: ClassId,
    },
    /// A worker is about to leave: hand nothing more to it, and take back what has not begun.
    WorkerDraining {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker is gone: its connection ended or it was not heard of for too long.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
        /// Whether what ran there may be the reason: it crashed or fell silent. Otherwise it was retired,
        /// preempted or cut off, and no task is to blame; nor is any if it was draining.
        is_blamed: bool,
    },
    /// The first task of a batch runs.
    Begun {
        /// Who says so.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
    },
    /// The next `count` tasks of a batch have ended, with whatever outcome.
    Ended {
        /// Who says so.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
        /// How many tasks; at least 1.
        count: u32,
        /// Time their slot spent on them, in nanoseconds.
        busy_ns: u64,
        /// Those of them that failed, counted from 0 for the first task of this report, ascending.
        failed: Vec<u32>,
    },
    /// A batch now has only `length` tasks; none beyond has begun or ever will on this worker. The answer to
    /// `TakeBack`, also if there was nothing to give, and to `Stop`, after which the task that ran is among
    /// those beyond; a worker may say so unasked.
    Returned {
        /// Who says so.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
        /// Tasks the batch keeps, those that have ended included.
        length: u32,
    },
    /// A child died while it ran the task at `offset` of a batch. All tasks before it have been reported as
    /// ended; none after it has begun or ever will in this batch.
    Crashed {
        /// Who says so.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
        /// Place of the task in the batch.
        offset: u32,
    },
    /// A child was killed, because memory ran short, while it ran the task at `offset` of a batch. For the
    /// others it is as if it had crashed.
    Evicted {
        /// Who says so.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
        /// Place of the task in the batch.
        offset: u32,
    },
    /// The moment that [`Scheduler::next_wakeup`](crate::Scheduler::next_wakeup) named has come, and nothing
    /// else happened.
    TimePassed,
}
