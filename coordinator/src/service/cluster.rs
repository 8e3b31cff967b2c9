//! What operators call.

use poolmap_proto::v1::cluster_server::Cluster;
use poolmap_proto::v1::{DrainWorkerRequest, DrainWorkerResponse, ListWorkersRequest, ListWorkersResponse};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::ask;
use crate::command::Command;

/// The `Cluster` service.
#[derive(Clone, Debug)]
pub struct ClusterService {
    commands: mpsc::Sender<Command>,
    /// The largest message that is taken.
    max_message_bytes: usize,
}

impl ClusterService {
    pub(crate) fn new(commands: mpsc::Sender<Command>, max_message_bytes: usize) -> Self {
        Self { commands, max_message_bytes }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn list_workers(
        &self,
        _request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let workers = ask(&self.commands, |reply| Command::ListWorkers { reply }).await?;
        let max_message_bytes = self.max_message_bytes as u64;
        Ok(Response::new(ListWorkersResponse { workers, max_message_bytes }))
    }

    async fn drain_worker(
        &self,
        request: Request<DrainWorkerRequest>,
    ) -> Result<Response<DrainWorkerResponse>, Status> {
        let named = request.into_inner().worker;
        ask(&self.commands, |reply| Command::DrainWorker { named, reply }).await?;
        Ok(Response::new(DrainWorkerResponse {}))
    }
}
