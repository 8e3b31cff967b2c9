//! The folder that a coordinator keeps contents in. Everything here blocks.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

/// What such folders are called.
const PREFIX: &str = "poolmap-files-";

/// A folder that only this user may enter. It goes with the coordinator; if that is killed, the next one removes it.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
    /// Says that somebody lives here; absent among temporary files, where nobody looks.
    _lock: Option<Flock<File>>,
}

impl Folder {
    /// Makes it, in a folder that may be new and that several coordinators may share, or among temporary files.
    pub(super) fn make(parent: Option<&Path>) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
        let Some(parent) = parent else { return Ok(Self { folder: builder.tempdir()?, _lock: None }) };
        fs::create_dir_all(parent)?;
        // Nobody else looks before the new folder is locked.
        let _quiet = lock(parent, FlockArg::LockExclusive)?;
        remove_abandoned(parent)?;
        let folder = builder.tempdir_in(parent)?;
        let lock = Some(lock(folder.path(), FlockArg::LockExclusiveNonblock)?);
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of coordinators that were killed.
fn remove_abandoned(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_ours && lock(&entry.path(), FlockArg::LockExclusiveNonblock).is_ok() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn lock(folder: &Path, how: FlockArg) -> io::Result<Flock<File>> {
    Ok(Flock::lock(File::open(folder)?, how).map_err(|(_, error)| error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_coordinator_or_before_the_next_one_comes() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        let shared = parent.path().join("files");
        let first = Folder::make(Some(&shared))?;
        fs::create_dir(shared.join("poolmap-files-abandoned"))?;
        let second = Folder::make(Some(&shared))?;
        assert!(first.path().exists() && second.path().exists());
        assert_eq!(fs::read_dir(&shared)?.count(), 2);
        assert_eq!(fs::metadata(first.path())?.permissions().mode() & 0o777, 0o700);
        drop((first, second));
        assert_eq!(fs::read_dir(&shared)?.count(), 0);
        Ok(())
    }
}
