//! Which workers may run which jobs, and what operators ask about workers.

use std::time::Duration;

use poolmap_proto::v1::coordinator_message::Kind as ToWorker;
use poolmap_proto::v1::{Drain, Hello, JobEnded, WorkerState, WorkerStatus};
use poolmap_scheduler::{ClassId, Event, JobId, WorkerId};
use tonic::Status;

use super::{Core, Report};
use crate::clock;
use crate::command::Reply;
use crate::job::Job;
use crate::roster::Member;

/// Workers whose reasons are told when no worker can run a job.
const REASONS_MAX: usize = 3;

impl Core {
    /// Takes a worker in; returns its class.
    pub(super) fn enrol(&mut self, worker: WorkerId, hello: &Hello) -> ClassId {
        let class = self.roster.join(worker, hello.clone());
        self.limit_jobs();
        class
    }

    /// A worker is gone.
    pub(super) fn strike_off(&mut self, worker: WorkerId) {
        self.roster.leave(worker);
        self.reclass(Vec::new());
    }

    /// Tells the scheduler of jobs which others than before may run.
    fn limit_jobs(&mut self) {
        for (&job, entry) in &mut self.jobs {
            let classes = self.roster.classes(job, &entry.spec.labels);
            if classes != entry.classes && entry.ended_at().is_none() {
                entry.classes = classes.clone();
                self.follow_ups.push_back(Event::JobLimited { job, classes });
            }
        }
    }

    /// Workers have changed their classes. Other jobs may run in the new class before they lose the old one, so that nothing of
    /// them is ever out of place.
    fn reclass(&mut self, changed: Vec<(WorkerId, ClassId)>) {
        self.limit_jobs();
        let classed = changed.into_iter().map(|(worker, class)| Event::WorkerClassed { worker, class });
        self.follow_ups.extend(classed);
        if self.roster.forget_classes() {
            self.limit_jobs();
        }
    }

    /// A worker cannot run a job. The others do, until none is left that may.
    pub(super) fn rejected(&mut self, worker: WorkerId, job: JobId, error: String) {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.ended_at().is_none()) else { return };
        // An empty reason would say that the job ran.
        let said_nothing = || "a worker cannot run its function, and did not say why".to_owned();
        let reason = if error.is_empty() { said_nothing() } else { error };
        let member = self.roster.get(worker);
        let reason = if self.config.is_local { reason } else { format!("{}: {reason}", who(member)) };
        entry.refusals.entry(worker).or_insert(reason);
        let labels = entry.spec.labels.clone();
        let Some(class) = self.roster.refuse(worker, job) else { return };
        self.reclass(vec![(worker, class)]);
        self.follow_up();
        if self.workers.forget_job(worker, job) {
            self.workers.send(worker, ToWorker::JobEnded(JobEnded { job_id: job.0 }));
        }
        if !self.roster.can_run(job, &labels) {
            self.fail_job(job);
        }
    }

    /// Nobody can run a job.
    fn fail_job(&mut self, job: JobId) {
        let now = self.clock.now();
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.reject(reasons(entry), now);
        self.workers.end_job(job);
        self.feed(Event::JobCancelled { job, kills_running: true }, Report::Nothing);
        self.job_over(job);
        self.settle(job);
    }

    /// A job has ended: those who watch it are told, and who refused it is like the others again.
    pub(super) fn job_over(&mut self, job: JobId) {
        let status = self.status_of(job);
        if let Some((entry, status)) = self.jobs.get_mut(&job).zip(status) {
            for watcher in entry.watchers.drain(..) {
                let _gone = watcher.send(Ok(status.clone()));
            }
        }
        let changed = self.roster.forget_job(job);
        if !changed.is_empty() {
            self.reclass(changed);
        }
    }

    pub(super) fn list_workers(&mut self, reply: Reply<Vec<WorkerStatus>>) {
        let now = self.clock.now();
        let status = |(worker, member): (WorkerId, &Member)| {
            let silence = self.workers.last_heard(worker).map(|heard| clock::between(heard, now));
            let tasks = self.scheduler.tasks_held(worker).unwrap_or(0);
            let state = match (member.is_draining, self.workers.is_away(worker)) {
                (_, true) => WorkerState::Away,
                (true, false) => WorkerState::Draining,
                (false, false) => WorkerState::Ready,
            };
            worker_status(worker, member, state, tasks, silence.unwrap_or_default())
        };
        let _gone = reply.send(Ok(self.roster.iter().map(status).collect()));
    }

    pub(super) fn drain_worker(&mut self, named: &str, reply: Reply<()>) {
        let found = self.roster.find(named).map_err(|error| Status::not_found(error.to_string()));
        if let Ok(worker) = found {
            self.workers.send(worker, ToWorker::Drain(Drain {}));
            self.worker_draining(worker);
        }
        let _gone = reply.send(found.map(drop));
    }

    /// A worker is about to leave, by its own will or because it was asked to.
    pub(super) fn worker_draining(&mut self, worker: WorkerId) {
        self.roster.drain(worker);
        self.feed(Event::WorkerDraining { worker }, Report::Nothing);
    }
}

fn worker_status(
    worker: WorkerId,
    member: &Member,
    state: WorkerState,
    tasks: u64,
    silence: Duration,
) -> WorkerStatus {
    let hello = member.hello.clone();
    WorkerStatus {
        worker_id: worker.0,
        name: hello.name,
        host: hello.host,
        version: hello.version,
        process_id: hello.process_id,
        cpus: hello.cpus,
        slots: hello.slots,
        python_version: hello.python_version,
        labels: hello.labels,
        state: state.into(),
        tasks,
        attached_ms: member.attached_ms,
        silent_ms: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
    }
}

/// A worker and where it is.
fn who(member: Option<&Member>) -> String {
    match member.map(|member| &member.hello) {
        None => "a worker".to_owned(),
        Some(hello) if hello.host.is_empty() || hello.host == hello.name => hello.name.clone(),
        Some(hello) => format!("{} on {}", hello.name, hello.host),
    }
}

/// Why nobody can run a job, each reason once.
fn reasons(job: &Job) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in job.refusals.values() {
        if !reasons.contains(&reason.as_str()) {
            reasons.push(reason);
        }
    }
    let told = reasons.get(..REASONS_MAX).unwrap_or(&reasons).join("\n");
    match reasons.len().saturating_sub(REASONS_MAX) {
        0 => told,
        more => format!("{told}\nand {more} more"),
    }
}
