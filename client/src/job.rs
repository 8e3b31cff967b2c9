//! A coordinator as a client sees it, and a job of it.

use std::ops::Range;

use poolmap_proto::MAX_MESSAGE_BYTES;
use poolmap_proto::transport::{GrpcService, Transport};
use poolmap_proto::v1::jobs_client::JobsClient;
use poolmap_proto::v1::{CancelRequest, CancelTasksRequest, JobSpec, SubmitRequest, TaskRange};

use crate::error::ClientError;
use crate::outcomes::OutcomeStream;
use crate::tasks::TaskSender;

pub(crate) type Stub = JobsClient<GrpcService>;

/// A connection to a coordinator, cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    stub: Stub,
}

/// A job of a coordinator. Dropping it does not end the job.
#[derive(Clone, Debug)]
pub struct Job {
    id: u64,
    stub: Stub,
}

impl Client {
    /// A client over a transport.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        let stub = JobsClient::new(transport.into_service())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Self { stub }
    }

    /// Creates a job without tasks.
    pub async fn submit(&self, spec: JobSpec) -> Result<Job, ClientError> {
        let mut stub = self.stub.clone();
        let response = stub.submit(SubmitRequest { spec: Some(spec) }).await?;
        Ok(Job { id: response.into_inner().job_id, stub })
    }
}

impl Job {
    /// The coordinator's number of this job.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Opens the stream that appends tasks; a job has one at a time. Call this within a tokio runtime.
    #[must_use]
    pub fn add_tasks(&self) -> TaskSender {
        TaskSender::open(self.id, self.stub.clone())
    }

    /// The job's outcomes from the first one on.
    #[must_use]
    pub fn outcomes(&self) -> OutcomeStream {
        OutcomeStream::new(self.id, self.stub.clone())
    }

    /// Cancels these tasks as far as they wait, and if `running` those that were handed out as well. Indexes that are not there
    /// (yet) are ignored.
    pub async fn cancel_tasks(
        &self,
        tasks: impl IntoIterator<Item = Range<u64>>,
        running: bool,
    ) -> Result<(), ClientError> {
        let tasks = tasks
            .into_iter()
            .map(|range| TaskRange { first: range.start, count: range.end.saturating_sub(range.start) });
        let request = CancelTasksRequest { job_id: self.id, tasks: tasks.collect(), running };
        self.stub.clone().cancel_tasks(request).await?;
        Ok(())
    }

    /// Stops the job: tasks that have not begun never will.
    pub async fn cancel(&self) -> Result<(), ClientError> {
        self.stub.clone().cancel(CancelRequest { job_id: self.id }).await?;
        Ok(())
    }
}
