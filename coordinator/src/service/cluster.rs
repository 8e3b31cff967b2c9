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
}

impl ClusterService {
    pub(crate) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn list_workers(
        &self,
        _request: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        let workers = ask(&self.commands, |reply| Command::ListWorkers { reply }).await?;
        Ok(Response::new(ListWorkersResponse { workers }))
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
