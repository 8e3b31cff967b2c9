//! What clients call.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::try_unfold;
use poolmap_proto::v1::jobs_server::Jobs;
use poolmap_proto::v1::{
    AddTasksRequest, AddTasksResponse, CancelRequest, CancelResponse, OutcomesRequest, OutcomesResponse,
    StatusRequest, StatusResponse, SubmitRequest, SubmitResponse,
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

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let spec =
            request.into_inner().spec.ok_or_else(|| Status::invalid_argument("a submission needs a spec"))?;
        let job = ask(&self.commands, |reply| Command::Submit { spec, reply }).await?;
        Ok(Response::new(SubmitResponse { job_id: job.0 }))
    }

    async fn add_tasks(
        &self,
        request: Request<Streaming<AddTasksRequest>>,
    ) -> Result<Response<AddTasksResponse>, Status> {
        let mut requests = request.into_inner();
        let mut tasks = 0;
        while let Some(AddTasksRequest { job_id, chunk, last }) = requests.message().await? {
            let job = JobId(job_id);
            if let Some(chunk) = chunk {
                tasks = ask(&self.commands, |reply| Command::AddTasks { job, chunk, reply }).await?;
            }
            if last {
                tasks = ask(&self.commands, |reply| Command::Close { job, reply }).await?;
            }
        }
        Ok(Response::new(AddTasksResponse { tasks }))
    }

    type OutcomesStream = Pin<Box<dyn Stream<Item = Result<OutcomesResponse, Status>> + Send>>;

    async fn outcomes(
        &self,
        request: Request<OutcomesRequest>,
    ) -> Result<Response<Self::OutcomesStream>, Status> {
        let OutcomesRequest { job_id, cursor } = request.into_inner();
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

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let job = JobId(request.into_inner().job_id);
        Ok(Response::new(ask(&self.commands, |reply| Command::Status { job, reply }).await?))
    }
}
