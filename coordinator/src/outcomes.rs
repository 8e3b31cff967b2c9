//! The outcomes of a job that its reader has not yet confirmed, in order of completion.

use std::collections::VecDeque;
use std::ops::Range;

use poolmap_proto::v1::{Failure, OutcomeRun};

/// Bytes of outcomes that one answer carries, unless a single run is larger.
const ANSWER_BYTES: usize = 1 << 20;

/// A log with a cursor. Positions count outcomes from the job's start; asking from a cursor confirms, and so frees, all
/// before it.
#[derive(Debug, Default)]
pub(crate) struct OutcomeLog {
    runs: VecDeque<OutcomeRun>,
    /// Position of the first outcome still held.
    start: u64,
    /// Outcomes held.
    held: u64,
    bytes: usize,
}

/// A cursor that lies before what is held or after all there is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("outcomes from {wanted} on were asked for; held are those from {start} to {end}")]
pub(crate) struct CursorError {
    wanted: u64,
    start: u64,
    end: u64,
}

impl OutcomeLog {
    /// Memory held by unread outcomes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Position after the last outcome.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.held
    }

    /// Adds a run of outcomes.
    pub(crate) fn push(&mut self, run: OutcomeRun) {
        self.held += tasks(&run);
        self.bytes += bytes(&run);
        self.runs.push_back(run);
    }

    /// Frees all outcomes before `cursor`. Cursors move by whole answers, so runs are never cut.
    pub(crate) fn confirm(&mut self, cursor: u64) -> Result<(), CursorError> {
        if cursor < self.start || cursor > self.end() {
            return Err(CursorError { wanted: cursor, start: self.start, end: self.end() });
        }
        while let Some(run) = self.runs.front() {
            let count = tasks(run);
            if self.start + count > cursor {
                break;
            }
            self.start += count;
            self.held -= count;
            self.bytes -= bytes(run);
            self.runs.pop_front();
        }
        if self.start == cursor {
            Ok(())
        } else {
            Err(CursorError { wanted: cursor, start: self.start, end: self.end() })
        }
    }

    /// The next runs from the first one held, and the cursor after them.
    pub(crate) fn next(&self) -> (Vec<OutcomeRun>, u64) {
        let (mut size, mut cursor) = (0, self.start);
        let mut answer = Vec::new();
        for run in &self.runs {
            if !answer.is_empty() && size + bytes(run) > ANSWER_BYTES {
                break;
            }
            size += bytes(run);
            cursor += tasks(run);
            answer.push(run.clone());
        }
        (answer, cursor)
    }
}

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

/// About how much memory a run takes.
fn bytes(run: &OutcomeRun) -> usize {
    let failures: usize = run.failures.iter().map(|f| f.message.len() + f.traceback.len() + 128).sum();
    let details: usize = run.details.iter().map(|d| d.stdout.len() + d.stderr.len() + 96).sum();
    size_of::<OutcomeRun>() + run.lengths.len() * size_of::<u32>() + run.values.len() + failures + details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first_index: u64, count: usize) -> OutcomeRun {
        OutcomeRun { first_index, lengths: vec![0; count], ..OutcomeRun::default() }
    }

    #[test]
    fn a_reader_gets_each_run_once_and_confirms_by_its_cursor() -> Result<(), CursorError> {
        let mut log = OutcomeLog::default();
        log.push(run(5, 3));
        log.push(run(0, 2));
        let (runs, cursor) = log.next();
        assert_eq!((runs.len(), cursor), (2, 5));
        log.confirm(cursor)?;
        assert_eq!((log.next().0.len(), log.bytes(), log.end()), (0, 0, 5));
        Ok(())
    }

    #[test]
    fn the_same_cursor_gives_the_same_runs_again() -> Result<(), CursorError> {
        let mut log = OutcomeLog::default();
        log.push(run(0, 1));
        log.confirm(0)?;
        let first = log.next();
        log.confirm(0)?;
        assert_eq!(log.next(), first);
        Ok(())
    }

    #[test]
    fn a_cursor_outside_of_what_is_held_is_refused() -> Result<(), CursorError> {
        let mut log = OutcomeLog::default();
        log.push(run(0, 4));
        assert!(log.confirm(5).is_err());
        log.confirm(4)?;
        assert!(log.confirm(0).is_err());
        Ok(())
    }

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
    fn an_answer_is_bounded_but_never_empty() {
        let mut log = OutcomeLog::default();
        for index in 0..3 {
            log.push(OutcomeRun { values: vec![0; ANSWER_BYTES].into(), ..run(index, 1) });
        }
        assert_eq!(log.next().0.len(), 1);
    }
}
