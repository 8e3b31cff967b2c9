//! From input to a job's tasks. Reading blocks, so it has a thread; the queue from it is short, so that the coordinator's
//! back-pressure reaches the input.

use std::sync::Arc;

use poolmap_client::{Chunk, ClientError, Job, TaskSender};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::exit::Failure;
use crate::input::{InputError, TaskReader};
use crate::output::{Progress, Tags};

/// Chunks that are read ahead of the coordinator.
const CHUNKS_AHEAD: usize = 2;
/// Bytes of outcomes that may wait for earlier tasks (`--keep-order`) before no more input is read.
const HELD_BYTES_MAX: usize = 64 << 20;

/// What reads input and appends it to a job.
pub(crate) struct Feeder(JoinHandle<Fed>);

/// The outer error: the coordinator refuses tasks, or is lost. The inner one: input is bad from somewhere on.
type Fed = Result<Result<(), Failure>, ClientError>;

impl Feeder {
    /// Starts to read. Call this within a tokio runtime.
    pub(crate) fn start(
        tasks: TaskReader,
        job: &Job,
        held_bytes: watch::Receiver<usize>,
        tags: Option<Arc<Tags>>,
        progress: Arc<Progress>,
    ) -> Self {
        let (chunks, read) = mpsc::channel(CHUNKS_AHEAD);
        std::thread::spawn(move || read_all(tasks, &chunks));
        Self(tokio::spawn(feed(read, job.add_tasks(), held_bytes, tags, progress)))
    }

    /// Reads no more.
    pub(crate) fn abort(&self) {
        self.0.abort();
    }

    /// Waits until all input is with the coordinator, or the job takes no more; whether all of it could be read and sent.
    pub(crate) async fn finish(&mut self) -> Result<Result<(), Failure>, Failure> {
        let fed = (&mut self.0).await.map_err(|error| Failure::Lost(error.to_string()))?;
        Ok(fed?)
    }
}

/// Appends what the reader has read, as fast as the coordinator takes it and results are written.
async fn feed(
    mut read: mpsc::Receiver<Result<Chunk, InputError>>,
    mut sender: TaskSender,
    mut held_bytes: watch::Receiver<usize>,
    tags: Option<Arc<Tags>>,
    progress: Arc<Progress>,
) -> Fed {
    let (mut tasks, mut input) = (0, Ok(()));
    while let Some(chunk) = read.recv().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                input = Err(error.into());
                break;
            }
        };
        // The writer is gone: the job is about to be stopped.
        let _gone = held_bytes.wait_for(|held| *held <= HELD_BYTES_MAX).await.map(drop);
        if let Some(tags) = &tags {
            tags.insert(tasks, &chunk);
        }
        tasks += chunk.len() as u64;
        match sender.send(chunk).await {
            // Its outcomes tell why the job takes no more.
            Err(ClientError::JobClosed) => return Ok(input),
            // As with a line that is bad: what came before it runs.
            Err(error @ ClientError::TooLarge { .. }) => {
                input = Err(error.into());
                break;
            }
            sent => sent?,
        }
    }
    progress.set_total(tasks);
    match sender.finish().await {
        Ok(_) | Err(ClientError::JobClosed) => Ok(input),
        Err(error) => Err(error),
    }
}

/// Reads until the input ends, is bad, or nobody wants more. Runs on a thread of its own.
fn read_all(mut tasks: TaskReader, chunks: &mpsc::Sender<Result<Chunk, InputError>>) {
    loop {
        let read = match tasks.next_chunk() {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if chunks.blocking_send(read).is_err() || is_last {
            return;
        }
    }
}
