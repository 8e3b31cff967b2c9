//! The contents of files that travel with jobs, each once, in a folder of their own.
//!
//! [`Books`] says what is kept and for how long; here is the disk that follows it. The core only lets go of what its jobs
//! held: it never waits for the disk, which is read and written on threads for what blocks.

mod books;
mod folder;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::files::{self, Arrival, Digest, PIECE_BYTES_MAX};
use poolmap_proto::v1::ShippedFile;
use tempfile::TempPath;
use tokio::sync::OnceCell;
use tonic::Status;

use self::books::Books;
use self::folder::Folder;
use crate::clock::Clock;

/// How often contents are looked for that have not been needed for too long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The contents that a coordinator has; a cheap handle. The folder goes with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Files(Arc<Store>);

#[derive(Debug)]
struct Store {
    /// Where the folder is made; among temporary files if absent.
    parent: Option<PathBuf>,
    /// Made when it is first needed: most coordinators of one machine never need it.
    folder: OnceCell<Folder>,
    clock: Clock,
    books: Mutex<Books>,
}

impl Files {
    /// A store without contents, on the current tokio runtime.
    pub(crate) fn start(parent: Option<PathBuf>, bytes_max: u64) -> Self {
        let books = Mutex::new(Books::new(bytes_max));
        let store = Arc::new(Store { parent, folder: OnceCell::new(), clock: Clock::start(), books });
        tokio::spawn(sweep(Arc::downgrade(&store)));
        Self(store)
    }

    /// Those of these contents that are not here. The others stay for a while, for whoever asks to name them in a job.
    pub(crate) fn missing(&self, digests: impl IntoIterator<Item = Digest>) -> Vec<Digest> {
        let (mut books, now) = (self.0.books(), self.0.clock.now());
        digests.into_iter().filter(|digest| !books.await_job(*digest, now)).collect()
    }

    /// Keeps the contents of a job's files for as long as what is returned. The error is for the client.
    pub(crate) async fn hold(&self, files: &[ShippedFile]) -> Result<Held, Status> {
        if files.is_empty() {
            return Ok(Held::default());
        }
        let (store, files) = (self.0.clone(), files.to_vec());
        // A hundred thousand take a while to check.
        blocking(move || {
            let digests =
                files::check(&files).map_err(|error| Status::invalid_argument(error.to_string()))?;
            let mut held = Held { store: Some(store.clone()), digests: Vec::with_capacity(digests.len()) };
            for (file, digest) in files.iter().zip(digests) {
                let bytes = store.books().hold(digest).ok_or_else(|| not_here(&file.path, digest))?;
                held.digests.push(digest);
                if bytes != file.bytes {
                    return Err(wrong_size(file, bytes));
                }
            }
            Ok(held)
        })
        .await
    }

    /// Begins to take a content.
    pub(crate) async fn arrival(&self) -> Result<Arrival, Status> {
        let path = self.0.folder().await?.to_owned();
        blocking_io(move || Arrival::begin(&path)).await
    }

    /// Room for a content that arrives.
    pub(crate) fn room(&self) -> Room {
        Room { store: self.0.clone(), bytes: 0 }
    }

    /// Takes a content into the books, with the room it has. One that came twice is kept once.
    pub(crate) fn add(&self, digest: Digest, path: TempPath, mut room: Room) {
        let bytes = std::mem::take(&mut room.bytes);
        room.bytes = match self.0.books().add(digest, path, bytes, self.0.clock.now()) {
            Ok(()) => 0,
            Err(_path) => bytes,
        };
    }

    /// Opens a content, if it is here.
    pub(crate) async fn open(&self, digest: Digest) -> Result<File, Status> {
        let path = self.0.books().path(digest).map(Path::to_owned);
        let path = path.ok_or_else(|| {
            Status::not_found(format!(
                "the content with SHA-256 {digest} is not here: no job needs it any more"
            ))
        })?;
        blocking_io(move || File::open(path)).await
    }
}

impl Store {
    async fn folder(&self) -> Result<&Path, Status> {
        let parent = self.parent.clone();
        let folder = self.folder.get_or_try_init(|| blocking_io(move || Folder::make(parent.as_deref())));
        Ok(folder.await?.path())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Contents that a job holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    store: Option<Arc<Store>>,
    digests: Vec<Digest>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            let (mut books, now) = (store.books(), store.clock.now());
            self.digests.iter().for_each(|digest| books.release(*digest, now));
        }
    }
}

/// Room taken for a content before it is in the books.
#[derive(Debug)]
pub(crate) struct Room {
    store: Arc<Store>,
    bytes: u64,
}

impl Room {
    /// Takes so much more.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        let left = self.store.books().reserve(bytes as u64);
        let left = left.map_err(|full| Status::resource_exhausted(full.to_string()))?;
        self.bytes += bytes as u64;
        remove(left).await
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.store.books().free(self.bytes);
    }
}

/// Reads the next piece of a content; `None` at its end.
pub(crate) async fn next_piece(file: File) -> Result<Option<(Bytes, File)>, Status> {
    blocking_io(move || {
        let mut piece = Vec::with_capacity(PIECE_BYTES_MAX);
        (&file).take(PIECE_BYTES_MAX as u64).read_to_end(&mut piece)?;
        Ok((!piece.is_empty()).then(|| (piece.into(), file)))
    })
    .await
}

/// Runs on a thread what waits for the disk.
pub(crate) async fn blocking_io<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Status> {
    blocking(move || work().map_err(|error| disk(&error))).await
}

/// Runs on a thread what takes a while.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
}

/// Removes what has not been needed for too long, as long as the store is there.
async fn sweep(store: Weak<Store>) {
    if let Some(store) = store.upgrade().filter(|store| store.parent.is_some())
        && let Err(error) = store.folder().await
    {
        tracing::warn!("there is no place for the files of jobs: {}", error.message());
    }
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(store) = store.upgrade() else { return };
        let outdated = store.books().outdated(store.clock.now());
        let _removed = remove(outdated).await;
    }
}

/// Removes contents from the disk.
async fn remove(contents: Vec<TempPath>) -> Result<(), Status> {
    if contents.is_empty() {
        return Ok(());
    }
    blocking(move || {
        drop(contents);
        Ok(())
    })
    .await
}

fn disk(error: &io::Error) -> Status {
    Status::failed_precondition(format!("the coordinator's disk fails: {error}"))
}

fn not_here(path: &str, digest: Digest) -> Status {
    Status::failed_precondition(format!(
        "the content of {path} (SHA-256 {digest}) is not here: it never came, or was not needed for too long; send it again"
    ))
}

fn wrong_size(file: &ShippedFile, bytes: u64) -> Status {
    Status::invalid_argument(format!("{} is said to have {} bytes and has {bytes}", file.path, file.bytes))
}
