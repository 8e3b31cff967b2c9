//! What the coordinator knows: which workers have joined, and which tasks wait.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmap_client::{Client, ClientError};
use poolmap_proto::transport::Route;

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
pub(super) struct Eyes(Client);

impl Eyes {
    pub(super) async fn open(coordinator: &Coordinator) -> Result<Self, Failure> {
        let access = coordinator.access_from_here().map_err(Failure::Lost)?;
        let route = Route::tls(&access).map_err(|error| Failure::Lost(error.to_string()))?;
        let transport = route.connect().await.map_err(|error| Failure::Lost(error.to_string()))?;
        Ok(Self(Client::new(transport)))
    }

    /// Looks; a coordinator that does not answer is looked at again later.
    pub(super) async fn look(&self) -> Option<Seen> {
        match tokio::time::timeout(TIMEOUT, self.ask()).await {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(error)) => {
                tracing::warn!("the coordinator does not say who is there: {error}");
                None
            }
            Err(_) => {
                tracing::warn!("the coordinator does not answer");
                None
            }
        }
    }

    async fn ask(&self) -> Result<Seen, ClientError> {
        let workers = self.0.workers().await?.into_iter().map(|worker| (worker.name, worker.slots)).collect();
        let jobs = self.0.list().await?;
        let going = jobs.into_iter().filter(|job| job.end.is_none() && !job.paused);
        let waiting = going.map(|job| (job.labels, job.tasks.saturating_sub(job.running + job.done)));
        Ok(Seen { workers, waiting: waiting.collect() })
    }
}
