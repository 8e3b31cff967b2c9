//! What the coordinator knows: which workers have joined, and which tasks wait.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmap_proto::transport::{GrpcService, Route};
use poolmap_proto::v1::cluster_client::ClusterClient;
use poolmap_proto::v1::jobs_client::JobsClient;
use poolmap_proto::v1::{ListRequest, ListWorkersRequest};

use super::coordinator::Coordinator;
use crate::exit::Failure;

/// Time that the coordinator has to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Slots of each worker, by name.
    pub(super) workers: BTreeMap<String, u32>,
    /// Labels that jobs ask for, and how many tasks of theirs no worker has.
    pub(super) waiting: Vec<(Vec<String>, u64)>,
}

impl Seen {
    /// Tasks that workers with these labels could run, if there were more of them.
    pub(super) fn waiting_for(&self, labels: &[String]) -> u64 {
        let fits = |asked: &[String]| asked.iter().all(|label| labels.contains(label));
        self.waiting.iter().filter(|(asked, _)| fits(asked)).map(|(_, tasks)| tasks).sum()
    }
}

/// A client of the coordinator.
pub(super) struct Eyes {
    cluster: ClusterClient<GrpcService>,
    jobs: JobsClient<GrpcService>,
}

impl Eyes {
    pub(super) async fn open(coordinator: &Coordinator) -> Result<Self, Failure> {
        let lost = |error: &dyn std::error::Error| Failure::Lost(error.to_string());
        let access = coordinator.access_from_here().map_err(Failure::Lost)?;
        let route = Route::tls(&access).map_err(|error| lost(&error))?;
        let service = route.connect().await.map_err(|error| lost(&error))?.into_service();
        Ok(Self { cluster: ClusterClient::new(service.clone()), jobs: JobsClient::new(service) })
    }

    /// Looks; a coordinator that does not answer is looked at again later.
    pub(super) async fn look(&self) -> Option<Seen> {
        match tokio::time::timeout(TIMEOUT, self.ask()).await {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(status)) => {
                tracing::warn!("the coordinator does not say who is there: {}", status.message());
                None
            }
            Err(_) => {
                tracing::warn!("the coordinator does not answer");
                None
            }
        }
    }

    async fn ask(&self) -> Result<Seen, tonic::Status> {
        let (mut cluster, mut jobs) = (self.cluster.clone(), self.jobs.clone());
        let workers = cluster.list_workers(ListWorkersRequest {}).await?.into_inner().workers;
        let jobs = jobs.list(ListRequest {}).await?.into_inner().jobs;
        let going = jobs.into_iter().filter(|job| job.end.is_none() && !job.paused);
        Ok(Seen {
            workers: workers.into_iter().map(|worker| (worker.name, worker.slots)).collect(),
            waiting: going
                .map(|job| (job.labels, job.tasks.saturating_sub(job.running + job.done)))
                .collect(),
        })
    }
}
