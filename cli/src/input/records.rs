//! Inputs one after another, cut into records at a delimiter byte: lines, or values that end with NUL.

use std::path::PathBuf;
use std::vec;

use super::error::{InputError, Problem};
use super::source::{MAX_LINE_BYTES, Source};

/// The records of several inputs.
pub(super) struct Records {
    paths: vec::IntoIter<PathBuf>,
    source: Option<Source>,
    delimiter: u8,
    /// Unused bytes of the source that are known to hold no delimiter.
    scanned: usize,
    /// Number of the last record in its source, from 1.
    line: u64,
}

impl Records {
    pub(super) fn new(paths: Vec<PathBuf>, delimiter: u8) -> Self {
        Self { paths: paths.into_iter(), source: None, delimiter, scanned: 0, line: 0 }
    }

    /// The records of this one source.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of(source: Source, delimiter: u8) -> Self {
        Self { source: Some(source), ..Self::new(Vec::new(), delimiter) }
    }

    /// The next record without its delimiter. `None` is the end, or, where waiting is not allowed, that no whole record
    /// is at hand.
    pub(super) fn next(&mut self, may_wait: bool) -> Result<Option<&[u8]>, InputError> {
        loop {
            let Some(source) = &mut self.source else {
                if !may_wait || !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let unscanned = source.bytes().get(self.scanned..).unwrap_or_default();
            if let Some(place) = memchr::memchr(self.delimiter, unscanned) {
                let length = self.scanned + place;
                return self.cut(length, 1).map(Some);
            }
            self.scanned = source.bytes().len();
            if self.scanned > MAX_LINE_BYTES {
                self.line += 1;
                return Err(self.error(Problem::TooLong));
            }
            if source.is_ended() {
                if self.scanned > 0 {
                    return self.cut(self.scanned, 0).map(Some);
                }
                self.source = None;
            } else if may_wait {
                source.fill(self.line)?;
            } else {
                return Ok(None);
            }
        }
    }

    /// An error in the record that was read last.
    pub(super) fn error(&self, problem: Problem) -> InputError {
        let name = self.source.as_ref().map_or_else(String::new, |source| source.name().to_owned());
        InputError::Line { name, line: self.line, problem }
    }

    fn open_next(&mut self) -> Result<bool, InputError> {
        let Some(path) = self.paths.next() else { return Ok(false) };
        self.source = Some(Source::open(&path)?);
        self.line = 0;
        Ok(true)
    }

    /// Takes a record of `length` bytes, and the delimiter behind it, off the source.
    fn cut(&mut self, length: usize, delimiter: usize) -> Result<&[u8], InputError> {
        self.scanned = 0;
        self.line += 1;
        if length > MAX_LINE_BYTES {
            return Err(self.error(Problem::TooLong));
        }
        let Some(source) = &mut self.source else { return Ok(&[]) };
        source.consume(length + delimiter);
        Ok(source.consumed(length + delimiter, delimiter))
    }
}
