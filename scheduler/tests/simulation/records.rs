//! What the ledger writes down of tasks, jobs, batches and workers.

use poolmap_scheduler::{BatchId, ClassId, JobId, JobOptions, TaskCounts, WorkerId};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Queued,
    /// With a worker; of two copies, this is the older one.
    InFlight(BatchId),
    Done,
}

#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) place: Place,
    pub(crate) chunk: usize,
    pub(crate) crashes: u32,
    pub(crate) failures: u32,
    pub(crate) evictions: u32,
    /// Number of its next attempt, and the highest of any so far.
    pub(crate) next_attempt: u32,
    pub(crate) last_attempt: u32,
    /// It waits for its retry until then at least.
    pub(crate) not_before: u64,
    /// It was cancelled while it was in flight.
    pub(crate) is_withdrawn: bool,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts as they come")]
pub(crate) struct Job {
    pub(crate) options: JobOptions,
    pub(crate) tasks: Vec<Task>,
    pub(crate) chunks: usize,
    pub(crate) counts: TaskCounts,
    /// Queued tasks that anybody could run at once.
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) is_closed: bool,
    pub(crate) is_cancelled: bool,
    pub(crate) is_killed: bool,
    pub(crate) is_held: bool,
}

/// A batch in flight.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) job: JobId,
    pub(crate) worker: WorkerId,
    pub(crate) first: u64,
    pub(crate) length: u32,
    pub(crate) done: u32,
    pub(crate) attempt: u32,
    pub(crate) has_begun: bool,
    pub(crate) twin: Option<BatchId>,
    pub(crate) was_copied: bool,
    pub(crate) is_void: bool,
}

impl Batch {
    pub(crate) fn indexes(&self, from: u32) -> impl Iterator<Item = u64> + use<> {
        self.first + u64::from(from)..self.first + u64::from(self.length)
    }
}

/// An attached worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worker {
    pub(crate) slots: u32,
    pub(crate) class: ClassId,
    pub(crate) is_draining: bool,
}

/// What is told because of an event, task by task and batch by batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Told {
    Outcome { job: JobId, index: u64, attempt: u32, offset: u32 },
    Failure { job: JobId, index: u64, attempt: u32 },
    Cancelled { job: JobId, index: u64 },
    Halted { job: JobId },
    Stop { batch: BatchId },
    Done { job: JobId },
}

/// Whether a task could be handed out at once to anybody when it waits.
pub(crate) fn is_plain(task: &Task) -> bool {
    task.evictions == 0 && task.not_before == 0
}
