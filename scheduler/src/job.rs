//! One job: what waits, what was handed out, what it has taught.

use std::collections::BTreeSet;

use crate::backlog::Backlog;
use crate::config::Config;
use crate::event::{BatchId, Time};
use crate::fairness::Share;
use crate::lanes::LaneId;
use crate::options::{Halt, JobOptions};
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and nearly all of them combine"
)]
pub(crate) struct Job {
    pub(crate) options: JobOptions,
    /// Jobs that the same workers may run.
    pub(crate) lane: LaneId,
    pub(crate) share: Share,
    pub(crate) backlog: Backlog,
    pub(crate) sizing: Sizing,
    pub(crate) counts: TaskCounts,
    /// Batches in flight.
    pub(crate) batches: BTreeSet<BatchId>,
    /// Tasks in flight that were cancelled.
    pub(crate) withdrawn: BTreeSet<u64>,
    /// Tasks ever added, hence the index of the next.
    pub(crate) added: u64,
    /// Tasks whose outcome is a failure.
    pub(crate) failed: u64,
    /// Batches with one task left that runs, by when it began as far as is known; only if it may be copied.
    pub(crate) watched: BTreeSet<(Time, BatchId)>,
    /// When the first of them is late.
    pub(crate) late_at: Option<Time>,
    /// When the first task of the backlog is due that is delayed.
    pub(crate) due_at: Option<Time>,
    /// Whether it is listed with tasks that need a worker to themselves.
    pub(crate) is_listed_alone: bool,
    pub(crate) is_closed: bool,
    /// Implies that it is closed and that its backlog is empty, for ever.
    pub(crate) is_cancelled: bool,
    /// It is cancelled, and what ran was told to stop.
    pub(crate) is_killed: bool,
    pub(crate) is_held: bool,
}

impl Job {
    pub(crate) fn new(options: JobOptions, lane: LaneId, share: Share) -> Self {
        Self {
            lane,
            share,
            backlog: Backlog::default(),
            sizing: Sizing::new(options.max_tasks_per_child),
            options,
            counts: TaskCounts::default(),
            batches: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            added: 0,
            failed: 0,
            watched: BTreeSet::new(),
            late_at: None,
            due_at: None,
            is_listed_alone: false,
            is_closed: false,
            is_cancelled: false,
            is_killed: false,
            is_held: false,
        }
    }

    /// Whether a batch could be carved now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.is_held && self.backlog.has_next()
    }

    /// Whether a task could be handed out that needs a worker to itself.
    pub(crate) fn is_ready_alone(&self) -> bool {
        !self.is_held && self.backlog.alone() > 0
    }

    /// Whether every task it will ever have has its outcome.
    pub(crate) fn is_done(&self) -> bool {
        self.is_closed && self.backlog.is_empty() && self.batches.is_empty()
    }

    /// Whether tasks in flight may be moved to another worker: nobody else could run those of a held job.
    pub(crate) fn is_movable(&self) -> bool {
        !self.is_held && !self.is_cancelled
    }

    /// Whether so much has failed that the job should stop.
    pub(crate) fn is_to_be_halted(&self, config: &Config) -> bool {
        let done = self.counts.done;
        match self.options.halt {
            Halt::Never => false,
            Halt::AfterFailures(most) => self.failed >= most.max(1),
            Halt::AfterShare { percent } => {
                let is_judged =
                    done >= config.halt_judged_from_tasks || (self.is_closed && done == self.added);
                is_judged && self.failed > 0 && self.failed * 100 >= done * u64::from(percent)
            }
        }
    }

    pub(crate) fn supply(&self, slots: u64) -> Supply {
        let waiting = (self.backlog.alone() + self.backlog.delayed()) as u64;
        Supply { queued: self.counts.queued - waiting, next_count: self.backlog.next_count(), slots }
    }
}
