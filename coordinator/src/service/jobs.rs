//! What clients call.

use std::pin::Pin;

use futures_util::Stream;
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

use super::ask;
use crate::command::Command;

/// The `Jobs` service.
#[derive(Clone, Debug)]
pub struct JobsService {
    commands: mpsc::Sender<Command>,
}

impl JobsService {
    pub(crate) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }
}

/// A stream of answers.
type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let spec =
            request.into_inner().spec.ok_or_else(|| Status::invalid_argument("a submission needs a spec"))?;
        let job = ask(&self.commands, |reply| Command::Submit { spec, reply }).await?;
        Ok(Response::new(SubmitResponse { job_id: job.0 }))
    }

    type AddTasksStream = Responses<AddTasksResponse>;

    async fn add_tasks(
        &self,
        request: Request<Streaming<AddTasksRequest>>,
    ) -> Result<Response<Self::AddTasksStream>, Status> {
        let state = (request.into_inner(), self.commands.clone());
        let answers = try_unfold(state, |(mut requests, commands)| async move {
            let Some(AddTasksRequest { job_id, chunk, last, functions }) = requests.message().await? else {
                return Ok(None);
            };
            let job = JobId(job_id);
            let mut tasks = 0;
            if let Some(chunk) = chunk {
                tasks = ask(&commands, |reply| Command::AddTasks { job, functions, chunk, reply }).await?;
            }
            if last {
                tasks = ask(&commands, |reply| Command::Close { job, reply }).await?;
            }
            Ok(Some((AddTasksResponse { tasks }, (requests, commands))))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type OutcomesStream = Responses<OutcomesResponse>;

    async fn outcomes(
        &self,
        request: Request<Streaming<OutcomesRequest>>,
    ) -> Result<Response<Self::OutcomesStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        let OutcomesRequest { job_id, cursor } =
            first.ok_or_else(|| Status::invalid_argument("a stream of outcomes begins with a request"))?;
        let job = JobId(job_id);
        let commands = self.commands.clone();
        let outcomes = try_unfold(Some(cursor), move |cursor| {
            let commands = commands.clone();
            async move {
                let Some(cursor) = cursor else { return Ok(None) };
                let answer = ask(&commands, |reply| Command::Outcomes { job, cursor, reply }).await?;
                let next = answer.end.is_none().then_some(answer.cursor);
                Ok(Some((answer, next)))
            }
        });
        Ok(Response::new(Box::pin(outcomes)))
    }

    async fn cancel(&self, request: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let job = JobId(request.into_inner().job_id);
        ask(&self.commands, |reply| Command::Cancel { job, reply }).await?;
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

    async fn pause(&self, _request: Request<PauseRequest>) -> Result<Response<PauseResponse>, Status> {
        Err(Status::unimplemented("pause"))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let job = JobId(request.into_inner().job_id);
        let status = ask(&self.commands, |reply| Command::Status { job, reply }).await?;
        Ok(Response::new(StatusResponse { job: Some(status) }))
    }

    async fn list(&self, _request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Err(Status::unimplemented("list"))
    }
}
