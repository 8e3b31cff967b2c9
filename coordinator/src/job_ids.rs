//! The numbers of jobs. No job gets the number of another one, also not of one that an earlier coordinator had in the same
//! folder: users keep numbers for longer than coordinators live.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poolmap_proto::access::{ReadError, read_private, write_private};
use poolmap_scheduler::JobId;
use tonic::Status;

use crate::files::blocking_io;

/// Numbers that are written off at once: one write for so many jobs, and so many at most that a restart leaves out.
const BLOCK: u64 = 100;

/// Gives each job its number; a cheap handle. By default they begin at 1 and are kept nowhere.
#[derive(Clone, Debug)]
pub struct JobIds(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Holds the last number that is written off.
    file: Option<PathBuf>,
    /// The first number of this coordinator.
    first: u64,
    counter: Mutex<Counter>,
    /// Held by whoever writes.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct Counter {
    last: u64,
    /// The last number that may be given out before more are written off.
    reserved: u64,
}

impl Default for JobIds {
    fn default() -> Self {
        Self::new(None, 0, u64::MAX)
    }
}

impl JobIds {
    /// Numbers after all that were given out with this file before. Nobody else may use it meanwhile.
    pub(crate) fn kept_in(file: PathBuf) -> Result<Self, ReadError> {
        let used = match read_private(&file) {
            Ok(text) => text.trim().parse().map_err(|_| {
                let reason = format!("it should hold a number, and holds {:?}", text.trim());
                ReadError::System(io::Error::new(io::ErrorKind::InvalidData, reason))
            })?,
            Err(ReadError::System(error)) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self::new(Some(file), used, used))
    }

    fn new(file: Option<PathBuf>, last: u64, reserved: u64) -> Self {
        let counter = Mutex::new(Counter { last, reserved });
        Self(Arc::new(Shared { file, first: last + 1, counter, writing: Mutex::default() }))
    }

    /// The first number of this coordinator: jobs with lower ones were another's.
    pub(crate) fn first(&self) -> u64 {
        self.0.first
    }

    /// A number for a job.
    pub(crate) async fn next(&self) -> Result<JobId, Status> {
        if let Some(job) = self.0.take() {
            return Ok(job);
        }
        let shared = self.0.clone();
        blocking_io(move || shared.reserve()).await
    }
}

impl Shared {
    fn take(&self) -> Option<JobId> {
        let mut counter = lock(&self.counter);
        (counter.last < counter.reserved).then(|| {
            counter.last += 1;
            JobId(counter.last)
        })
    }

    /// Writes numbers off and gives the first of them. Blocks.
    fn reserve(&self) -> io::Result<JobId> {
        let _alone = lock(&self.writing);
        loop {
            if let Some(job) = self.take() {
                return Ok(job);
            }
            let reserved = lock(&self.counter).reserved + BLOCK;
            if let Some(file) = &self.file {
                write_private(file, &format!("{reserved}\n"))?;
            }
            lock(&self.counter).reserved = reserved;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    type Tested = Result<(), Box<dyn std::error::Error>>;

    async fn some(ids: &JobIds, count: u64) -> Result<Vec<u64>, Status> {
        let mut given = Vec::new();
        for _ in 0..count {
            given.push(ids.next().await?.0);
        }
        Ok(given)
    }

    #[tokio::test]
    async fn numbers_go_on_where_others_with_the_same_file_may_have_stopped() -> Tested {
        let folder = tempfile::tempdir()?;
        let (mut all, mut first) = (BTreeSet::new(), 1);
        for count in [3, 0, 0, BLOCK, 2 * BLOCK + 1, 1] {
            let ids = JobIds::kept_in(folder.path().join("job-ids"))?;
            assert_eq!(ids.first(), first);
            let given = some(&ids, count).await?;
            assert!(given.first().is_none_or(|given| *given == first) && given.is_sorted());
            all.extend(given);
            // As if it had been killed: nothing is written at the end.
            first += count.next_multiple_of(BLOCK);
        }
        assert_eq!(all.len() as u64, 3 + BLOCK + 2 * BLOCK + 1 + 1, "none was given twice");
        Ok(())
    }

    #[tokio::test]
    async fn numbers_that_cannot_be_written_off_are_not_given_out() -> Tested {
        let folder = tempfile::tempdir()?;
        let ids = JobIds::kept_in(folder.path().join("gone/job-ids"))?;
        assert!(ids.next().await.is_err());
        std::fs::create_dir(folder.path().join("gone"))?;
        assert_eq!(some(&ids, 2).await?, [1, 2]);
        Ok(())
    }

    #[test]
    fn a_file_that_holds_no_number_is_refused() -> Tested {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("job-ids");
        write_private(&file, "many\n")?;
        let said = JobIds::kept_in(file).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("should hold a number"), "{said}");
        Ok(())
    }

    #[tokio::test]
    async fn without_a_file_they_begin_at_1() -> Tested {
        assert_eq!(some(&JobIds::default(), 3).await?, [1, 2, 3]);
        Ok(())
    }
}
