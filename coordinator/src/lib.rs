//! The coordinator: holds jobs, hands out batches, streams outcomes back.
//!
//! One task owns all state and runs the scheduler (`core`); the gRPC services (`service`) turn requests into
//! commands for it and wait for answers. Payloads and values pass through as opaque bytes.

pub mod access;
mod chunks;
mod clock;
mod command;
mod core;
mod deadlines;
mod files;
mod functions;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod job;
mod job_ids;
pub mod listen;
mod log;
mod outcomes;
mod roster;
mod service;
mod spill;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use poolmap_proto::v1::cluster_server::ClusterServer;
use poolmap_proto::v1::files_server::FilesServer;
use poolmap_proto::v1::jobs_server::JobsServer;
use poolmap_proto::v1::workers_server::WorkersServer;
use poolmap_proto::{MAX_MESSAGE_BYTES, MAX_TAKEN_BYTES, files as shipping};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::command::Command;
use crate::files::Files;
pub use crate::job_ids::JobIds;
pub use crate::service::{ClusterService, FilesService, JobsService, SLOTS_MAX, WorkersService};

/// Commands that may wait for the core. Each service call waits for room, so this bounds nothing but latency.
const COMMAND_QUEUE: usize = 256;

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// The largest message of a client or worker that is taken, in bytes; at most [`MAX_TAKEN_BYTES`].
    pub max_message_bytes: usize,
    /// Bytes of payloads a job may have waiting before its client is made to wait.
    pub queued_bytes_max: usize,
    /// Bytes of outcomes a job may have unconfirmed in memory before nothing more of it is handed out, or before those of a
    /// detached job are written to a file.
    pub unread_bytes_max: usize,
    /// Where outcomes of detached jobs go for which memory has no room; without it, such jobs are held. The files have no names
    /// and are gone with the coordinator.
    pub spill_folder: Option<PathBuf>,
    /// The numbers that jobs get.
    pub job_ids: JobIds,
    /// Where the contents of files that travel with jobs are kept, in a folder that goes with the coordinator; among
    /// temporary files if absent. What a coordinator that was killed has left there is removed.
    pub files_folder: Option<PathBuf>,
    /// Bytes that these contents may take in all.
    pub files_bytes_max: u64,
    /// A client is gone that had no stream of its job open for so long: what is not detached is cancelled.
    pub client_timeout: Duration,
    /// Jobs that have ended are forgotten after so long.
    pub retention: Duration,
    /// All workers are on the machine of the only client: what they say needs no names.
    pub is_local: bool,
    /// A worker that has not been heard of for so long is lost.
    pub worker_timeout: Duration,
    /// Time a worker has to come back when its stream breaks, before its tasks run elsewhere. Zero: it is lost at once, as it
    /// should be where a stream cannot break while its worker lives, on a Unix socket or within a process.
    pub reconnect_grace: Duration,
    /// Time a worker has to introduce itself once it has attached.
    pub hello_timeout: Duration,
    /// Where news of workers go, for whoever has started them. What finds no room is not told.
    pub notices: Option<mpsc::Sender<Notice>>,
}

/// News of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It was not heard of for too long.
    Lost {
        /// Of the worker.
        process_id: u32,
    },
    /// It has brought its first outcome.
    Proven {
        /// Of the worker.
        process_id: u32,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: MAX_TAKEN_BYTES,
            // Enough to keep thousands of slots busy with small tasks; far below what a laptop misses.
            queued_bytes_max: 16 << 20,
            unread_bytes_max: 32 << 20,
            spill_folder: None,
            job_ids: JobIds::default(),
            files_folder: None,
            files_bytes_max: 10 << 30,
            client_timeout: Duration::from_secs(15),
            retention: Duration::from_secs(24 * 60 * 60),
            is_local: false,
            worker_timeout: Duration::from_secs(15),
            reconnect_grace: Duration::from_millis(500),
            hello_timeout: Duration::from_secs(10),
            notices: None,
        }
    }
}

/// A cheap handle on a running coordinator. It ends when the last handle, service and stream are gone.
#[derive(Clone, Debug)]
pub struct Coordinator {
    commands: mpsc::Sender<Command>,
    files: Files,
    job_ids: JobIds,
    max_message_bytes: usize,
    hello_timeout: Duration,
    /// Cancelled once it takes no new jobs.
    draining: CancellationToken,
}

impl Coordinator {
    /// Starts a coordinator on the current tokio runtime.
    #[must_use]
    pub fn start(config: Config) -> Self {
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let (max_message_bytes, hello_timeout) = (config.max_message_bytes, config.hello_timeout);
        let files = Files::start(config.files_folder.clone(), config.files_bytes_max);
        let job_ids = config.job_ids.clone();
        tokio::spawn(core::Core::new(config).run(receiver));
        Self {
            commands,
            files,
            job_ids,
            max_message_bytes,
            hello_timeout,
            draining: CancellationToken::new(),
        }
    }

    /// Takes no new jobs from now on, and waits until those that are there have ended and been read.
    pub async fn drain(&self) {
        self.draining.cancel();
        let (reply, drained) = oneshot::channel();
        if self.commands.send(Command::Drain { reply }).await.is_ok() {
            // Where it has ended, nothing runs any more.
            let _ended = drained.await;
        }
    }

    /// Stops all jobs, has all workers leave, and waits until they have.
    pub async fn dismiss(&self) {
        self.draining.cancel();
        let (reply, deserted) = oneshot::channel();
        if self.commands.send(Command::Dismiss { reply }).await.is_ok() {
            // Where it has ended, so have its workers' streams.
            let _ended = deserted.await;
        }
    }

    /// Completes once it takes no new jobs, since it was told to [`drain`](Self::drain).
    pub(crate) fn draining(&self) -> impl Future<Output = ()> + Send + 'static {
        self.draining.clone().cancelled_owned()
    }

    /// Ends the coordinator: the streams of all workers end, and no request is answered any more.
    pub async fn stop(&self) {
        // It may have ended already: that is what is wanted.
        let _ended = self.commands.send(Command::Stop).await;
    }

    /// The service that clients call.
    #[must_use]
    pub fn jobs(&self) -> JobsServer<JobsService> {
        let (commands, files, job_ids) = (self.commands.clone(), self.files.clone(), self.job_ids.clone());
        JobsServer::new(JobsService::new(commands, files, job_ids, self.max_message_bytes))
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The service that takes the files of jobs from clients and gives them to workers.
    #[must_use]
    pub fn files(&self) -> FilesServer<FilesService> {
        FilesServer::new(FilesService::new(self.files.clone()))
            .max_decoding_message_size(shipping::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(shipping::MESSAGE_BYTES_MAX)
    }

    /// The service that operators call.
    #[must_use]
    pub fn cluster(&self) -> ClusterServer<ClusterService> {
        ClusterServer::new(ClusterService::new(self.commands.clone(), self.max_message_bytes))
    }

    /// The service that workers attach to.
    #[must_use]
    pub fn workers(&self) -> WorkersServer<WorkersService> {
        WorkersServer::new(WorkersService::new(self.commands.clone(), self.hello_timeout))
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }
}
