//! The outcomes of a job, in order of completion: in memory, and what there is no room for in a file.
//!
//! Positions count outcomes from the job's start. Reading moves nothing; confirming frees what lies before a cursor, unless all is to
//! be kept.

use std::collections::VecDeque;

use poolmap_proto::memory_bytes;
use poolmap_proto::v1::OutcomeRun;

use crate::outcomes::{after, tasks};
use crate::spill::{Frame, Spill};

/// Bytes of outcomes that one answer carries, unless a single run is larger.
const ANSWER_BYTES: usize = 1 << 20;

/// All outcomes of a job that are held.
#[derive(Debug, Default)]
pub(crate) struct OutcomeLog {
    /// In memory, each with the position after it.
    runs: VecDeque<(u64, OutcomeRun)>,
    /// Position of the first outcome in memory.
    start: u64,
    bytes: usize,
    /// What lies before those in memory, where all is kept.
    spill: Spill,
    keeps_all: bool,
}

/// A cursor that lies before what is held or after all there is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("outcomes from {wanted} on were asked for; held are those from {start} to {end}")]
pub(crate) struct CursorError {
    wanted: u64,
    start: u64,
    end: u64,
}

/// What follows a position.
#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    /// These runs, and the cursor after them; none at the end of the log.
    Runs(Vec<OutcomeRun>, u64),
    /// A part of the file.
    Stored(Frame),
}

impl OutcomeLog {
    /// A log that keeps everything, confirmed or not.
    pub(crate) fn keeping_all() -> Self {
        Self { keeps_all: true, ..Self::default() }
    }

    /// Memory held by outcomes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Position after the last outcome.
    pub(crate) fn end(&self) -> u64 {
        self.runs.back().map_or(self.start, |(end, _)| *end)
    }

    /// Adds a run of outcomes.
    pub(crate) fn push(&mut self, run: OutcomeRun) {
        self.bytes += memory_bytes(&run);
        self.runs.push_back((self.end() + tasks(&run), run));
    }

    /// A reader has everything before `cursor`. A cursor that was confirmed before, or never given out, changes nothing.
    pub(crate) fn confirm(&mut self, cursor: u64) {
        if !self.keeps_all && cursor <= self.end() {
            self.forget_until(cursor);
        }
    }

    fn forget_until(&mut self, cursor: u64) {
        while let Some((end, run)) = self.runs.front().filter(|(end, _)| *end <= cursor) {
            self.start = *end;
            self.bytes -= memory_bytes(run);
            self.runs.pop_front();
        }
    }

    /// Whether an outcome at this position can be read, now or once there is one.
    pub(crate) fn check(&self, position: u64) -> Result<(), CursorError> {
        let start = if self.keeps_all { 0 } else { self.start };
        if (start..=self.end()).contains(&position) {
            Ok(())
        } else {
            Err(CursorError { wanted: position, start, end: self.end() })
        }
    }

    /// The outcomes from a position on, as many as one answer carries.
    pub(crate) fn read(&self, position: u64) -> Part {
        if let Some(frame) = self.spill.frame(position) {
            return Part::Stored(frame);
        }
        let first = self.runs.partition_point(|(end, _)| *end <= position);
        let (mut size, mut cursor, mut answer) = (0, position, Vec::new());
        for (end, run) in self.runs.range(first..) {
            let bytes = memory_bytes(run);
            if !answer.is_empty() && size + bytes > ANSWER_BYTES {
                break;
            }
            let missed = cursor.saturating_sub(end - tasks(run));
            size += bytes;
            cursor = *end;
            answer.push(after(run, missed));
        }
        Part::Runs(answer, cursor)
    }

    /// The oldest outcomes in memory, to be written to the file, and the cursor after them.
    pub(crate) fn oldest(&self) -> (Vec<OutcomeRun>, u64) {
        let (mut size, mut cursor, mut runs) = (0, self.start, Vec::new());
        for (end, run) in &self.runs {
            if size >= ANSWER_BYTES {
                break;
            }
            size += memory_bytes(run);
            cursor = *end;
            runs.push(run.clone());
        }
        (runs, cursor)
    }

    pub(crate) fn spill(&mut self) -> &mut Spill {
        &mut self.spill
    }

    /// What lies before `cursor` is in the file.
    pub(crate) fn stored(&mut self, cursor: u64) {
        self.forget_until(cursor);
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        let end = self.end();
        *self = Self { start: end, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first_index: u64, count: usize) -> OutcomeRun {
        OutcomeRun { first_index, lengths: vec![0; count], ..OutcomeRun::default() }
    }

    fn log(keeps_all: bool) -> OutcomeLog {
        let mut log = OutcomeLog { keeps_all, ..OutcomeLog::default() };
        log.push(run(5, 3));
        log.push(run(0, 2));
        log.push(OutcomeRun { first_index: 9, cancelled: 4, ..OutcomeRun::default() });
        log
    }

    fn indexes(part: Part) -> (Vec<(u64, u64)>, u64) {
        match part {
            Part::Runs(runs, cursor) => {
                (runs.iter().map(|run| (run.first_index, tasks(run))).collect(), cursor)
            }
            Part::Stored(_) => (Vec::new(), 0),
        }
    }

    #[test]
    fn reading_from_a_position_moves_nothing() {
        let log = log(false);
        assert_eq!(indexes(log.read(0)), (vec![(5, 3), (0, 2), (9, 4)], 9));
        assert_eq!(indexes(log.read(3)), (vec![(0, 2), (9, 4)], 9));
        assert_eq!(indexes(log.read(0)).1, 9, "the same again");
        assert_eq!(indexes(log.read(9)), (vec![], 9));
    }

    #[test]
    fn any_position_can_be_read_from() {
        let log = log(false);
        assert_eq!(indexes(log.read(1)), (vec![(6, 2), (0, 2), (9, 4)], 9));
        assert_eq!(indexes(log.read(6)), (vec![(10, 3)], 9));
    }

    #[test]
    fn what_is_confirmed_is_gone() {
        let mut log = log(false);
        log.confirm(4);
        assert!(log.check(2).is_err(), "a whole run before the cursor");
        assert_eq!(log.check(3), Ok(()), "a run is never cut");
        log.confirm(9);
        log.confirm(3);
        assert_eq!((log.bytes(), log.end(), log.check(9)), (0, 9, Ok(())));
    }

    #[test]
    fn a_cursor_after_the_end_confirms_nothing_and_cannot_be_read() {
        let mut log = log(false);
        log.confirm(10);
        assert_eq!(log.check(0), Ok(()));
        let error = CursorError { wanted: 10, start: 0, end: 9 };
        assert_eq!(log.check(10), Err(error));
    }

    #[test]
    fn a_log_that_keeps_all_frees_nothing() {
        let mut log = log(true);
        log.confirm(9);
        assert_eq!((indexes(log.read(0)).1, log.check(0)), (9, Ok(())));
    }

    #[test]
    fn an_answer_is_bounded_but_never_empty() {
        let mut log = OutcomeLog::default();
        for index in 0..3 {
            log.push(OutcomeRun { values: vec![0; ANSWER_BYTES].into(), ..run(index, 1) });
        }
        assert_eq!(indexes(log.read(0)), (vec![(0, 1)], 1));
    }
}
