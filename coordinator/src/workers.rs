//! The workers that are attached, and what each has been told.

use std::collections::{HashMap, HashSet};

use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::{CoordinatorMessage, FunctionList, FunctionsAdded, Hello, JobEnded};
use poolmap_scheduler::{JobId, Time, WorkerId};
use tokio::sync::mpsc;
use tonic::Status;

use crate::clock;

/// Messages to one worker.
pub(crate) type Outbox = mpsc::Sender<Result<CoordinatorMessage, Status>>;

/// One attached worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    process_id: u32,
    outbox: Outbox,
    jobs: HashSet<JobId>,
    last_heard: Time,
    /// It has brought an outcome.
    is_proven: bool,
}

/// All attached workers.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    workers: HashMap<WorkerId, Worker>,
    /// Workers whose outbox was full or closed: they do not read, so they are as good as gone.
    unreachable: Vec<WorkerId>,
}

impl Workers {
    pub(crate) fn attach(&mut self, worker: WorkerId, hello: Hello, outbox: Outbox, now: Time) {
        let entry = Worker {
            name: hello.name,
            process_id: hello.process_id,
            outbox,
            jobs: HashSet::new(),
            last_heard: now,
            is_proven: false,
        };
        self.workers.insert(worker, entry);
    }

    /// Forgets a worker; dropping its outbox ends its stream. Returns whether it was there.
    pub(crate) fn detach(&mut self, worker: WorkerId) -> bool {
        self.workers.remove(&worker).is_some()
    }

    /// Notes that a worker lives. `false` if it is not attached: whatever it says is of no interest.
    pub(crate) fn heard(&mut self, worker: WorkerId, now: Time) -> bool {
        self.workers.get_mut(&worker).map(|worker| worker.last_heard = now).is_some()
    }

    pub(crate) fn name(&self, worker: WorkerId) -> &str {
        self.workers.get(&worker).map_or("", |worker| &worker.name)
    }

    /// Notes that a worker has brought an outcome; gives its process id if that was the first one.
    pub(crate) fn prove(&mut self, worker: WorkerId) -> Option<u32> {
        let worker = self.workers.get_mut(&worker)?;
        (!std::mem::replace(&mut worker.is_proven, true)).then_some(worker.process_id)
    }

    pub(crate) fn process_id(&self, worker: WorkerId) -> Option<u32> {
        self.workers.get(&worker).map(|worker| worker.process_id)
    }

    /// Notes that a worker is about to get work of a job; `true` if it has not been told of the job yet.
    pub(crate) fn introduce(&mut self, worker: WorkerId, job: JobId) -> bool {
        self.workers.get_mut(&worker).is_some_and(|worker| worker.jobs.insert(job))
    }

    /// Sends without waiting: the scheduler's credit bounds what lies in the outbox of a worker that reads.
    pub(crate) fn send(&mut self, worker: WorkerId, kind: Kind) {
        let Some(entry) = self.workers.get(&worker) else { return };
        if entry.outbox.try_send(Ok(CoordinatorMessage { received: 0, kind: Some(kind) })).is_err() {
            self.unreachable.push(worker);
        }
    }

    /// Tells all workers that know a job that it has ended.
    pub(crate) fn end_job(&mut self, job: JobId) {
        let knowing =
            self.workers.iter_mut().filter_map(|(id, worker)| worker.jobs.remove(&job).then_some(*id));
        for worker in knowing.collect::<Vec<_>>() {
            self.send(worker, Kind::JobEnded(JobEnded { job_id: job.0 }));
        }
    }

    /// Sends functions of a job to all workers that know it; the others get them when they are told of it.
    pub(crate) fn add_functions(&mut self, job: JobId, list: &FunctionList) {
        let knowing = self.workers.iter().filter(|(_, worker)| worker.jobs.contains(&job));
        for worker in knowing.map(|(id, _)| *id).collect::<Vec<_>>() {
            let added = FunctionsAdded { job_id: job.0, functions: Some(list.clone()) };
            self.send(worker, Kind::FunctionsAdded(added));
        }
    }

    /// Ends a worker's stream with a reason.
    pub(crate) fn refuse(&mut self, worker: WorkerId, status: Status) {
        if let Some(entry) = self.workers.get(&worker) {
            let _full = entry.outbox.try_send(Err(status));
        }
        self.unreachable.push(worker);
    }

    /// A worker that could not be reached since the last call.
    pub(crate) fn next_unreachable(&mut self) -> Option<WorkerId> {
        self.unreachable.pop()
    }

    /// Workers that have been silent for longer than `timeout`.
    pub(crate) fn silent(&self, timeout: std::time::Duration, now: Time) -> Vec<WorkerId> {
        let is_silent = |worker: &Worker| clock::between(worker.last_heard, now) > timeout;
        self.workers.iter().filter(|(_, worker)| is_silent(worker)).map(|(id, _)| *id).collect()
    }
}
