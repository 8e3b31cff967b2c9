//! Files that travel with jobs: each content comes to this worker once, and each job gets a folder with copies of its own.
//!
//! Copies and not links: a task may write to what lies in its working directory, and another job must not see that. Contents
//! come over a connection of their own, so that batches and outcomes do not wait behind them.

mod cache;
mod fetch;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use poolmap_proto::files::{self, Digest};
use poolmap_proto::v1::ShippedFile;
use tempfile::TempDir;
use tokio::runtime::Handle;

use self::cache::Cache;
use self::fetch::Line;
use crate::connect::Connector;

/// The environment variable that tells a job's children where its files lie.
pub(crate) const FOLDER_VARIABLE: &str = "POOLMAP_FILES";
/// Contents that come at once: enough to hide the way there and back of small ones.
const AT_ONCE: usize = 8;
/// Permissions of files in a job's folder, which nobody else may enter.
const PLAIN_MODE: u32 = 0o644;
const EXECUTABLE_MODE: u32 = 0o755;

/// Brings files for jobs; a cheap handle. What it keeps on disk goes with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Connector,
    /// How long it is tried while nothing comes.
    patience: Duration,
    cache: Cache,
    /// Where the folder for all this is made; among temporary files if absent.
    parent: Option<PathBuf>,
    /// That folder, made when a job first has files.
    root: Mutex<Option<Arc<TempDir>>>,
}

/// A job cannot have its files.
#[derive(Debug, thiserror::Error)]
#[error("cannot get {what}: {reason}")]
pub(crate) struct FetchError {
    what: String,
    reason: String,
}

/// The folder of a job, for the files that travel with it. It is removed when nothing of the job is left.
#[derive(Debug)]
pub(crate) struct JobFolder {
    /// Absent only while it is dropped. The folder around it stays as long.
    folder: Option<(TempDir, Arc<TempDir>)>,
    path: PathBuf,
    /// What is to lie in it.
    files: Vec<ShippedFile>,
}

impl Fetcher {
    pub(crate) fn new(connector: Connector, patience: Duration, parent: Option<PathBuf>) -> Self {
        let (cache, root) = (Cache::default(), Mutex::default());
        Self(Arc::new(Shared { connector, patience, cache, parent, root }))
    }

    /// Makes a folder for these files, which is empty before [`fill`](Self::fill) has ended.
    pub(crate) fn folder(&self, files: Vec<ShippedFile>) -> io::Result<JobFolder> {
        let root = self.0.root()?;
        let folder = private_folder("job-", root.path())?;
        let path = folder.path().to_owned();
        Ok(JobFolder { folder: Some((folder, root)), path, files })
    }

    /// Brings the files of a job to its folder.
    pub(crate) async fn fill(self, folder: Arc<JobFolder>) -> Result<(), FetchError> {
        let checked = folder.clone();
        let contents = blocking(move || contents(&checked.files)).await;
        let contents = contents.map_err(all_files)?;
        let root = self.0.root().map_err(|error| all_files(error.to_string()))?;
        let line = Line::new(self.0.connector.clone(), self.0.patience, root);
        let brought = stream::iter(contents)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |(digest, places)| self.put(&line, &folder, digest, places))
            .await;
        self.0.cache.trim().await;
        brought
    }

    /// Puts copies of a content at its places.
    async fn put(
        &self,
        line: &Line,
        folder: &Arc<JobFolder>,
        digest: Digest,
        places: Vec<usize>,
    ) -> Result<(), FetchError> {
        let first = places.first().and_then(|place| folder.files.get(*place));
        // The same bytes in all of them, or the coordinator would not have taken the job.
        let (path, bytes) = first.map_or(("", 0), |file| (file.path.as_str(), file.bytes));
        let error = |reason| FetchError { what: format!("{path}, a file that travels with the job"), reason };
        let content = self.0.cache.content(digest, || line.fetch(digest, bytes)).await.map_err(error)?;
        let folder = folder.clone();
        let copied = blocking(move || {
            let files = places.iter().filter_map(|place| folder.files.get(*place));
            files.into_iter().try_for_each(|file| copy(&content.path, &folder.path, file))
        });
        copied.await.map_err(error)
    }
}

impl Shared {
    fn root(&self) -> io::Result<Arc<TempDir>> {
        let mut root = self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = &*root {
            return Ok(root.clone());
        }
        let parent = self.parent.clone().unwrap_or_else(std::env::temp_dir);
        Ok(root.insert(Arc::new(private_folder("poolmap-files-", &parent)?)).clone())
    }
}

impl JobFolder {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removing many files takes a while, which the worker does not wait for.
impl Drop for JobFolder {
    fn drop(&mut self) {
        if let (Some(folder), Ok(runtime)) = (self.folder.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(folder));
        }
    }
}

fn all_files(reason: String) -> FetchError {
    FetchError { what: "the files that travel with the job".to_owned(), reason }
}

/// The places of each content among the files of a job.
fn contents(files: &[ShippedFile]) -> Result<BTreeMap<Digest, Vec<usize>>, String> {
    let mut contents = BTreeMap::<_, Vec<_>>::new();
    let digests = files::check(files).map_err(|error| error.to_string())?;
    for (place, digest) in digests.into_iter().enumerate() {
        contents.entry(digest).or_default().push(place);
    }
    Ok(contents)
}

fn copy(content: &Path, folder: &Path, file: &ShippedFile) -> io::Result<()> {
    let path = folder.join(&file.path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::copy(content, &path)?;
    let mode = if file.executable { EXECUTABLE_MODE } else { PLAIN_MODE };
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Makes a folder that only this user may enter.
fn private_folder(prefix: &str, parent: &Path) -> io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix(prefix).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)
}

/// Runs on a thread what waits for the disk.
async fn blocking<T: Send + 'static, E: ToString + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
