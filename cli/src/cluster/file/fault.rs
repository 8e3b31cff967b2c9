//! What is wrong with a cluster file, and where.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A cluster file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileFault {
    #[error("cannot read the cluster file {}: {}", path.display(), crate::reason::reason(reason))]
    Unreadable { path: PathBuf, reason: io::Error },
    /// Line and column count from 1.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Wrong { path: PathBuf, line: usize, column: usize, message: String },
}

impl FileFault {
    /// Something in the text, at these bytes of it, is wrong.
    pub(super) fn wrong(path: &Path, text: &str, span: Option<Range<usize>>, message: String) -> Self {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        Self::Wrong { path: path.to_owned(), line, column, message }
    }
}

/// Line and column, in characters, of a byte.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}
