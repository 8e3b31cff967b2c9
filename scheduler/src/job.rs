//! One job: what waits, what was handed out, what it has taught.

use std::collections::BTreeSet;

use crate::event::{BatchId, JobOptions};
use crate::fairness::Share;
use crate::ranges::Backlog;
use crate::sizing::{Sizing, Supply};

/// Tasks by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Not handed out, or handed out and come back.
    pub queued: u64,
    /// With a worker, begun or not.
    pub running: u64,
    /// With an outcome, whatever it is.
    pub done: u64,
}

/// A job that has tasks without an outcome, or may get more.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) crash_limit: u32,
    pub(crate) share: Share,
    pub(crate) backlog: Backlog,
    pub(crate) sizing: Sizing,
    pub(crate) counts: TaskCounts,
    /// Batches in flight.
    pub(crate) batches: BTreeSet<BatchId>,
    /// Tasks ever added, hence the index of the next.
    pub(crate) added: u64,
    pub(crate) is_closed: bool,
    /// Implies that it is closed and that its backlog is empty, for ever.
    pub(crate) is_cancelled: bool,
    pub(crate) is_held: bool,
}

impl Job {
    pub(crate) fn new(options: &JobOptions, share: Share) -> Self {
        Self {
            crash_limit: options.crash_limit.max(1),
            share,
            backlog: Backlog::default(),
            sizing: Sizing::new(options.max_tasks_per_child),
            counts: TaskCounts::default(),
            batches: BTreeSet::new(),
            added: 0,
            is_closed: false,
            is_cancelled: false,
            is_held: false,
        }
    }

    /// Whether a batch could be carved now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_held && !self.backlog.is_empty()
    }

    /// Whether every task it will ever have has its outcome.
    pub(crate) fn is_done(&self) -> bool {
        self.is_closed && self.backlog.is_empty() && self.batches.is_empty()
    }

    /// Whether tasks in flight may be moved to another worker: nobody else could run those of a held job.
    pub(crate) fn is_movable(&self) -> bool {
        !self.is_held && !self.is_cancelled
    }

    pub(crate) fn supply(&self, slots: u64) -> Supply {
        Supply { queued: self.counts.queued, next_count: self.backlog.next_count(), slots }
    }
}
