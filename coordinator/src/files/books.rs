//! Which contents there are, who needs them, and how much room they take. No disk, no clock.

use std::collections::HashMap;
use std::time::Duration;

use bytesize::ByteSize;
use poolmap_proto::files::Digest;
use poolmap_scheduler::Time;
use tempfile::TempPath;

use crate::clock;

/// How long a content is kept that no job needs: for a job that is about to be submitted, and for the next one of the same
/// files.
const KEPT_UNUSED: Duration = Duration::from_secs(60 * 60);

/// All contents. What is taken out is handed to the caller, who removes the files by dropping them.
#[derive(Debug)]
pub(super) struct Books {
    contents: HashMap<Digest, Content>,
    /// Of all contents and of those that arrive.
    bytes: u64,
    bytes_max: u64,
}

#[derive(Debug)]
struct Content {
    path: TempPath,
    bytes: u64,
    /// Jobs that need it; one that needs it twice counts twice.
    jobs: u64,
    /// When it last came, was asked for, or was let go by a job.
    touched: Time,
    /// A client was told that it is here, and no job has named it since.
    is_awaited: bool,
}

/// There is no room for a content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the files of all jobs may take {} on the coordinator, and that is in use: wait for jobs to end, send smaller files, or start it with a larger --max-files-size",
    ByteSize(*bytes_max).display().iec()
)]
pub(super) struct Full {
    bytes_max: u64,
}

impl Books {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { contents: HashMap::new(), bytes: 0, bytes_max }
    }

    /// Where a content lies.
    pub(super) fn path(&self, digest: Digest) -> Option<&std::path::Path> {
        self.contents.get(&digest).map(|content| content.path.as_ref())
    }

    /// Whether a content is there; if so it waits for a job that will name it.
    pub(super) fn await_job(&mut self, digest: Digest, now: Time) -> bool {
        let content = self.contents.get_mut(&digest);
        content.map(|content| (content.touched, content.is_awaited) = (now, true)).is_some()
    }

    /// A job needs a content: its bytes, if it is there.
    pub(super) fn hold(&mut self, digest: Digest) -> Option<u64> {
        let content = self.contents.get_mut(&digest)?;
        content.jobs += 1;
        content.is_awaited = false;
        Some(content.bytes)
    }

    /// A job does not need a content any more.
    pub(super) fn release(&mut self, digest: Digest, now: Time) {
        if let Some(content) = self.contents.get_mut(&digest) {
            content.jobs = content.jobs.saturating_sub(1);
            content.touched = now;
        }
    }

    /// Takes room for a content that arrives. If there is too little, contents go that jobs have needed, those first that
    /// were not needed for longest.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<Vec<TempPath>, Full> {
        let mut left = Vec::new();
        let needed = self.bytes.saturating_add(bytes);
        if needed > self.bytes_max {
            for digest in self.spare(needed - self.bytes_max)? {
                left.extend(self.remove(digest));
            }
        }
        self.bytes += bytes;
        Ok(left)
    }

    /// Contents that may go, so many that they have this many bytes.
    fn spare(&self, bytes: u64) -> Result<Vec<Digest>, Full> {
        let is_spare = |content: &Content| content.jobs == 0 && !content.is_awaited;
        let mut spare: Vec<_> = self.contents.iter().filter(|(_, content)| is_spare(content)).collect();
        spare.sort_unstable_by_key(|(_, content)| content.touched);
        let mut freed = 0;
        let enough = spare.iter().position(|(_, content)| {
            freed += content.bytes;
            freed >= bytes
        });
        let last = enough.ok_or(Full { bytes_max: self.bytes_max })?;
        Ok(spare.into_iter().take(last + 1).map(|(digest, _)| *digest).collect())
    }

    /// Gives back room of a content that did not arrive.
    pub(super) fn free(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A content has arrived, in room that was taken. One that is there already is returned.
    pub(super) fn add(
        &mut self,
        digest: Digest,
        path: TempPath,
        bytes: u64,
        now: Time,
    ) -> Result<(), TempPath> {
        if self.await_job(digest, now) {
            return Err(path);
        }
        self.contents.insert(digest, Content { path, bytes, jobs: 0, touched: now, is_awaited: true });
        Ok(())
    }

    /// Takes out what has not been needed for too long.
    pub(super) fn outdated(&mut self, now: Time) -> Vec<TempPath> {
        let is_outdated =
            |content: &Content| content.jobs == 0 && clock::between(content.touched, now) > KEPT_UNUSED;
        let outdated = self.contents.iter().filter(|(_, content)| is_outdated(content));
        let outdated: Vec<_> = outdated.map(|(digest, _)| *digest).collect();
        outdated.into_iter().filter_map(|digest| self.remove(digest)).collect()
    }

    fn remove(&mut self, digest: Digest) -> Option<TempPath> {
        let content = self.contents.remove(&digest)?;
        self.free(content.bytes);
        Some(content.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Time = Time(3600 * 1_000_000_000);

    fn digest(text: &str) -> std::io::Result<Digest> {
        Ok(Digest::of(text.as_bytes())?.0)
    }

    fn path() -> std::io::Result<TempPath> {
        Ok(tempfile::NamedTempFile::new()?.into_temp_path())
    }

    /// Books with contents of ten bytes each.
    fn books(bytes_max: u64, contents: &[&str]) -> std::io::Result<Books> {
        let mut books = Books::new(bytes_max);
        for content in contents {
            assert_eq!(books.reserve(10).map(|left| left.len()), Ok(0));
            assert!(books.add(digest(content)?, path()?, 10, Time(0)).is_ok());
        }
        Ok(books)
    }

    #[test]
    fn a_content_that_no_job_needs_goes_after_an_hour() -> std::io::Result<()> {
        let mut books = books(100, &["a", "b", "c"])?;
        assert_eq!(books.hold(digest("a")?), Some(10));
        assert_eq!(books.outdated(HOUR).len(), 0);
        assert!(books.await_job(digest("b")?, Time(1)), "somebody asks for it");
        assert_eq!(books.outdated(Time(HOUR.0 + 1)).len(), 1, "only c");
        books.release(digest("a")?, HOUR);
        assert_eq!(books.outdated(Time(HOUR.0 + 2)).len(), 1, "only b");
        assert_eq!(books.outdated(Time(2 * HOUR.0 + 1)).len(), 1, "a as well");
        assert_eq!((books.bytes, books.contents.len()), (0, 0));
        Ok(())
    }

    #[test]
    fn when_it_is_full_what_jobs_have_needed_makes_room_and_nothing_else() -> std::io::Result<()> {
        let mut books = books(30, &["needed", "spare", "awaited"])?;
        books.hold(digest("needed")?);
        books.hold(digest("spare")?);
        assert_eq!(books.reserve(1).err(), Some(Full { bytes_max: 30 }));
        books.release(digest("spare")?, Time(1));
        assert_eq!(books.reserve(11).err(), Some(Full { bytes_max: 30 }), "it would not be enough");
        assert!(books.path(digest("spare")?).is_some(), "nothing goes in vain");
        assert_eq!(books.reserve(10).map(|left| left.len()), Ok(1));
        books.free(10);
        assert_eq!(books.bytes, 20);
        assert!(books.path(digest("awaited")?).is_some() && books.path(digest("needed")?).is_some());
        Ok(())
    }

    #[test]
    fn a_content_that_comes_twice_is_kept_once() -> std::io::Result<()> {
        let mut books = books(100, &["a"])?;
        assert!(books.add(digest("a")?, path()?, 10, Time(0)).is_err());
        assert_eq!((books.bytes, books.contents.len()), (10, 1));
        assert_eq!(books.hold(digest("b")?), None);
        Ok(())
    }
}
