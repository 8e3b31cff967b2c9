//! A cluster's folder while it is up: the steward's socket, what must outlive a steward that is killed, and logs.
//!
//! Whether a cluster is up is whether its steward holds the lock; no process id is ever looked up in a file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use poolmap_proto::access::{default_folder, write_private};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// Lines of a log that an error shows.
const LAST_LINES: usize = 8;
/// Bytes of a log that are looked at for them.
const LAST_BYTES: u64 = 8 << 10;

/// What is known of a cluster without its steward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Slurm jobs that were submitted for it.
    #[serde(default)]
    pub(crate) slurm_jobs: Vec<u64>,
    /// Why its steward has ended without being told to.
    #[serde(default)]
    pub(crate) ended: Option<String>,
}

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// As long as this lives, the cluster has a steward.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: Flock<File>,
}

impl Folder {
    /// The folder of the cluster of this name, whether it is there or not.
    pub(crate) fn of(name: &str) -> Result<Self, Failure> {
        let coordinator = default_folder().map_err(|error| Failure::Usage(error.to_string()))?;
        let state = coordinator.parent().unwrap_or(&coordinator);
        Ok(Self(state.join("clusters").join(name)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn exists(&self) -> bool {
        self.0.exists()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("steward.sock")
    }

    /// Makes it, for this user alone.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)
    }

    /// Takes the place of the steward; `None` if there is one.
    pub(crate) fn hold(&self) -> io::Result<Option<Held>> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("lock"))?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Held { _lock: lock })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno.into()),
        }
    }

    /// Removes what an earlier steward has left, but not the lock that the caller holds, and makes room for new logs.
    pub(crate) fn begin(&self) -> io::Result<()> {
        remove_if_there(fs::remove_dir_all(self.logs()))?;
        remove_if_there(fs::remove_file(self.socket()))?;
        remove_if_there(fs::remove_file(self.record_file()))?;
        DirBuilder::new().mode(0o700).create(self.logs())
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_if_there(fs::remove_dir_all(&self.0))
    }

    /// What was written down last.
    pub(crate) fn record(&self) -> Record {
        let text = fs::read_to_string(self.record_file()).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        write_private(&self.record_file(), &serde_json::to_string(record)?)
    }

    fn record_file(&self) -> PathBuf {
        self.0.join("record.json")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The log of a process of the cluster.
    pub(crate) fn log(&self, process: &str) -> Log {
        // The name of a worker is that of its host, as ssh takes it.
        Log(self.logs().join(format!("{}.log", process.replace('/', "_"))))
    }
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// What a process has written to its standard streams.
#[derive(Clone, Debug)]
pub(crate) struct Log(PathBuf);

impl Log {
    /// For a process to write to, after what is in it.
    pub(crate) fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.0)
    }

    /// Its last lines.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let mut bytes = Vec::new();
        let read = File::open(&self.0).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
            file.take(LAST_BYTES).read_to_end(&mut bytes)
        });
        if read.is_err() {
            return Vec::new();
        }
        last_lines(&String::from_utf8_lossy(&bytes))
    }
}

/// The last lines of a text that have something in them.
pub(crate) fn last_lines(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).map(|&line| line.to_owned()).collect()
}
