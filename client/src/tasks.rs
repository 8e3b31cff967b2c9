//! The stream that appends tasks to a job.

use bytes::Bytes;
use poolmap_proto::v1::{AddTasksRequest, FunctionList};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use crate::chunk::Chunk;
use crate::error::ClientError;
use crate::job::Stub;

/// Chunks that may wait for the coordinator to read: one that it reads, and one behind it.
const CHUNKS_AHEAD: usize = 1;

/// Appends tasks to a job, in order. Dropped without [`finish`](Self::finish), the job stays open.
#[derive(Debug)]
pub struct TaskSender {
    job_id: u64,
    next_index: u64,
    /// Not sent yet.
    functions: FunctionList,
    requests: mpsc::Sender<AddTasksRequest>,
    /// Tasks that the coordinator has confirmed.
    confirmed: watch::Receiver<u64>,
    call: JoinHandle<Result<u64, ClientError>>,
}

impl TaskSender {
    pub(crate) fn open(job_id: u64, mut stub: Stub) -> Self {
        let (requests, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let (confirm, confirmed) = watch::channel(0);
        let call = tokio::spawn(async move {
            let mut answers = stub.add_tasks(ReceiverStream::new(receiver)).await?.into_inner();
            let mut tasks = 0;
            while let Some(answer) = answers.message().await? {
                tasks = answer.tasks;
                confirm.send_replace(tasks);
            }
            Ok(tasks)
        });
        Self { job_id, next_index: 0, functions: FunctionList::default(), requests, confirmed, call }
    }

    /// Appends to the list of functions that pickled calls name; it travels with the next chunk. The first one has number 0.
    pub fn add_functions(&mut self, functions: impl IntoIterator<Item = Bytes>) {
        self.functions.functions.extend(functions);
    }

    /// Appends a chunk; waits while the coordinator's queue is full.
    pub async fn send(&mut self, chunk: Chunk) -> Result<(), ClientError> {
        let count = chunk.len() as u64;
        let message = chunk.into_message(self.next_index);
        self.next_index += count;
        self.request(Some(message), false).await
    }

    /// Tasks that the coordinator has confirmed: those with a lower index can be cancelled.
    #[must_use]
    pub fn confirmed(&self) -> u64 {
        *self.confirmed.borrow()
    }

    /// Waits until the coordinator confirms more; for ever once it takes no more. May be dropped while it waits.
    pub async fn confirms(&mut self) {
        if self.confirmed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Says that no task follows; returns how many the job has.
    pub async fn finish(mut self) -> Result<u64, ClientError> {
        self.request(None, true).await?;
        let Self { requests, call, .. } = self;
        drop(requests);
        ended(call.await)
    }

    async fn request(
        &mut self,
        chunk: Option<poolmap_proto::v1::TaskChunk>,
        last: bool,
    ) -> Result<(), ClientError> {
        let first = self.functions.first + self.functions.functions.len() as u64;
        let new = std::mem::replace(&mut self.functions, FunctionList { first, functions: Vec::new() });
        let functions = (!new.functions.is_empty()).then_some(new);
        let request = AddTasksRequest { job_id: self.job_id, chunk, last, functions };
        if self.requests.send(request).await.is_ok() {
            return Ok(());
        }
        // The call has ended before we were done: it knows why.
        ended((&mut self.call).await)?;
        Err(ClientError::JobClosed)
    }
}

fn ended(call: Result<Result<u64, ClientError>, tokio::task::JoinError>) -> Result<u64, ClientError> {
    call.unwrap_or_else(|error| Err(ClientError::Lost(error.to_string())))
}
