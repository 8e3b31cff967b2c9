//! One input at a time: a buffer between large reads and the records cut from it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::InputError;

/// Bytes that one read asks for.
pub const READ_BYTES: usize = 256 << 10;
/// The longest line, value or row, in bytes.
pub const MAX_LINE_BYTES: usize = 256 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The path that stands for standard input.
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Checks that every input can be opened, before any task runs.
///
/// Pipes are only looked at: opening one twice would end its writer.
pub(super) fn check(paths: &[PathBuf]) -> Result<(), InputError> {
    for path in paths.iter().filter(|path| !is_stdin(path)) {
        check_one(path).map_err(|source| InputError::open(path, source))?;
    }
    Ok(())
}

fn check_one(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if metadata.is_file() {
        File::open(path)?;
    }
    Ok(())
}

/// An open input and the bytes read from it that were not used yet.
pub(super) struct Source {
    name: String,
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// The unused bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The beginning was looked at for a byte order mark.
    is_begun: bool,
    is_ended: bool,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> Result<Self, InputError> {
        if is_stdin(path) {
            return Ok(Self::new("stdin".to_owned(), Box::new(io::stdin())));
        }
        let file = File::open(path).map_err(|source| InputError::open(path, source))?;
        Ok(Self::new(path.display().to_string(), Box::new(file)))
    }

    pub(super) fn new(name: String, reader: Box<dyn Read + Send>) -> Self {
        Self { name, reader, buffer: Vec::new(), start: 0, end: 0, is_begun: false, is_ended: false }
    }

    /// The name that errors tell.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether nothing follows the unused bytes, as far as is known.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The unused bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The first `count` unused bytes are used now.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// The last `count` bytes that were consumed, without the last `without` of them.
    pub(super) fn consumed(&self, count: usize, without: usize) -> &[u8] {
        let begin = self.start.saturating_sub(count);
        self.buffer.get(begin..self.start.saturating_sub(without)).unwrap_or_default()
    }

    /// Waits for more bytes; at the end of the input there are none. `line` is told if reading fails.
    pub(super) fn fill(&mut self, line: u64) -> Result<(), InputError> {
        self.read().map_err(|source| InputError::Read { name: self.name.clone(), line, source })?;
        while !self.is_begun && !self.skip_byte_order_mark() {
            self.read().map_err(|source| InputError::Read { name: self.name.clone(), line, source })?;
        }
        Ok(())
    }

    /// One read, behind the unused bytes.
    fn read(&mut self) -> io::Result<()> {
        self.make_room();
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += count;
        self.is_ended = count == 0;
        Ok(())
    }

    /// Moves the unused bytes to the front, and sizes the buffer for them and one more read.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end + READ_BYTES > self.buffer.len() {
            let doubled = (self.end * 2).min(MAX_LINE_BYTES);
            self.buffer.resize(self.end.max(doubled) + READ_BYTES, 0);
        } else if self.end <= READ_BYTES && self.buffer.len() > 4 * READ_BYTES {
            self.buffer.truncate(2 * READ_BYTES);
            self.buffer.shrink_to_fit();
        }
    }

    /// Whether enough bytes are here to tell that there is no mark (any more).
    fn skip_byte_order_mark(&mut self) -> bool {
        let bytes = self.bytes();
        if bytes.starts_with(BYTE_ORDER_MARK) {
            self.consume(BYTE_ORDER_MARK.len());
        } else if BYTE_ORDER_MARK.starts_with(bytes) && !self.is_ended {
            return false;
        }
        self.is_begun = true;
        true
    }
}
