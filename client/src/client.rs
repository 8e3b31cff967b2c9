//! A coordinator as a client sees it.

use std::time::Duration;

use poolmap_proto::MAX_MESSAGE_BYTES;
use poolmap_proto::transport::{GrpcService, Transport};
use poolmap_proto::v1::cluster_client::ClusterClient;
use poolmap_proto::v1::jobs_client::JobsClient;
use poolmap_proto::v1::{
    DrainWorkerRequest, JobSpec, JobStatus, ListRequest, ListWorkersRequest, SubmitRequest, WorkerStatus,
};
use prost::Message as _;
use tonic::{Code, Response, Status};

use crate::error::ClientError;
use crate::files;
use crate::job::Job;
use crate::patience::Patience;
use crate::requests::{max_item_bytes, taken};

pub(crate) type Stub = JobsClient<GrpcService>;

/// How long a client tries to reach a coordinator again, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to a coordinator, cheap to clone. Where it is lost, it is made again: streams go on where they were, and requests
/// are repeated that may be, until patience ends.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) jobs: Stub,
    cluster: ClusterClient<GrpcService>,
    pub(crate) files: files::Stub,
    pub(crate) patience: Duration,
}

impl Client {
    /// A client over a transport, with 15 seconds of patience.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        let service = transport.into_service();
        let jobs = JobsClient::new(service.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let cluster = ClusterClient::new(service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let files = files::stub(service);
        Self { jobs, cluster, files, patience: PATIENCE }
    }

    /// The same client, which tries so long to reach a coordinator again that it has lost.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Creates a job without tasks. This is repeated only if the coordinator surely did not hear of it.
    pub async fn submit(&self, spec: JobSpec) -> Result<Job, ClientError> {
        let request = SubmitRequest { spec: Some(spec) };
        let is_unheard = |status: &Status| status.code() == Code::Unavailable;
        let submit = async || self.jobs.clone().submit(request.clone()).await;
        let refused = |status: Status| match status.code() {
            // Nothing else of a submission has a range.
            Code::OutOfRange => {
                let what = "the job with its function".to_owned();
                ClientError::TooLarge { what, bytes: request.encoded_len(), limit: None }
            }
            _ => status.into(),
        };
        let response = self.repeat(submit, is_unheard, refused).await?;
        Ok(Job::new(response.job_id, self.clone()).taking(taken(response.max_message_bytes)))
    }

    /// A job that was submitted before, by whomever. Nothing is asked of the coordinator yet.
    #[must_use]
    pub fn job(&self, id: u64) -> Job {
        Job::new(id, self.clone())
    }

    /// All jobs that the coordinator knows, by ascending id.
    pub async fn list(&self) -> Result<Vec<JobStatus>, ClientError> {
        let list = async || self.jobs.clone().list(ListRequest {}).await;
        Ok(self.call(list).await?.jobs)
    }

    /// All attached workers, by ascending id.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, ClientError> {
        Ok(self.census().await?.0)
    }

    /// All attached workers, by ascending id, and how large a task's arguments or a function may be, in bytes.
    pub async fn census(&self) -> Result<(Vec<WorkerStatus>, usize), ClientError> {
        let list = async || self.cluster.clone().list_workers(ListWorkersRequest {}).await;
        let answer = self.call(list).await?;
        Ok((answer.workers, max_item_bytes(taken(answer.max_message_bytes))))
    }

    /// Has a worker, named by its id or name, finish what it runs and leave.
    pub async fn drain_worker(&self, worker: &str) -> Result<(), ClientError> {
        let request = DrainWorkerRequest { worker: worker.to_owned() };
        self.call(async || self.cluster.clone().drain_worker(request.clone()).await).await?;
        Ok(())
    }

    /// Calls what may be called twice, again and again until there is an answer or patience ends.
    pub(crate) async fn call<T>(
        &self,
        call: impl AsyncFn() -> Result<Response<T>, Status>,
    ) -> Result<T, ClientError> {
        self.repeat(call, |_| true, ClientError::from).await
    }

    async fn repeat<T>(
        &self,
        call: impl AsyncFn() -> Result<Response<T>, Status>,
        may_repeat: impl Fn(&Status) -> bool,
        refused: impl Fn(Status) -> ClientError,
    ) -> Result<T, ClientError> {
        let mut patience = Patience::new(self.patience);
        loop {
            match call().await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) if may_repeat(&status) => {
                    tokio::time::sleep_until(patience.retry_at(status)?).await;
                }
                Err(status) => return Err(refused(status)),
            }
        }
    }
}
