//! A content on its way to disk.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

use super::digest::{Digest, Hasher};

/// A content that arrives in pieces. It lies in a file that only this user may open, and that goes with it when it is
/// dropped. Everything here blocks.
pub struct Arrival {
    file: NamedTempFile,
    hasher: Hasher,
    bytes: u64,
}

/// A content is not what it was announced as.
#[derive(Debug, thiserror::Error)]
#[error("the content changed on its way: its SHA-256 is {arrived}, not {announced}")]
pub struct WrongContent {
    arrived: Digest,
    announced: Digest,
}

impl Arrival {
    /// Makes the file, in a folder.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix("content-").tempfile_in(folder)?;
        Ok(Self { file, hasher: Hasher::default(), bytes: 0 })
    }

    /// Appends a piece.
    pub fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Bytes that have arrived.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it has come: where it lies, as long as that is kept, if it is what it was said to be.
    pub fn finish(self, announced: Digest) -> Result<TempPath, WrongContent> {
        let arrived = self.hasher.finish();
        if arrived == announced {
            Ok(self.file.into_temp_path())
        } else {
            Err(WrongContent { arrived, announced })
        }
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("file", &self.file)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_that_has_arrived_lies_there_until_it_is_let_go() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let mut arrival = Arrival::begin(folder.path())?;
        arrival.write(b"pool")?;
        arrival.write(b"map")?;
        assert_eq!(arrival.bytes(), 7);
        let path = arrival.finish(Digest::of(&b"poolmap"[..])?.0)?;
        assert_eq!(std::fs::read(&path)?, b"poolmap");
        drop(path);
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }

    #[test]
    fn a_content_that_is_another_than_announced_does_not_stay() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let arrival = Arrival::begin(folder.path())?;
        let refused = arrival.finish(Digest::of(&b"poolmap"[..])?.0);
        assert!(refused.is_err());
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
        Ok(())
    }
}
