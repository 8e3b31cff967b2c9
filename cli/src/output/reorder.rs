//! Puts runs of outcomes back into input order, as they come.

use std::collections::BTreeMap;

use poolmap_proto::v1::OutcomeRun;

use super::error::OutputError;

/// Runs that wait for outcomes of earlier tasks. Costs per run, not per task.
#[derive(Default)]
pub(super) struct Reorder {
    /// The first task whose outcome was not taken yet.
    next: u64,
    /// By first task; no two overlap, and none begins before `next`.
    waiting: BTreeMap<u64, OutcomeRun>,
    held_bytes: usize,
}

impl Reorder {
    /// Takes a run in. A task that has an outcome already is an error.
    pub(super) fn push(&mut self, run: OutcomeRun) -> Result<(), OutputError> {
        let begin = run.first_index;
        if run.lengths.is_empty() {
            return Ok(());
        }
        let before = self.waiting.range(..=begin).next_back().map_or(self.next, |(_, run)| end_of(run));
        let after = self.waiting.range(begin..).next().map(|(&first, _)| first);
        if begin < before || after.is_some_and(|first| first < end_of(&run)) {
            return Err(OutputError::Malformed { what: "a second outcome of a task", index: begin });
        }
        self.held_bytes += bytes_of(&run);
        self.waiting.insert(begin, run);
        Ok(())
    }

    /// The run that follows the last one taken, if it is here.
    pub(super) fn take_next(&mut self) -> Option<OutcomeRun> {
        let first = *self.waiting.first_key_value()?.0;
        if first == self.next { self.take_first() } else { None }
    }

    /// The first run that is here, whatever is missing before it: for the end of a job that was stopped.
    pub(super) fn take_first(&mut self) -> Option<OutcomeRun> {
        let (_, run) = self.waiting.pop_first()?;
        self.held_bytes -= bytes_of(&run);
        self.next = end_of(&run);
        Some(run)
    }

    /// Bytes of the runs that wait, about.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

fn end_of(run: &OutcomeRun) -> u64 {
    run.first_index + run.lengths.len() as u64
}

fn bytes_of(run: &OutcomeRun) -> usize {
    let failures = run.failures.iter();
    let details = run.details.iter();
    size_of::<OutcomeRun>()
        + size_of_val(run.lengths.as_slice())
        + run.values.len()
        + size_of_val(run.failures.as_slice())
        + failures.map(|failure| failure.message.len() + failure.traceback.len()).sum::<usize>()
        + size_of_val(run.details.as_slice())
        + details.map(|detail| detail.stdout.len() + detail.stderr.len()).sum::<usize>()
}
