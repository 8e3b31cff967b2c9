//! The stream that appends tasks to a job.
//!
//! Chunks wait in a queue until the coordinator has confirmed them. A task of its own holds the connection: it sends what was not
//! sent over it yet, takes off what is confirmed, and after a loss begins again with the oldest. What the coordinator has already, it
//! ignores.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use poolmap_proto::v1::{AddTasksRequest, FunctionList};
use tokio::sync::watch;
use tonic::Status;

use crate::chunk::Chunk;
use crate::client::{Client, Stub};
use crate::error::ClientError;
use crate::patience::Patience;
use crate::requests::Addition;

/// Chunks that may be unconfirmed: one that the coordinator takes, and a few behind it so that neither end waits for the other.
const CHUNKS_AHEAD: usize = 4;

/// Appends tasks to a job, in order. Dropped without [`finish`](Self::finish), what was sent still arrives, and the job stays open.
#[derive(Debug)]
pub struct TaskSender {
    job_id: u64,
    max_message_bytes: usize,
    next_index: u64,
    /// Not sent yet.
    functions: FunctionList,
    queue: watch::Sender<Queue>,
}

/// What is not confirmed, oldest first.
#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<AddTasksRequest>,
    /// Tasks that the coordinator has confirmed.
    confirmed: u64,
    /// How many of them went over the present connection.
    sent: usize,
    /// Number of the present connection.
    connection: u64,
    /// Nothing is added any more.
    is_complete: bool,
    /// How the connection ended for good: with the number of tasks that the job has.
    ended: Option<Result<u64, ClientError>>,
}

impl Queue {
    fn has_more(&self) -> bool {
        self.sent < self.requests.len()
    }

    fn is_over(&self) -> bool {
        self.is_complete && self.requests.is_empty()
    }
}

impl TaskSender {
    pub(crate) fn open(job_id: u64, client: &Client, max_message_bytes: usize) -> Self {
        let (queue, _) = watch::channel(Queue::default());
        tokio::spawn(carry(client.jobs.clone(), queue.clone(), Patience::new(client.patience)));
        Self { job_id, max_message_bytes, next_index: 0, functions: FunctionList::default(), queue }
    }

    /// Appends to the list of functions that pickled calls name; it travels with the next chunk. The first one has number 0.
    pub fn add_functions(&mut self, functions: impl IntoIterator<Item = Bytes>) {
        self.functions.functions.extend(functions);
    }

    /// Appends a chunk; waits while the coordinator's queue is full. This may be dropped while it waits: the chunk is then not sent.
    /// Nor is it, with the functions added before it, if one of them is too large for a message.
    pub async fn send(&mut self, chunk: Chunk) -> Result<(), ClientError> {
        let count = chunk.len() as u64;
        self.wait_for_room().await?;
        let first = self.functions.first + self.functions.functions.len() as u64;
        let none = FunctionList { first: self.functions.first, functions: Vec::new() };
        let functions = std::mem::replace(&mut self.functions, none);
        let addition = Addition { job_id: self.job_id, functions, first_index: self.next_index, chunk };
        let requests = addition.into_requests(self.max_message_bytes)?;
        self.functions.first = first;
        self.next_index += count;
        self.queue.send_modify(|queue| queue.requests.extend(requests));
        Ok(())
    }

    /// Tasks that the coordinator has confirmed: those with a lower index can be cancelled.
    #[must_use]
    pub fn confirmed(&self) -> u64 {
        self.queue.borrow().confirmed
    }

    /// Waits until the coordinator has confirmed more than so many tasks. May be dropped while it waits.
    pub async fn confirms_more_than(&self, tasks: u64) {
        let mut watched = self.queue.subscribe();
        let _gone = watched.wait_for(|queue| queue.confirmed > tasks).await;
    }

    /// Waits until tasks cannot be appended any more, as what was sent was refused or the coordinator is lost; for ever while all
    /// is well. May be dropped while it waits.
    pub async fn fails(&self) -> ClientError {
        let mut watched = self.queue.subscribe();
        let failed = watched.wait_for(|queue| matches!(queue.ended, Some(Err(_)))).await;
        match failed.map(|queue| queue.ended.clone()) {
            Ok(Some(Err(error))) => error,
            _ => std::future::pending().await,
        }
    }

    /// Says that no task follows; returns how many the job has.
    pub async fn finish(self) -> Result<u64, ClientError> {
        self.wait_for_room().await?;
        let last = AddTasksRequest { job_id: self.job_id, last: true, ..AddTasksRequest::default() };
        self.queue.send_modify(|queue| {
            queue.requests.push_back(last);
            queue.is_complete = true;
        });
        let mut watched = self.queue.subscribe();
        let ended = watched.wait_for(|queue| queue.ended.is_some()).await;
        ended.ok().and_then(|queue| queue.ended.clone()).unwrap_or_else(|| Err(gone()))
    }

    async fn wait_for_room(&self) -> Result<(), ClientError> {
        let mut watched = self.queue.subscribe();
        let has_room = |queue: &Queue| queue.requests.len() < CHUNKS_AHEAD;
        let waited = watched.wait_for(|queue| has_room(queue) || queue.ended.is_some()).await;
        if let Some(ended) = waited.map_err(|_closed| gone())?.ended.clone() {
            ended?;
            return Err(ClientError::JobClosed);
        }
        Ok(())
    }
}

impl Drop for TaskSender {
    fn drop(&mut self) {
        self.queue.send_modify(|queue| queue.is_complete = true);
    }
}

fn gone() -> ClientError {
    ClientError::Lost("the task that held the connection is gone".to_owned())
}

/// Carries requests to the coordinator until all are confirmed, over as many connections as it takes.
async fn carry(stub: Stub, queue: watch::Sender<Queue>, mut patience: Patience) {
    let ended = loop {
        match connect(stub.clone(), &queue, &mut patience).await {
            Ok(tasks) => break Ok(tasks),
            Err(status) if is_closed(&status) => break Err(ClientError::JobClosed),
            Err(status) => match patience.retry_at(status) {
                Ok(at) => tokio::time::sleep_until(at).await,
                Err(error) => break Err(error),
            },
        }
    };
    queue.send_modify(|queue| queue.ended = Some(ended));
}

/// Whether the job takes no more tasks, or is gone since it has ended.
fn is_closed(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::FailedPrecondition | tonic::Code::NotFound)
}

/// Sends over one connection what is not confirmed, until nothing is left. Returns the number of tasks that the job has.
async fn connect(
    mut stub: Stub,
    queue: &watch::Sender<Queue>,
    patience: &mut Patience,
) -> Result<u64, Status> {
    queue.send_modify(|queue| {
        queue.connection += 1;
        queue.sent = 0;
    });
    let mut answers = stub.add_tasks(requests(queue.subscribe(), queue.clone())).await?.into_inner();
    patience.connected();
    let mut tasks = 0;
    while let Some(answer) = answers.message().await? {
        patience.progressed();
        tasks = answer.tasks;
        queue.send_modify(|queue| {
            queue.requests.pop_front();
            queue.confirmed = tasks;
            queue.sent = queue.sent.saturating_sub(1);
        });
    }
    if queue.borrow().is_over() {
        Ok(tasks)
    } else {
        Err(Status::unavailable("the stream of tasks ended early"))
    }
}

/// What goes over the present connection: everything in the queue and all that is added to it, until it is complete.
fn requests(
    watched: watch::Receiver<Queue>,
    queue: watch::Sender<Queue>,
) -> impl Stream<Item = AddTasksRequest> + Send + 'static {
    let connection = watched.borrow().connection;
    unfold((watched, queue), move |(mut watched, queue)| async move {
        let is_due = |queue: &Queue| queue.has_more() || queue.is_complete || queue.connection != connection;
        watched.wait_for(is_due).await.ok()?;
        let mut next = None;
        queue.send_if_modified(|queue| {
            if queue.connection == connection && queue.has_more() {
                next = queue.requests.get(queue.sent).cloned();
                queue.sent += 1;
            }
            false
        });
        next.map(|request| (request, (watched, queue)))
    })
}
