//! How many tasks ended, and how.

use std::collections::BTreeMap;
use std::fmt;

use poolmap_proto::v1::{FailureKind, OutcomeRun};

/// How many tasks ended, and how. Shown as one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that ended, failed ones included.
    pub done: u64,
    /// Tasks that failed, by kind; kinds that did not occur are absent.
    pub(super) by_kind: BTreeMap<FailureKind, u64>,
}

impl Counts {
    /// Tasks that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Tasks that failed in this way.
    #[must_use]
    pub fn of_kind(&self, kind: FailureKind) -> u64 {
        self.by_kind.get(&kind).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, run: &OutcomeRun) {
        self.done += run.lengths.len() as u64 + run.cancelled;
        if run.cancelled > 0 {
            *self.by_kind.entry(FailureKind::Cancelled).or_default() += run.cancelled;
        }
        for failure in &run.failures {
            *self.by_kind.entry(failure.kind()).or_default() += 1;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.done == 1 { "task" } else { "tasks" };
        write!(formatter, "{} {noun}, {} failed", self.done, self.failed())?;
        for (place, (&kind, count)) in self.by_kind.iter().enumerate() {
            let lead = if place == 0 { " (" } else { ", " };
            write!(formatter, "{lead}{count} {}", kind.word().replace('_', " "))?;
        }
        formatter.write_str(if self.by_kind.is_empty() { "" } else { ")" })
    }
}
