//! What the services ask of the core.

use std::sync::Arc;

use poolmap_proto::v1::{
    FunctionList, Hello, JobSpec, JobStatus, OutcomesResponse, TaskChunk, TaskRange, WorkerMessage,
    WorkerStatus,
};
use poolmap_scheduler::JobId;
use tokio::sync::oneshot;
use tonic::Status;

use crate::files::Held;
use crate::spill::Frame;
use crate::workers::{Attachment, Outbox};

/// Where an answer goes. A requester that has gone away is no error: the answer is dropped.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Status>>;

/// One request to the core.
#[derive(Debug)]
pub(crate) enum Command {
    Submit {
        /// A number that no other job has.
        job: JobId,
        spec: JobSpec,
        /// What it needs of the contents.
        files: Held,
        reply: Reply<()>,
    },
    /// A client opens a stream of a job. As long as it holds the answer it is there.
    Attach {
        job: JobId,
        role: Role,
        reply: Reply<Presence>,
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
    /// Answered once there is something after `position`.
    Outcomes {
        job: JobId,
        position: u64,
        reply: Reply<Outcomes>,
    },
    /// A reader has all outcomes before `cursor`, and the job's end if it `has_end`.
    Confirm {
        job: JobId,
        cursor: u64,
        has_end: bool,
    },
    Cancel {
        job: JobId,
        /// Stop what runs, too.
        running: bool,
        reply: Reply<()>,
    },
    /// Cancels some tasks.
    CancelTasks {
        job: JobId,
        tasks: Vec<TaskRange>,
        running: bool,
        reply: Reply<()>,
    },
    Pause {
        job: JobId,
        paused: bool,
        reply: Reply<()>,
    },
    Status {
        job: JobId,
        /// Answer only once it has ended.
        wait: bool,
        reply: Reply<JobStatus>,
    },
    List {
        reply: Reply<Vec<JobStatus>>,
    },
    WorkerAttached {
        hello: Hello,
        outbox: Outbox,
        reply: Reply<Attachment>,
    },
    WorkerSaid {
        stream: Attachment,
        message: WorkerMessage,
    },
    /// A worker's stream has ended or broken.
    StreamEnded {
        stream: Attachment,
    },
    ListWorkers {
        reply: Reply<Vec<WorkerStatus>>,
    },
    /// Named by its id or name.
    DrainWorker {
        named: String,
        reply: Reply<()>,
    },
    /// Takes no new job. Answered once no job is left that somebody waits for.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Stops all jobs and has all workers leave. Answered once none is left.
    Dismiss {
        reply: oneshot::Sender<()>,
    },
    /// Ends everything: streams to workers, and the core itself.
    Stop,
}

/// What a client's stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// Held by a stream of a client. The job counts how many there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence(Arc<()>);

impl Presence {
    /// Whether anybody but the job itself holds it.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Outcomes {
    Here(OutcomesResponse),
    /// To be read from a file.
    Stored(Frame),
}
