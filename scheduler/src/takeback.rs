//! Which batch in flight to take tasks back from when a slot idles and nothing waits: an ordered set of
//! candidates, each at the place that its last change gave it. A place may be older than what is known of the
//! job by now; it is put right before anybody acts on it.

use std::collections::BTreeSet;

use crate::batch::{Batch, Question, Stage};
use crate::config::Config;
use crate::event::{BatchId, Time};
use crate::job::Job;

/// Where a batch stands among the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its un-begun tasks are worth moving now; the heavier, the sooner.
    Worthwhile {
        /// Expected time of those tasks, in nanoseconds; twice that if the first could start elsewhere at
        /// once.
        weight_ns: u64,
    },
    /// Its un-begun tasks take less time than moving them, unless they sit behind one that is stuck.
    Minor {
        /// From then on it counts as stuck.
        overdue_at: Time,
    },
}

impl Place {
    /// The place of a batch, or `None` if there is nothing to ask of it.
    pub(crate) fn of(batch: &Batch, job: &Job, config: &Config) -> Option<Self> {
        let surplus = batch.surplus();
        if surplus == 0 || batch.question != Question::None || !job.is_movable() {
            return None;
        }
        let Some(expected_ns) = job.sizing.expected_ns(surplus) else {
            // As long as nothing has ended, each task may be a long one.
            return Some(Self::Worthwhile {
                weight_ns: config.target_batch_ns.saturating_mul(u64::from(surplus)),
            });
        };
        if expected_ns < config.take_back_above_ns {
            let rest_ns = job.sizing.expected_ns(batch.remaining()).unwrap_or(0);
            // A batch that fills a child may wait for that child to start, and is not cut for a moment's silence after.
            let delay_ns = match (job.sizing.fills_fresh_children(), batch.stage) {
                (true, Stage::Begun) => config.target_batch_ns.saturating_mul(3),
                (true, _) => config.child_start_ns,
                (false, _) => config.target_batch_ns,
            };
            let patience_ns =
                rest_ns.saturating_mul(u64::from(config.overdue_factor)).saturating_add(delay_ns);
            return Some(Self::Minor { overdue_at: Time(batch.progress_at.0.saturating_add(patience_ns)) });
        }
        let starts = if batch.stage == Stage::Ahead { 2 } else { 1 };
        Some(Self::Worthwhile { weight_ns: expected_ns.saturating_mul(starts) })
    }

    /// Whether there is reason to ask now.
    pub(crate) fn is_worth_asking(self, now: Time) -> bool {
        match self {
            Self::Worthwhile { .. } => true,
            Self::Minor { overdue_at } => overdue_at <= now,
        }
    }
}

/// All batches of a lane that could give something back.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    worthwhile: BTreeSet<(u64, BatchId)>,
    minor: BTreeSet<(Time, BatchId)>,
    /// Questions that have not been answered. Of all lanes with a worker in common, there are never more than idle slots when one
    /// is asked.
    pub(crate) asked: u64,
}

impl Candidates {
    /// Moves a batch from one place to another.
    pub(crate) fn place(&mut self, batch: BatchId, from: Option<Place>, to: Option<Place>) {
        if from == to {
            return;
        }
        match from {
            Some(Place::Worthwhile { weight_ns }) => self.worthwhile.remove(&(weight_ns, batch)),
            Some(Place::Minor { overdue_at }) => self.minor.remove(&(overdue_at, batch)),
            None => false,
        };
        match to {
            Some(Place::Worthwhile { weight_ns }) => self.worthwhile.insert((weight_ns, batch)),
            Some(Place::Minor { overdue_at }) => self.minor.insert((overdue_at, batch)),
            None => false,
        };
    }

    /// A batch is over, or its job changes lanes.
    pub(crate) fn forget(&mut self, id: BatchId, batch: &Batch) {
        self.place(id, batch.place, None);
        self.asked -= u64::from(batch.question == Question::Open);
    }

    /// The batch to ask: one that is stuck, else the heaviest.
    pub(crate) fn best(&self, now: Time) -> Option<BatchId> {
        let stuck = self.minor.first().filter(|(overdue_at, _)| *overdue_at <= now).map(|&(_, batch)| batch);
        stuck.or_else(|| self.worthwhile.last().map(|&(_, batch)| batch))
    }

    /// When the next batch will count as stuck, unless it progresses.
    pub(crate) fn next_overdue(&self) -> Option<Time> {
        self.minor.first().map(|&(overdue_at, _)| overdue_at)
    }

    /// Candidates altogether.
    pub(crate) fn len(&self) -> usize {
        self.worthwhile.len() + self.minor.len()
    }
}

/// How many tasks to ask for: half of what has not begun, so that both sides end together; all of it if it is
/// stuck, since nobody knows for how long.
pub(crate) fn tasks_to_ask(batch: &Batch) -> u32 {
    match batch.place {
        Some(Place::Minor { .. }) => batch.surplus(),
        _ => batch.surplus().div_ceil(2),
    }
}
