//! The folder of a coordinator: its authority, the access files that lie ready, and who uses it at the moment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use poolmap_proto::access::{Address, ReadError, Role, read_private, write_private};

use super::authority::{Authority, AuthorityError};
use crate::JobIds;

const AUTHORITY_NAME: &str = "authority.toml";
const LOCK_NAME: &str = "lock";
const JOB_IDS_NAME: &str = "job-ids";
const FIRST_LINE: &str =
    "# The certificate authority of a poolmap cluster. Whoever has this file can let anybody in.\n";

/// The folder of a coordinator cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system does not let it.
    #[error("cannot use the coordinator's folder {}: {reason}", folder.display())]
    System {
        /// Which one.
        folder: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Others may enter it.
    #[error("the coordinator's folder {} is open to others (mode {mode:03o})\nRun: chmod 700 {}", folder.display(), folder.display())]
    Exposed {
        /// Which one.
        folder: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in it was not written by a coordinator.
    #[error("{} is not as a coordinator has written it: {reason}\nTo begin anew, with new access files for all, move the folder away", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another coordinator uses it.
    #[error("another coordinator runs in the folder {}\nGive this one a folder of its own: --folder DIR", folder.display())]
    InUse {
        /// Which one.
        folder: PathBuf,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// A coordinator's folder, which nobody else may enter.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    authority: Authority,
}

/// As long as this lives, no other coordinator uses the folder.
#[derive(Debug)]
pub struct InUse {
    _lock: Flock<File>,
}

impl Folder {
    /// Opens a coordinator's folder; makes it, and the authority in it, if there is none.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let system = |reason| FolderError::System { folder: path.to_owned(), reason };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(system)?;
        let mode = fs::metadata(path).map_err(system)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(FolderError::Exposed { folder: path.to_owned(), mode });
        }
        let authority = match read_authority(path) {
            Ok(authority) => authority,
            Err(FolderError::System { reason, .. }) if reason.kind() == io::ErrorKind::NotFound => {
                let authority = Authority::make()?;
                write_authority(path, &authority)?;
                authority
            }
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), authority })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The authority in it.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority's file.
    #[must_use]
    pub fn authority_file(&self) -> PathBuf {
        self.path.join(AUTHORITY_NAME)
    }

    /// The access file of a role that lies ready in it.
    #[must_use]
    pub fn access_file(&self, role: Role) -> PathBuf {
        self.path.join(role.file_name())
    }

    /// Keeps other coordinators out of it.
    pub fn lock(&self) -> Result<InUse, FolderError> {
        let system = |reason| FolderError::System { folder: self.path.clone(), reason };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join(LOCK_NAME));
        match Flock::lock(file.map_err(system)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(InUse { _lock: lock }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(FolderError::InUse { folder: self.path.clone() }),
            Err((_, errno)) => Err(system(errno.into())),
        }
    }

    /// The numbers for jobs, none of which a coordinator in this folder has used before.
    pub fn job_ids(&self, _in_use: &InUse) -> Result<JobIds, FolderError> {
        let file = self.path.join(JOB_IDS_NAME);
        JobIds::kept_in(file.clone())
            .map_err(|error| FolderError::Damaged { file, reason: error.to_string() })
    }

    /// Makes an access file, here or anywhere.
    pub fn write_access(
        &self,
        file: &Path,
        role: Role,
        addresses: &[Address],
        valid_for: Duration,
    ) -> Result<(), FolderError> {
        let access = self.authority.issue(role, addresses.to_vec(), valid_for)?;
        access.write(file).map_err(|reason| FolderError::System { folder: file.to_owned(), reason })
    }

    /// Takes back all access files of a role.
    pub fn revoke(&mut self, role: Role) -> Result<(), FolderError> {
        self.authority.revoke(role);
        write_authority(&self.path, &self.authority)
    }
}

/// When the authority in a folder was last written.
pub(super) fn written_at(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder.join(AUTHORITY_NAME)).and_then(|metadata| metadata.modified()).ok()
}

pub(super) fn read_authority(folder: &Path) -> Result<Authority, FolderError> {
    let file = folder.join(AUTHORITY_NAME);
    let text = match read_private(&file) {
        Ok(text) => text,
        Err(ReadError::System(reason)) => {
            return Err(FolderError::System { folder: folder.to_owned(), reason });
        }
        Err(other) => return Err(FolderError::Damaged { file, reason: other.to_string() }),
    };
    // Without the line that its own rendering shows: there may be a key on it.
    toml::from_str(&text)
        .map_err(|error: toml::de::Error| FolderError::Damaged { file, reason: error.message().to_owned() })
}

fn write_authority(folder: &Path, authority: &Authority) -> Result<(), FolderError> {
    let system = |reason| FolderError::System { folder: folder.to_owned(), reason };
    let document = toml::to_string_pretty(authority).map_err(|error| system(io::Error::other(error)))?;
    write_private(&folder.join(AUTHORITY_NAME), &format!("{FIRST_LINE}{document}")).map_err(system)
}
