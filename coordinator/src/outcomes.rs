//! Runs of outcomes: what a worker may not get wrong in them, and parts of them.

use std::ops::Range;

use poolmap_proto::v1::{Failure, OutcomeRun};

/// What a worker may get wrong in a run of outcomes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RunError {
    #[error("the lengths of a run of outcomes add up to {lengths} bytes, its values have {values}")]
    LengthsDisagree { lengths: u64, values: usize },
    #[error("a run of {tasks} outcomes names a failure of task {offset}, or names failures out of order")]
    BadFailure { offset: u32, tasks: usize },
    #[error("a run of {tasks} outcomes has {details} details")]
    BadDetails { details: usize, tasks: usize },
}

/// Checks what a worker reports before anybody relies on it.
pub(crate) fn check(run: &OutcomeRun) -> Result<(), RunError> {
    let tasks = run.lengths.len();
    let lengths: u64 = run.lengths.iter().map(|length| u64::from(*length)).sum();
    if lengths != run.values.len() as u64 {
        return Err(RunError::LengthsDisagree { lengths, values: run.values.len() });
    }
    let mut next = 0;
    for failure in &run.failures {
        if failure.offset < next || failure.offset as usize >= tasks {
            return Err(RunError::BadFailure { offset: failure.offset, tasks });
        }
        next = failure.offset + 1;
    }
    if !run.details.is_empty() && run.details.len() != tasks {
        return Err(RunError::BadDetails { details: run.details.len(), tasks });
    }
    Ok(())
}

/// The outcomes at some places of a run that was checked, sharing its values.
pub(crate) fn slice(run: &OutcomeRun, places: Range<u32>) -> OutcomeRun {
    let bytes = |lengths: &[u32]| lengths.iter().map(|length| *length as usize).sum::<usize>();
    let (begin, end) = (places.start as usize, places.end as usize);
    let lengths = run.lengths.get(begin..end).unwrap_or_default();
    let from = bytes(run.lengths.get(..begin).unwrap_or_default());
    let failures = run.failures.iter().filter(|failure| places.contains(&failure.offset));
    OutcomeRun {
        lengths: lengths.to_vec(),
        values: run.values.slice(from..from + bytes(lengths)),
        failures: failures
            .map(|failure| Failure { offset: failure.offset - places.start, ..failure.clone() })
            .collect(),
        details: run.details.get(begin..end).unwrap_or_default().to_vec(),
        ..OutcomeRun::default()
    }
}

/// Tasks whose outcomes a run holds.
pub(crate) fn tasks(run: &OutcomeRun) -> u64 {
    run.lengths.len() as u64 + run.cancelled
}

/// A run without its first outcomes.
pub(crate) fn after(run: &OutcomeRun, missed: u64) -> OutcomeRun {
    if missed == 0 {
        return run.clone();
    }
    let part = if run.cancelled > 0 {
        OutcomeRun { cancelled: run.cancelled.saturating_sub(missed), ..OutcomeRun::default() }
    } else {
        let end = u32::try_from(run.lengths.len()).unwrap_or(u32::MAX);
        let first = u32::try_from(missed).unwrap_or(u32::MAX).min(end);
        slice(run, first..end)
    };
    OutcomeRun { first_index: run.first_index + missed, worker: run.worker.clone(), ..part }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_has_the_values_failures_and_details_of_its_places() {
        let failure = |offset| Failure { offset, ..Failure::default() };
        let run = OutcomeRun {
            lengths: vec![1, 0, 2, 0],
            values: "abb".into(),
            failures: vec![failure(1), failure(3)],
            ..OutcomeRun::default()
        };
        let expected = OutcomeRun {
            lengths: vec![2, 0],
            values: "bb".into(),
            failures: vec![failure(1)],
            ..OutcomeRun::default()
        };
        assert_eq!(slice(&run, 2..4), expected);
        assert_eq!(slice(&run, 0..4), run);
    }

    #[test]
    fn what_is_left_of_a_run_has_the_indexes_that_follow() {
        let run =
            OutcomeRun { first_index: 7, lengths: vec![1, 2], values: "abb".into(), ..OutcomeRun::default() };
        let rest =
            OutcomeRun { first_index: 8, lengths: vec![2], values: "bb".into(), ..OutcomeRun::default() };
        assert_eq!((after(&run, 0), after(&run, 1)), (run, rest));
        let cancelled = OutcomeRun { first_index: 7, cancelled: 5, ..OutcomeRun::default() };
        assert_eq!(
            after(&cancelled, 2),
            OutcomeRun { first_index: 9, cancelled: 3, ..OutcomeRun::default() }
        );
    }
}
