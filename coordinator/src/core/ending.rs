//! How a coordinator ends in order: it takes no new jobs, then stops those that are left, and has its workers leave.

use poolmap_proto::v1::Drain;
use poolmap_proto::v1::coordinator_message::Kind as ToWorker;
use poolmap_scheduler::{Event, JobId, WorkerId};
use tokio::sync::oneshot;

use super::{Core, Report};
use crate::job::Job;

/// How far it has come.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Takes no new job.
    pub(super) is_draining: bool,
    /// Who waits until no job is left.
    drained: Option<oneshot::Sender<()>>,
    /// Who waits until no worker is left.
    deserted: Option<oneshot::Sender<()>>,
}

impl Core {
    pub(super) fn drain(&mut self, reply: oneshot::Sender<()>) {
        self.ending.is_draining = true;
        self.ending.drained = Some(reply);
    }

    /// Stops all jobs, and tells all workers to leave.
    pub(super) fn dismiss(&mut self, reply: oneshot::Sender<()>) {
        self.ending.is_draining = true;
        self.ending.deserted = Some(reply);
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        for job in jobs {
            let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.ended_at().is_none()) else {
                continue;
            };
            entry.stop("its coordinator was stopped");
            self.feed(Event::JobCancelled { job, kills_running: true }, Report::Nothing);
            self.settle(job);
        }
        let workers: Vec<WorkerId> = self.roster.iter().map(|(worker, _)| worker).collect();
        for worker in workers {
            self.workers.send(worker, ToWorker::Drain(Drain {}));
            self.worker_draining(worker);
        }
    }

    /// Tells those who wait for a part of the end that it has come.
    pub(super) fn tell_ended(&mut self) {
        if self.ending.drained.is_some() && self.jobs.values().all(Job::is_nobodys_concern) {
            tell(&mut self.ending.drained);
        }
        if self.ending.deserted.is_some() && self.roster.iter().next().is_none() {
            tell(&mut self.ending.deserted);
        }
    }
}

fn tell(waiting: &mut Option<oneshot::Sender<()>>) {
    if let Some(waiting) = waiting.take() {
        let _gone = waiting.send(());
    }
}
