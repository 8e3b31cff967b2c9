//! What clients ask for.

use poolmap_proto::v1::{FunctionList, JobSpec, JobStatus, TaskChunk, TaskRange, halt};
use poolmap_scheduler::{Event, Halt, JobId, JobOptions};
use tonic::Status;

use super::{Core, Report};
use crate::clock;
use crate::command::{Outcomes, Presence, Reply, Role};
use crate::files::Held;
use crate::job::Job;

/// Attempts that may end with a dead child when the job does not say.
const DEFAULT_CRASH_LIMIT: u32 = 3;

impl Core {
    pub(super) fn submit(&mut self, job: JobId, spec: JobSpec, files: Held, reply: Reply<()>) {
        if spec.function.as_ref().and_then(|function| function.kind.as_ref()).is_none() {
            let _gone = reply.send(Err(Status::invalid_argument("a job needs a function")));
            return;
        }
        if self.ending.is_draining {
            let _gone = reply
                .send(Err(Status::failed_precondition("the coordinator is stopping and takes no new jobs")));
            return;
        }
        self.last_job = self.last_job.max(job.0);
        let now = self.clock.now();
        let classes = self.roster.classes(job, &spec.labels);
        let options = JobOptions { classes: classes.clone(), ..options(&spec) };
        if spec.timeout_ms > 0 {
            self.deadlines.add(clock::after_ms(now, spec.timeout_ms), job);
        }
        self.jobs.insert(job, Job::new(spec, files, classes, now));
        self.feed(Event::JobSubmitted { job, options }, Report::Nothing);
        let _gone = reply.send(Ok(()));
    }

    /// The job of a request, or an answer that it is not there.
    fn requested<T>(&mut self, job: JobId, reply: Reply<T>) -> Option<(&mut Job, Reply<T>)> {
        if !self.jobs.contains_key(&job) {
            let _gone = reply.send(Err(self.no_such_job(job)));
            return None;
        }
        Some((self.jobs.get_mut(&job)?, reply))
    }

    pub(super) fn attach(&mut self, job: JobId, role: Role, reply: Reply<Presence>) {
        if let Some((entry, reply)) = self.requested(job, reply) {
            let _gone = reply.send(Ok(entry.attach(role)));
        }
    }

    pub(super) fn add_tasks(&mut self, job: JobId, chunk: TaskChunk, reply: Reply<u64>) {
        let Some((entry, reply)) = self.requested(job, reply) else { return };
        let appended = if entry.is_open() || entry.chunks.has(&chunk) {
            entry.chunks.append(chunk).map_err(|error| Status::invalid_argument(error.to_string()))
        } else {
            Err(Status::failed_precondition(format!("job {} takes no more tasks: it is closed", job.0)))
        };
        match appended {
            Err(status) => {
                let _gone = reply.send(Err(status));
            }
            Ok(count) => {
                entry.wait_for_room(reply);
                if count > 0 {
                    self.feed(Event::TasksAdded { job, count }, Report::Nothing);
                }
                self.settle(job);
            }
        }
    }

    pub(super) fn add_functions(&mut self, job: JobId, list: Option<FunctionList>) {
        let (Some(list), Some(entry)) = (list, self.jobs.get_mut(&job)) else { return };
        let added = entry.functions.add(list);
        if !added.functions.is_empty() {
            self.workers.add_functions(job, &added);
        }
    }

    pub(super) fn close(&mut self, job: JobId, reply: Reply<u64>) {
        let Some((entry, reply)) = self.requested(job, reply) else { return };
        entry.closed = true;
        let _gone = reply.send(Ok(entry.chunks.tasks()));
        self.feed(Event::JobClosed { job }, Report::Nothing);
        self.settle(job);
    }

    pub(super) fn outcomes(&mut self, job: JobId, position: u64, reply: Reply<Outcomes>) {
        let Some((entry, reply)) = self.requested(job, reply) else { return };
        entry.wait_for_outcomes(position, reply);
        self.settle(job);
    }

    pub(super) fn confirm(&mut self, job: JobId, cursor: u64, has_end: bool) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.confirm(cursor, has_end) {
            self.forget(job, "all its outcomes were read");
        } else {
            self.settle(job);
        }
    }

    pub(super) fn cancel(&mut self, job: JobId, running: bool, reply: Reply<()>) {
        let Some((entry, reply)) = self.requested(job, reply) else { return };
        entry.stop("it was cancelled");
        let _gone = reply.send(Ok(()));
        self.feed(Event::JobCancelled { job, kills_running: running }, Report::Nothing);
        self.settle(job);
    }

    pub(super) fn cancel_tasks(
        &mut self,
        job: JobId,
        tasks: Vec<TaskRange>,
        kills_running: bool,
        reply: Reply<()>,
    ) {
        let Some((_entry, reply)) = self.requested(job, reply) else { return };
        let _gone = reply.send(Ok(()));
        for TaskRange { first, count } in tasks {
            self.feed(Event::TasksCancelled { job, first, count, kills_running }, Report::Nothing);
        }
        self.settle(job);
    }

    pub(super) fn pause(&mut self, job: JobId, paused: bool, reply: Reply<()>) {
        let Some((entry, reply)) = self.requested(job, reply) else { return };
        let answer = if entry.ended_at().is_some() {
            Err(Status::failed_precondition(format!("job {} has ended", job.0)))
        } else {
            entry.paused = paused;
            Ok(())
        };
        let _gone = reply.send(answer);
        self.settle(job);
    }

    pub(super) fn status(&mut self, job: JobId, wait: bool, reply: Reply<JobStatus>) {
        let Some((entry, reply)) = self.requested(job, reply) else { return };
        if wait && entry.ended_at().is_none() {
            entry.watchers.retain(|watcher| !watcher.is_closed());
            entry.watchers.push(reply);
        } else if let Some(status) = self.status_of(job) {
            let _gone = reply.send(Ok(status));
        }
    }

    pub(super) fn list(&mut self, reply: Reply<Vec<JobStatus>>) {
        let mut jobs: Vec<JobStatus> = self.jobs.keys().filter_map(|&job| self.status_of(job)).collect();
        jobs.sort_unstable_by_key(|status| status.job_id);
        let _gone = reply.send(Ok(jobs));
    }

    /// Where a job stands.
    pub(super) fn status_of(&self, job: JobId) -> Option<JobStatus> {
        let entry = self.jobs.get(&job)?;
        let counts =
            self.scheduler.task_counts(job).filter(|_| entry.ended_at().is_none()).unwrap_or_default();
        let waits = counts.queued > 0 && counts.running == 0;
        let waits_for = if waits { self.waits_for(job, entry) } else { String::new() };
        Some(entry.status(job, counts.running, waits_for))
    }

    /// Why nothing of a job is handed out; empty if it is only that others come first.
    fn waits_for(&self, job: JobId, entry: &Job) -> String {
        if entry.paused {
            "it is paused".to_owned()
        } else if entry.is_reader_behind && entry.spec.detached {
            "its outcomes fill the memory that they may, and cannot be written to a file".to_owned()
        } else if entry.is_reader_behind {
            "its outcomes are not read".to_owned()
        } else {
            self.roster.lacks(job, &entry.spec.labels)
        }
    }
}

/// What a job asks of the scheduler.
fn options(spec: &JobSpec) -> JobOptions {
    let recycling = spec.child.as_ref().map_or(0, |child| child.max_tasks_per_child);
    let halt = match spec.halt.as_ref().and_then(|halt| halt.when) {
        None => Halt::Never,
        Some(halt::When::Failures(failures)) => Halt::AfterFailures(failures),
        Some(halt::When::Percent(percent)) => {
            Halt::AfterShare { percent: u8::try_from(percent).unwrap_or(u8::MAX) }
        }
    };
    JobOptions {
        priority: spec.priority,
        crash_limit: if spec.crash_limit == 0 { DEFAULT_CRASH_LIMIT } else { spec.crash_limit },
        max_tasks_per_child: (recycling > 0).then(|| u32::try_from(recycling).unwrap_or(u32::MAX)),
        retries: spec.retries,
        retry_delay_ns: spec.retry_delay_ms.saturating_mul(1_000_000),
        halt,
        speculate: spec.speculate,
        ..JobOptions::default()
    }
}
