//! Outcomes in a file, for jobs that keep more than memory has room for: encoded answers end to end, and in memory where each lies.
//!
//! The core only keeps the books. Reading and writing block, and are called on threads for that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use poolmap_proto::v1::{OutcomeRun, OutcomesResponse};
use prost::Message as _;

use crate::outcomes::{after, tasks};

/// What is known of a job's file.
#[derive(Debug, Default)]
pub(crate) struct Spill {
    /// It has no name: it is gone when nobody has it open.
    file: Option<Arc<File>>,
    /// For each answer the cursor after it, and where it ends.
    frames: Vec<(u64, u64)>,
    is_being_written: bool,
    /// Writing failed; nothing more is written.
    pub(crate) is_broken: bool,
}

/// One answer in a file.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    file: Arc<File>,
    offset: u64,
    bytes: u64,
    /// Position of its first outcome, and the one that is wanted.
    start: u64,
    position: u64,
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        (self.offset, self.position) == (other.offset, other.position)
    }
}

impl Spill {
    /// Whether the next answer may be written.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_being_written && !self.is_broken
    }

    /// The answer that holds the outcome at a position, if it is in the file.
    pub(crate) fn frame(&self, position: u64) -> Option<Frame> {
        let place = self.frames.partition_point(|(end, _)| *end <= position);
        let &(_, end) = self.frames.get(place)?;
        let (start, offset) =
            place.checked_sub(1).and_then(|before| self.frames.get(before)).copied().unwrap_or_default();
        let file = self.file.clone()?;
        Some(Frame { file, offset, bytes: end - offset, start, position })
    }

    /// Begins to write the next answer: the file, if there is one, and where to go on in it.
    pub(crate) fn begin(&mut self) -> (Option<Arc<File>>, u64) {
        self.is_being_written = true;
        (self.file.clone(), self.frames.last().map_or(0, |(_, end)| *end))
    }

    /// An answer was written.
    pub(crate) fn written(&mut self, cursor: u64, written: Written) {
        self.is_being_written = false;
        self.file = Some(written.file);
        self.frames.push((cursor, written.end));
    }
}

impl Frame {
    /// Reads the answer from the wanted position on. Blocks.
    pub(crate) fn read(&self) -> io::Result<OutcomesResponse> {
        let mut bytes = vec![0; usize::try_from(self.bytes).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        let mut answer = OutcomesResponse::decode(bytes::Bytes::from(bytes))?;
        let mut start = self.start;
        answer.runs = answer
            .runs
            .into_iter()
            .filter_map(|run| {
                let missed = self.position.saturating_sub(start);
                start += tasks(&run);
                (missed < tasks(&run)).then(|| after(&run, missed))
            })
            .collect();
        Ok(answer)
    }
}

/// A file after something was appended to it.
#[derive(Debug)]
pub(crate) struct Written {
    file: Arc<File>,
    end: u64,
}

/// Appends an answer, to a new file in a folder if there is none. Blocks.
pub(crate) fn write(
    folder: &Path,
    (file, offset): (Option<Arc<File>>, u64),
    runs: Vec<OutcomeRun>,
    cursor: u64,
) -> io::Result<Written> {
    let file = match file {
        Some(file) => file,
        None => Arc::new(tempfile::tempfile_in(folder)?),
    };
    let bytes = OutcomesResponse { cursor, runs, end: None }.encode_to_vec();
    file.write_all_at(&bytes, offset)?;
    Ok(Written { file, end: offset + bytes.len() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first_index: u64, values: &[&str]) -> OutcomeRun {
        let lengths = values.iter().map(|value| value.len() as u32).collect();
        OutcomeRun { first_index, lengths, values: values.concat().into(), ..OutcomeRun::default() }
    }

    #[test]
    fn what_was_written_can_be_read_from_any_position() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut spill = Spill::default();
        let answers = [(vec![run(0, &["a", "bb"]), run(7, &["c"])], 3), (vec![run(2, &["d", "e"])], 5)];
        for (runs, cursor) in answers {
            let written = write(folder.path(), spill.begin(), runs, cursor)?;
            spill.written(cursor, written);
        }
        let read = |position| spill.frame(position).map(|frame| frame.read()).transpose();
        assert_eq!(read(0)?.map(|answer| answer.runs), Some(vec![run(0, &["a", "bb"]), run(7, &["c"])]));
        assert_eq!(read(1)?.map(|answer| answer.runs), Some(vec![run(1, &["bb"]), run(7, &["c"])]));
        assert_eq!(read(4)?.map(|answer| (answer.runs, answer.cursor)), Some((vec![run(3, &["e"])], 5)));
        assert!(read(5)?.is_none());
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "the file has no name");
        Ok(())
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        assert!(write(Path::new("/nowhere/at/all"), (None, 0), vec![run(0, &["a"])], 1).is_err());
    }
}
