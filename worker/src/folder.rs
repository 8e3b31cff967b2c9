//! The folder of a worker, for what it needs on a disk. It goes with the worker; if that is killed, its keeper or the next worker
//! removes it: whoever lives in a folder holds its lock. Everything here blocks.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;

/// What such folders are called; the number of the worker's process follows.
const PREFIX: &str = "poolmap-worker-";
/// Somebody may take a new folder for an abandoned one before it is locked, but not always.
const ATTEMPTS: usize = 10;

/// A folder that only this user may enter.
#[derive(Debug)]
pub(crate) struct OwnFolder {
    folder: TempDir,
    _lock: Flock<File>,
}

impl OwnFolder {
    /// Makes it, in a folder or among temporary files.
    pub(crate) fn make(parent: Option<&Path>) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let (mut builder, prefix) = (tempfile::Builder::new(), prefix_of(Pid::this()));
        builder.prefix(&prefix).permissions(Permissions::from_mode(0o700));
        for _ in 0..ATTEMPTS {
            let folder = builder.tempdir_in(&parent)?;
            // A folder that was removed has no link.
            if let Ok(lock) = lock(folder.path())
                && lock.metadata()?.nlink() > 0
            {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(io::Error::other(format!("no folder in {} can be locked", parent.display())))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of this user's workers that were killed, as far as that is possible.
pub fn remove_abandoned(parent: &Path) {
    remove(parent, PREFIX);
}

/// The same for one process, which may hold its folder for a moment longer than anybody can see it; whether that is gone.
#[must_use]
pub fn remove_abandoned_by(process: Pid, parent: &Path) -> bool {
    remove(parent, &prefix_of(process))
}

fn prefix_of(process: Pid) -> String {
    format!("{PREFIX}{process}-")
}

/// Removes folders that nobody holds; whether there are no others.
fn remove(parent: &Path, prefix: &str) -> bool {
    let mut are_gone = true;
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes());
        let is_ours = || entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == geteuid().as_raw());
        if is_named_so && is_ours() {
            let removed = lock(&entry.path()).and_then(|_lock| fs::remove_dir_all(entry.path()));
            are_gone &= removed.is_ok();
        }
    }
    are_gone
}

fn lock(folder: &Path) -> io::Result<Flock<File>> {
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(folder)?;
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| error)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_goes_with_its_worker_or_when_somebody_looks_after_that() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let first = OwnFolder::make(Some(parent.path()))?;
        fs::create_dir_all(parent.path().join("poolmap-worker-killed/job-1"))?;
        remove_abandoned(parent.path());
        assert!(first.path().exists() && fs::read_dir(parent.path())?.count() == 1);
        assert!(!remove_abandoned_by(Pid::this(), parent.path()), "it is held");
        assert_eq!(fs::metadata(first.path())?.permissions().mode() & 0o777, 0o700);
        drop(first);
        assert!(remove_abandoned_by(Pid::this(), parent.path()));
        assert_eq!(fs::read_dir(parent.path())?.count(), 0);
        Ok(())
    }

    #[test]
    fn what_others_have_made_stays() -> io::Result<()> {
        let (parent, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::create_dir(parent.path().join("another"))?;
        File::create(parent.path().join("poolmap-worker-file"))?;
        symlink(elsewhere.path(), parent.path().join("poolmap-worker-link"))?;
        remove_abandoned(parent.path());
        assert!(fs::read_dir(parent.path())?.count() == 3 && elsewhere.path().exists());
        Ok(())
    }
}
