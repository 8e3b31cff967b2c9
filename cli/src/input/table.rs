//! Inputs one after another, read as rows of CSV or TSV.
//!
//! The parser is the `csv` crate's core rather than its reader: the reader cannot tell whether a whole row is at hand, and
//! so would wait for a slow pipe while it holds rows.

use std::path::PathBuf;
use std::vec;

use csv_core::ReadRecordResult;

use super::error::{InputError, Problem};
use super::source::{MAX_LINE_BYTES, Source};

/// The rows of several inputs; all rows of an input have as many columns as its first.
pub(super) struct Rows {
    paths: vec::IntoIter<PathBuf>,
    separator: u8,
    current: Option<Table>,
}

/// One row.
pub(super) struct Row<'a> {
    /// It is the first of its input.
    pub(super) is_first: bool,
    text: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Row<'a> {
    /// The values of the row's columns.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (text, mut begin) = (self.text, 0);
        self.ends.iter().map(move |&end| {
            let field = text.get(begin..end).unwrap_or_default();
            begin = end;
            field
        })
    }
}

impl Rows {
    pub(super) fn new(paths: Vec<PathBuf>, separator: u8) -> Self {
        Self { paths: paths.into_iter(), separator, current: None }
    }

    /// The rows of this one source.
    #[cfg(test)]
    pub(super) fn of(source: Source, separator: u8) -> Self {
        Self { current: Some(Table::new(source, separator)), ..Self::new(Vec::new(), separator) }
    }

    /// The next row. `None` is the end, or, where waiting is not allowed, that no whole row is at hand.
    pub(super) fn next(&mut self, may_wait: bool) -> Result<Option<Row<'_>>, InputError> {
        loop {
            let Some(table) = &mut self.current else {
                let Some(path) = may_wait.then(|| self.paths.next()).flatten() else { return Ok(None) };
                self.current = Some(Table::new(Source::open(&path)?, self.separator));
                continue;
            };
            match table.advance(may_wait)? {
                Advance::Row => break,
                Advance::MustWait => return Ok(None),
                Advance::End => self.current = None,
            }
        }
        Ok(self.current.as_mut().map(Table::take_row))
    }

    /// An error in the row that was read last.
    pub(super) fn error(&self, problem: Problem) -> InputError {
        let (name, line) = self.current.as_ref().map_or((String::new(), 0), Table::place);
        InputError::Line { name, line, problem }
    }
}

enum Advance {
    Row,
    MustWait,
    End,
}

/// One input and the row that is being read from it.
struct Table {
    source: Source,
    parser: Box<csv_core::Reader>,
    /// Text of the row's fields end to end, of which `text_bytes` are written.
    text: Vec<u8>,
    text_bytes: usize,
    /// Where each field ends in `text`, of which `columns` are known.
    ends: Vec<usize>,
    columns: usize,
    /// Columns of the first row.
    width: Option<usize>,
    /// Line ends that were used, and whether the last used byte is one.
    newlines: u64,
    is_behind_newline: bool,
}

impl Table {
    fn new(source: Source, separator: u8) -> Self {
        Self {
            source,
            parser: Box::new(csv_core::ReaderBuilder::new().delimiter(separator).build()),
            text: vec![0; 1 << 10],
            text_bytes: 0,
            ends: vec![0; 32],
            columns: 0,
            width: None,
            newlines: 0,
            is_behind_newline: false,
        }
    }

    /// Reads on until a row is whole.
    fn advance(&mut self, may_wait: bool) -> Result<Advance, InputError> {
        loop {
            while self.source.bytes().is_empty() && !self.source.is_ended() {
                if !may_wait {
                    return Ok(Advance::MustWait);
                }
                self.source.fill(self.newlines)?;
            }
            // No bytes here tell the parser that the input has ended.
            match self.parse() {
                ReadRecordResult::Record => return self.check_width().map(|()| Advance::Row),
                ReadRecordResult::End => return Ok(Advance::End),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.grow_text()?,
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
    }

    /// One step of the parser.
    fn parse(&mut self) -> ReadRecordResult {
        let (result, used, text, ends) = self.parser.read_record(
            self.source.bytes(),
            self.text.get_mut(self.text_bytes..).unwrap_or_default(),
            self.ends.get_mut(self.columns..).unwrap_or_default(),
        );
        self.source.consume(used);
        let bytes = self.source.consumed(used, 0);
        self.newlines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        self.is_behind_newline = bytes.last().map_or(self.is_behind_newline, |&byte| byte == b'\n');
        self.text_bytes += text;
        self.columns += ends;
        result
    }

    fn grow_text(&mut self) -> Result<(), InputError> {
        if self.text.len() >= MAX_LINE_BYTES {
            let (name, line) = self.place();
            return Err(InputError::Line { name, line, problem: Problem::TooLong });
        }
        self.text.resize(self.text.len() * 2, 0);
        Ok(())
    }

    fn check_width(&mut self) -> Result<(), InputError> {
        let expected = self.width.unwrap_or(self.columns);
        if expected == self.columns {
            return Ok(());
        }
        let (name, line) = self.place();
        Err(InputError::Line { name, line, problem: Problem::Ragged { expected, found: self.columns } })
    }

    /// The row that is whole; what is read next goes into a new one.
    fn take_row(&mut self) -> Row<'_> {
        let is_first = self.width.is_none();
        self.width = Some(self.columns);
        let text = self.text.get(..self.text_bytes).unwrap_or_default();
        let ends = self.ends.get(..self.columns).unwrap_or_default();
        self.text_bytes = 0;
        self.columns = 0;
        Row { is_first, text, ends }
    }

    /// Name of the input, and the line on which the row that was read last ends.
    fn place(&self) -> (String, u64) {
        (self.source.name().to_owned(), self.newlines + u64::from(!self.is_behind_newline))
    }
}
