//! What clients call.

use futures_util::stream::try_unfold;
use poolmap_proto::v1::jobs_server::Jobs;
use poolmap_proto::v1::{
    AddTasksRequest, AddTasksResponse, CancelRequest, CancelResponse, CancelTasksRequest,
    CancelTasksResponse, ListRequest, ListResponse, OutcomesRequest, OutcomesResponse, PauseRequest,
    PauseResponse, StatusRequest, StatusResponse, SubmitRequest, SubmitResponse,
};
use poolmap_scheduler::JobId;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::{Responses, ask, outcomes};
use crate::command::{Command, Presence, Role};
use crate::files::Files;
use crate::job_ids::JobIds;

/// The `Jobs` service.
#[derive(Clone, Debug)]
pub struct JobsService {
    commands: mpsc::Sender<Command>,
    files: Files,
    job_ids: JobIds,
    max_message_bytes: usize,
}

impl JobsService {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        files: Files,
        job_ids: JobIds,
        max_message_bytes: usize,
    ) -> Self {
        Self { commands, files, job_ids, max_message_bytes }
    }
}

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let spec =
            request.into_inner().spec.ok_or_else(|| Status::invalid_argument("a submission needs a spec"))?;
        let files = self.files.hold(&spec.files).await?;
        let job = self.job_ids.next().await?;
        ask(&self.commands, |reply| Command::Submit { job, spec, files, reply }).await?;
        let max_message_bytes = self.max_message_bytes as u64;
        Ok(Response::new(SubmitResponse { job_id: job.0, max_message_bytes }))
    }

    type AddTasksStream = Responses<AddTasksResponse>;

    async fn add_tasks(
        &self,
        request: Request<Streaming<AddTasksRequest>>,
    ) -> Result<Response<Self::AddTasksStream>, Status> {
        let writing = Writing { requests: request.into_inner(), commands: self.commands.clone(), job: None };
        Ok(Response::new(Box::pin(try_unfold(writing, Writing::next))))
    }

    type OutcomesStream = Responses<OutcomesResponse>;

    async fn outcomes(
        &self,
        request: Request<Streaming<OutcomesRequest>>,
    ) -> Result<Response<Self::OutcomesStream>, Status> {
        let outcomes = outcomes::stream(self.commands.clone(), request.into_inner()).await?;
        Ok(Response::new(Box::pin(outcomes)))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let CancelRequest { job_id, running } = request.into_inner();
        let job = JobId(job_id);
        ask(&self.commands, |reply| Command::Cancel { job, running, reply }).await?;
        Ok(Response::new(CancelResponse {}))
    }

    async fn cancel_tasks(
        &self,
        request: Request<CancelTasksRequest>,
    ) -> Result<Response<CancelTasksResponse>, Status> {
        let CancelTasksRequest { job_id, tasks, running } = request.into_inner();
        let job = JobId(job_id);
        ask(&self.commands, |reply| Command::CancelTasks { job, tasks, running, reply }).await?;
        Ok(Response::new(CancelTasksResponse {}))
    }

    async fn pause(&self, request: Request<PauseRequest>) -> Result<Response<PauseResponse>, Status> {
        let PauseRequest { job_id, paused } = request.into_inner();
        let job = JobId(job_id);
        ask(&self.commands, |reply| Command::Pause { job, paused, reply }).await?;
        Ok(Response::new(PauseResponse {}))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let StatusRequest { job_id, wait } = request.into_inner();
        let job = JobId(job_id);
        let status = ask(&self.commands, |reply| Command::Status { job, wait, reply }).await?;
        Ok(Response::new(StatusResponse { job: Some(status) }))
    }

    async fn list(&self, _request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let jobs = ask(&self.commands, |reply| Command::List { reply }).await?;
        Ok(Response::new(ListResponse { jobs }))
    }
}

/// A client that adds tasks.
struct Writing {
    requests: Streaming<AddTasksRequest>,
    commands: mpsc::Sender<Command>,
    /// The job that the last request named.
    job: Option<(JobId, Presence)>,
}

impl Writing {
    async fn next(mut self) -> Result<Option<(AddTasksResponse, Self)>, Status> {
        let Some(AddTasksRequest { job_id, chunk, last, functions }) = self.requests.message().await? else {
            return Ok(None);
        };
        let (job, mut tasks) = (JobId(job_id), 0);
        if self.job.as_ref().is_none_or(|(attached, _)| *attached != job) {
            let presence =
                ask(&self.commands, |reply| Command::Attach { job, role: Role::Writer, reply }).await?;
            self.job = Some((job, presence));
        }
        if let Some(chunk) = chunk {
            tasks = ask(&self.commands, |reply| Command::AddTasks { job, functions, chunk, reply }).await?;
        }
        if last {
            tasks = ask(&self.commands, |reply| Command::Close { job, reply }).await?;
        }
        Ok(Some((AddTasksResponse { tasks }, self)))
    }
}
