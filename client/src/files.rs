//! Files that travel with a job: found and named here, and brought to the coordinator unless it has them.

mod collect;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use poolmap_proto::files::{BadFiles, Digest, FILES_MAX, MESSAGE_BYTES_MAX, PIECE_BYTES_MAX};
use poolmap_proto::transport::GrpcService;
use poolmap_proto::v1::files_client::FilesClient;
use poolmap_proto::v1::{MissingRequest, PutRequest, PutResponse, ShippedFile};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use crate::client::Client;
use crate::error::ClientError;

/// Pieces that may wait for the connection to take them.
const PIECES_AHEAD: usize = 1;

pub(crate) type Stub = FilesClient<GrpcService>;

/// Files could not be sent along.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// Of the file or folder.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A name that messages cannot carry.
    #[error("cannot send {} along: its name is not UTF-8; rename it", .0.display())]
    NotUtf8(PathBuf),
    /// Something that has no name of its own, such as `/`.
    #[error("cannot send {} along: it has no name that it could have on a worker; name what is in it", .0.display())]
    NoName(PathBuf),
    /// A folder that a link in it leads back to.
    #[error("cannot send {} along: it leads back to a folder that it lies in", .0.display())]
    Loop(PathBuf),
    /// A socket, a pipe or a device.
    #[error("cannot send {} along: it is neither a file nor a folder", .0.display())]
    NoFile(PathBuf),
    /// Two different files would have the same path on a worker.
    #[error("{} and {} would both be {path:?} on a worker; rename one", one.display(), other.display())]
    Clash {
        /// On a worker, in the job's folder.
        path: String,
        /// Of one of them, here.
        one: PathBuf,
        /// Of another, here.
        other: PathBuf,
    },
    /// Two files are in each other's way, or a path is too long.
    #[error("{0}; rename one, or pack them into an archive")]
    CannotTravel(#[from] BadFiles),
    /// More than can travel with a job.
    #[error("more than {FILES_MAX} files and folders are to be sent along; pack them into an archive")]
    TooMany,
    /// The coordinator did not take a file.
    #[error("cannot send {} to the coordinator: {reason}", path.display())]
    NotTaken {
        /// Of the file.
        path: PathBuf,
        /// Why.
        reason: ClientError,
    },
    /// The coordinator could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Client {
    /// Sends files and folders along, for [`JobSpec::files`](crate::JobSpec::files): brings those contents to the coordinator
    /// that it does not have, where they stay for at least an hour, and as long as a job names them.
    ///
    /// A file travels under its own name, whichever folder it lies in here, and a folder as a folder of its own name with
    /// all that is in it. Links are followed. Empty folders do not travel. The files are returned by ascending path.
    pub async fn ship<P: AsRef<Path>>(&self, paths: &[P]) -> Result<Vec<ShippedFile>, ShipError> {
        let paths: Vec<_> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        let found = tokio::task::spawn_blocking(move || collect::collect(&paths)).await;
        let found = found.map_err(|error| ClientError::Lost(error.to_string()))??;
        let sha256: Vec<_> = found.iter().map(|file| file.shipped.sha256.clone()).collect();
        let ask = async || self.files.clone().missing(MissingRequest { sha256: sha256.clone() }).await;
        let mut missing: HashSet<_> = self.call(ask).await?.sha256.into_iter().collect();
        for file in &found {
            if missing.remove(&file.shipped.sha256) {
                let taken = self.call(async || put(self.files.clone(), file).await).await;
                taken.map_err(|reason| ShipError::NotTaken { path: file.path.clone(), reason })?;
            }
        }
        Ok(found.into_iter().map(|file| file.shipped).collect())
    }
}

/// A file that travels, and where it lies here.
#[derive(Debug)]
struct Found {
    shipped: ShippedFile,
    path: PathBuf,
}

pub(crate) fn stub(service: GrpcService) -> Stub {
    FilesClient::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Brings a content to the coordinator.
async fn put(mut stub: Stub, file: &Found) -> Result<Response<PutResponse>, Status> {
    let (requests, receiver) = mpsc::channel(PIECES_AHEAD);
    let (path, sha256) = (file.path.clone(), file.shipped.sha256.clone());
    // It could be read before. What is missing if it cannot any more, the coordinator notices.
    tokio::task::spawn_blocking(move || read(&path, sha256, &requests));
    stub.put(ReceiverStream::new(receiver)).await
}

/// Reads a file piece by piece, for as long as somebody takes them. Blocks.
fn read(path: &Path, sha256: Bytes, requests: &mpsc::Sender<PutRequest>) -> io::Result<()> {
    let file = File::open(path)?;
    let mut sha256 = Some(sha256);
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES_MAX);
        (&file).take(PIECE_BYTES_MAX as u64).read_to_end(&mut piece)?;
        // An empty content has a name as well.
        if piece.is_empty() && sha256.is_none() {
            return Ok(());
        }
        let request = PutRequest { sha256: sha256.take().unwrap_or_default(), piece: piece.into() };
        if requests.blocking_send(request).is_err() {
            return Ok(());
        }
    }
}

/// The name of what a file holds, and its length. Blocks.
fn digest(path: &Path) -> io::Result<(Digest, u64)> {
    Digest::of(File::open(path)?)
}
