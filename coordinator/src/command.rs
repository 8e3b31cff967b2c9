//! What the services ask of the core.

use poolmap_proto::v1::{
    CoordinatorMessage, FunctionList, Hello, JobSpec, JobStatus, OutcomesResponse, TaskChunk, TaskRange,
    WorkerMessage,
};
use poolmap_scheduler::{JobId, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

/// Where an answer goes. A requester that has gone away is no error: the answer is dropped.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Status>>;

/// One request to the core.
#[derive(Debug)]
pub(crate) enum Command {
    Submit {
        spec: JobSpec,
        reply: Reply<JobId>,
    },
    /// Answered with the job's number of tasks once there is room for more.
    AddTasks {
        job: JobId,
        functions: Option<FunctionList>,
        chunk: TaskChunk,
        reply: Reply<u64>,
    },
    /// No task follows.
    Close {
        job: JobId,
        reply: Reply<u64>,
    },
    /// Answered once there is something after `cursor`.
    Outcomes {
        job: JobId,
        cursor: u64,
        reply: Reply<OutcomesResponse>,
    },
    Cancel {
        job: JobId,
        reply: Reply<()>,
    },
    /// Cancels some tasks.
    CancelTasks {
        job: JobId,
        tasks: Vec<TaskRange>,
        running: bool,
        reply: Reply<()>,
    },
    Status {
        job: JobId,
        reply: Reply<JobStatus>,
    },
    WorkerAttached {
        hello: Hello,
        outbox: mpsc::Sender<Result<CoordinatorMessage, Status>>,
        reply: Reply<WorkerId>,
    },
    WorkerSaid {
        worker: WorkerId,
        message: WorkerMessage,
    },
    WorkerGone {
        worker: WorkerId,
    },
    /// Takes no new job. Answered once no job is left that somebody waits for.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Ends everything: streams to workers, and the core itself.
    Stop,
}
