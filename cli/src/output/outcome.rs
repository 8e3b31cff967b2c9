//! A run of outcomes, looked at task by task.

use poolmap_proto::v1::{Detail, Failure, OutcomeRun};

use super::error::OutputError;

/// How one task ended.
#[derive(Clone, Copy)]
pub(super) struct Outcome<'a> {
    /// Place of the task in its job.
    pub(super) index: u64,
    /// Empty for a failure, and for commands.
    pub(super) value: &'a [u8],
    pub(super) failure: Option<&'a Failure>,
    pub(super) detail: Option<&'a Detail>,
}

/// Checks that the parts of a run fit together, so that [`outcomes`] gives every part to one task.
pub(super) fn check(run: &OutcomeRun) -> Result<(), OutputError> {
    let tasks = run.lengths.len();
    let bytes: u64 = run.lengths.iter().map(|&length| u64::from(length)).sum();
    let ascends = run.failures.is_sorted_by(|left, right| left.offset < right.offset);
    let what = if bytes != run.values.len() as u64 {
        "lengths that do not add up"
    } else if !run.details.is_empty() && run.details.len() != tasks {
        "details of other tasks"
    } else if !ascends || run.failures.last().is_some_and(|failure| failure.offset as usize >= tasks) {
        "failures of other tasks"
    } else if run.first_index.checked_add(tasks as u64).is_none() {
        "indices past the end"
    } else {
        return Ok(());
    };
    Err(OutputError::Malformed { what, index: run.first_index })
}

/// The outcomes of a run that passed [`check`].
pub(super) fn outcomes(run: &OutcomeRun) -> impl Iterator<Item = Outcome<'_>> {
    let mut values = run.values.as_ref();
    let mut failures = run.failures.iter().peekable();
    let mut details = run.details.iter();
    (0..).zip(&run.lengths).map(move |(offset, &length)| {
        let (value, rest) = values.split_at_checked(length as usize).unwrap_or((values, &[]));
        values = rest;
        let failure = failures.next_if(|failure| failure.offset == offset);
        Outcome { index: run.first_index + u64::from(offset), value, failure, detail: details.next() }
    })
}
