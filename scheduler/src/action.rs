//! What to do: the scheduler's outputs.

use crate::event::{BatchId, JobId, WorkerId};

/// Something the shell around the scheduler must carry out, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Send a worker a batch: tasks `first..first + count` of a job.
    Assign {
        /// To whom.
        worker: WorkerId,
        /// The new batch.
        batch: BatchId,
        /// The job.
        job: JobId,
        /// Index of the first task.
        first: u64,
        /// How many tasks; at least 1.
        count: u32,
        /// Attempt number of all of them, from 1.
        attempt: u32,
    },
    /// Ask a worker to give back at most `count` tasks from the end of a batch, such as have not begun. It
    /// answers with
    /// `Returned`, unless the batch is over.
    TakeBack {
        /// Whom to ask.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
        /// At most so many tasks.
        count: u32,
    },
    /// End a batch: begin none of its tasks, and kill the one that runs. The worker answers with `Ended` for
    /// what ended in the meantime and then with `Returned`, the length being the tasks that have ended.
    Stop {
        /// Whom to tell.
        worker: WorkerId,
        /// The batch.
        batch: BatchId,
    },
    /// The outcomes that came with this event are the only ones of these tasks: deliver them. One report may
    /// lead to several of these, with gaps between them: tasks of the gaps run again, and their outcomes are
    /// void.
    Deliver {
        /// The job.
        job: JobId,
        /// Index of the first task.
        first: u64,
        /// Place of the first task among those of the report.
        offset: u32,
        /// How many tasks.
        count: u32,
        /// The attempt that ended so.
        attempt: u32,
    },
    /// A task has used up its attempts: deliver a failure, with the cause that came with this event.
    Fail {
        /// The job.
        job: JobId,
        /// Index of the task.
        index: u64,
        /// The last attempt.
        attempt: u32,
    },
    /// These tasks have no outcome and will not run any more, since their job was cancelled or halted: deliver
    /// that.
    Cancel {
        /// The job.
        job: JobId,
        /// Index of the first task.
        first: u64,
        /// How many tasks.
        count: u64,
    },
    /// So many tasks of a job have failed that it stops, as if it had been cancelled with all that runs. Said
    /// once, before what follows from it.
    JobHalted {
        /// The job.
        job: JobId,
    },
    /// Every task of a closed job has its outcome. The job is forgotten.
    JobDone {
        /// The job.
        job: JobId,
    },
}
