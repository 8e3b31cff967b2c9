//! Contents on their way from the coordinator, over a connection that is made again when it breaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use poolmap_proto::files::{Arrival, Digest, MESSAGE_BYTES_MAX};
use poolmap_proto::transport::GrpcService;
use poolmap_proto::v1::files_client::FilesClient;
use poolmap_proto::v1::{GetRequest, GetResponse};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use super::blocking;
use super::cache::Content;
use crate::connect::{ConnectError, Connector};

/// Time a connection may take, all addresses of the coordinator together, and the next piece on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts, before the first jitter.
const MIN_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Attempts at one content, even if something came in each.
const ATTEMPTS_MAX: usize = 100;

type Stub = FilesClient<GrpcService>;

/// The way that the contents of one job come.
pub(super) struct Line {
    connector: Connector,
    /// How long it is tried while nothing comes.
    patience: Duration,
    /// Where contents are written to.
    folder: Arc<TempDir>,
    /// The connection, once there is one and until it has failed.
    stub: Mutex<Option<Stub>>,
}

/// Why an attempt failed.
enum Failed {
    /// The next one may not.
    Now(String),
    /// So will all others.
    ForGood(String),
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(reason) => Self::Now(reason),
            ConnectError::Refused(reason) => Self::ForGood(reason),
        }
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        let said = Some(status.message()).filter(|said| !said.is_empty());
        let reason = said.unwrap_or(status.code().description()).to_owned();
        match status.code() {
            Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented => Self::ForGood(reason),
            _ => Self::Now(reason),
        }
    }
}

impl Line {
    pub(super) fn new(connector: Connector, patience: Duration, folder: Arc<TempDir>) -> Self {
        Self { connector, patience, folder, stub: Mutex::default() }
    }

    /// Brings a content that has so many bytes. It is tried again for as long as the coordinator may come back.
    pub(super) async fn fetch(&self, digest: Digest, bytes: u64) -> Result<Content, String> {
        let delays = ExponentialBuilder::default().with_min_delay(MIN_DELAY).with_max_delay(MAX_DELAY);
        let mut delays = delays.with_jitter().with_max_times(ATTEMPTS_MAX).build();
        let mut heard = Instant::now();
        loop {
            let reason = match self.attempt(digest, bytes, &mut heard).await {
                Ok(content) => return Ok(content),
                Err(Failed::ForGood(reason)) => return Err(reason),
                Err(Failed::Now(reason)) => reason,
            };
            *self.stub.lock().await = None;
            match delays.next() {
                Some(delay) if heard.elapsed() + delay <= self.patience => tokio::time::sleep(delay).await,
                _ => return Err(reason),
            }
        }
    }

    /// Brings a content whole, or not at all. `heard`: when something last came.
    async fn attempt(&self, digest: Digest, bytes: u64, heard: &mut Instant) -> Result<Content, Failed> {
        let mut stub = self.stub().await?;
        let request = GetRequest { sha256: digest.to_bytes() };
        let mut pieces = in_time(stub.get(request)).await?.into_inner();
        let folder = self.folder.clone();
        let mut arrival = on_disk(move || Arrival::begin(folder.path())).await?;
        while let Some(GetResponse { piece }) = next(&mut pieces).await? {
            *heard = Instant::now();
            if arrival.bytes() + piece.len() as u64 > bytes {
                return Err(Failed::ForGood(format!(
                    "it has more than the {bytes} bytes that were announced"
                )));
            }
            arrival = on_disk(move || {
                arrival.write(&piece)?;
                Ok::<_, io::Error>(arrival)
            })
            .await?;
        }
        let path = arrival.finish(digest).map_err(|wrong| Failed::ForGood(wrong.to_string()))?;
        Ok(Content { path, bytes })
    }

    async fn stub(&self) -> Result<Stub, Failed> {
        let mut stub = self.stub.lock().await;
        if let Some(stub) = &*stub {
            return Ok(stub.clone());
        }
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connector.connect()).await;
        let transport = connected.map_err(|_elapsed| no_answer(CONNECT_TIMEOUT))??;
        let connected =
            FilesClient::new(transport.into_service()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(stub.insert(connected).clone())
    }
}

async fn next(pieces: &mut Streaming<GetResponse>) -> Result<Option<GetResponse>, Failed> {
    in_time(pieces.message()).await
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Failed> {
    let answered = tokio::time::timeout(PIECE_TIMEOUT, answer).await;
    Ok(answered.map_err(|_elapsed| no_answer(PIECE_TIMEOUT))??)
}

/// A disk that fails does so the next time, too.
async fn on_disk<T: Send + 'static, E: ToString + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failed> {
    blocking(work).await.map_err(Failed::ForGood)
}

fn no_answer(timeout: Duration) -> Failed {
    Failed::Now(format!("the coordinator did not send it within {} s", timeout.as_secs()))
}
