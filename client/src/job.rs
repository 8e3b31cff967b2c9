//! A job as a client sees it.

use std::ops::Range;

use poolmap_proto::MAX_TAKEN_BYTES;
use poolmap_proto::v1::{
    CancelRequest, CancelTasksRequest, JobStatus, PauseRequest, StatusRequest, TaskRange,
};
use tonic::Status;

use crate::client::Client;
use crate::error::ClientError;
use crate::outcomes::OutcomeStream;
use crate::tasks::TaskSender;

/// A job of a coordinator. Dropping it does not end the job.
#[derive(Clone, Debug)]
pub struct Job {
    id: u64,
    client: Client,
    /// The largest message that the coordinator takes, as far as is known.
    max_message_bytes: usize,
}

impl Job {
    pub(crate) fn new(id: u64, client: Client) -> Self {
        Self { id, client, max_message_bytes: MAX_TAKEN_BYTES }
    }

    /// The same job of a coordinator that takes no larger messages.
    pub(crate) fn taking(self, max_message_bytes: usize) -> Self {
        Self { max_message_bytes, ..self }
    }

    /// The coordinator's number of this job.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Opens the stream that appends tasks; a job has one at a time. Call this within a tokio runtime.
    #[must_use]
    pub fn add_tasks(&self) -> TaskSender {
        TaskSender::open(self.id, &self.client, self.max_message_bytes)
    }

    /// The job's outcomes from the first one on.
    #[must_use]
    pub fn outcomes(&self) -> OutcomeStream {
        self.outcomes_from(0)
    }

    /// The job's outcomes from a cursor on, which counts outcomes from the first. Those of a job that is not detached are dropped
    /// once they have been read.
    #[must_use]
    pub fn outcomes_from(&self, cursor: u64) -> OutcomeStream {
        OutcomeStream::new(self.id, &self.client, cursor)
    }

    /// Where the job stands.
    pub async fn status(&self) -> Result<JobStatus, ClientError> {
        self.status_when(false).await
    }

    /// How the job ended, once it has.
    pub async fn wait(&self) -> Result<JobStatus, ClientError> {
        self.status_when(true).await
    }

    async fn status_when(&self, wait: bool) -> Result<JobStatus, ClientError> {
        let request = StatusRequest { job_id: self.id, wait };
        let response = self.client.call(async || self.client.jobs.clone().status(request).await).await?;
        response.job.ok_or_else(|| Status::invalid_argument("its answer has no status").into())
    }

    /// Hands out nothing more of the job until it goes on.
    pub async fn pause(&self) -> Result<(), ClientError> {
        self.set_paused(true).await
    }

    /// Goes on with a job that was paused.
    pub async fn resume(&self) -> Result<(), ClientError> {
        self.set_paused(false).await
    }

    async fn set_paused(&self, paused: bool) -> Result<(), ClientError> {
        let request = PauseRequest { job_id: self.id, paused };
        self.client.call(async || self.client.jobs.clone().pause(request).await).await?;
        Ok(())
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
        self.client.call(async || self.client.jobs.clone().cancel_tasks(request.clone()).await).await?;
        Ok(())
    }

    /// Stops the job and the tasks of it that run.
    pub async fn cancel(&self) -> Result<(), ClientError> {
        self.cancel_with(true).await
    }

    /// Stops the job: tasks that have not begun never will, and those that run come to their end.
    pub async fn cancel_unbegun(&self) -> Result<(), ClientError> {
        self.cancel_with(false).await
    }

    async fn cancel_with(&self, running: bool) -> Result<(), ClientError> {
        let request = CancelRequest { job_id: self.id, running };
        self.client.call(async || self.client.jobs.clone().cancel(request).await).await?;
        Ok(())
    }
}
