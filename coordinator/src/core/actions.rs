//! What the scheduler decides becomes messages and outcomes.

use std::ops::Range;

use poolmap_proto::v1::coordinator_message::Kind as ToWorker;
use poolmap_proto::v1::{
    Batch, Detail, Failure, FailureKind, FunctionsAdded, JobSpec, JobStarted, OutcomeRun, Stop, TakeBack,
};
use poolmap_scheduler::{Action, Event, JobId, WorkerId};

use super::{Core, Report};
use crate::outcomes;

/// Bytes of functions that go to a worker in one message, unless a single one is larger. With as many messages as may wait for a
/// worker that is more than any job has.
const FUNCTIONS_BYTES: usize = 64 << 20;

impl Core {
    /// Tells the scheduler what happened and carries out what it decides.
    pub(super) fn feed(&mut self, event: Event, mut report: Report) {
        let mut actions = std::mem::take(&mut self.actions);
        self.scheduler.handle(self.clock.now(), event, &mut actions);
        for action in actions.drain(..) {
            self.act(&action, &mut report);
        }
        self.actions = actions;
    }

    pub(super) fn act(&mut self, action: &Action, report: &mut Report) {
        match *action {
            Action::Assign { worker, batch, job, first, count, attempt } => {
                self.introduce(worker, job);
                let tasks = self.jobs.get(&job).and_then(|entry| entry.chunks.slice(first, count));
                debug_assert!(tasks.is_some(), "the scheduler hands out only what was added and is not done");
                let batch = Batch { batch_id: batch.0, job_id: job.0, attempt, tasks };
                self.workers.send(worker, ToWorker::Batch(batch));
            }
            Action::TakeBack { worker, batch, count } => {
                self.workers.send(worker, ToWorker::TakeBack(TakeBack { batch_id: batch.0, count }));
            }
            Action::Stop { worker, batch } => {
                self.workers.send(worker, ToWorker::Stop(Stop { batch_id: batch.0 }));
            }
            Action::Deliver { job, first, offset, count, attempt } => {
                self.deliver(job, first, attempt, offset..offset + count, report);
            }
            Action::Fail { job, index, attempt } => self.fail(job, index, attempt, report),
            Action::Cancel { job, first, count } => {
                self.push(job, OutcomeRun { first_index: first, cancelled: count, ..OutcomeRun::default() });
            }
            Action::JobHalted { job } => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.stop("so many of its tasks had failed that it was to stop");
                }
            }
            Action::JobDone { job } => {
                self.workers.end_job(job);
                let now = self.clock.now();
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.end(now);
                }
                self.job_over(job);
                self.settle(job);
            }
        }
    }

    pub(super) fn introduce(&mut self, worker: WorkerId, job: JobId) {
        if self.workers.introduce(worker, job)
            && let Some(entry) = self.jobs.get(&job)
        {
            let JobSpec { function, child, details, files, .. } = entry.spec.clone();
            let job_id = job.0;
            let started = JobStarted { job_id, function, child, details, files, functions: None };
            self.workers.send(worker, ToWorker::JobStarted(started));
            for functions in entry.functions.lists(FUNCTIONS_BYTES) {
                let functions = Some(functions);
                self.workers.send(worker, ToWorker::FunctionsAdded(FunctionsAdded { job_id, functions }));
            }
        }
    }

    /// Delivers part of the outcomes that came with an event: those at these places.
    pub(super) fn deliver(
        &mut self,
        job: JobId,
        first: u64,
        attempt: u32,
        places: Range<u32>,
        report: &mut Report,
    ) {
        let Report::Outcomes { worker, run } = report else { return };
        let is_whole = places.len() == run.lengths.len();
        let run = if is_whole { std::mem::take(run) } else { outcomes::slice(run, places) };
        let mut run = OutcomeRun { first_index: first, cancelled: 0, worker: String::new(), ..run };
        if !run.details.is_empty() {
            self.workers.name(*worker).clone_into(&mut run.worker);
            run.details.iter_mut().for_each(|detail| detail.attempt = attempt);
        }
        self.push(job, run);
    }

    pub(super) fn fail(&mut self, job: JobId, index: u64, attempt: u32, report: &mut Report) {
        let (worker, cause) = match std::mem::replace(report, Report::Nothing) {
            Report::Death { worker, cause } => (self.workers.name(worker).to_owned(), cause),
            _ => (String::new(), lost_worker()),
        };
        let details = match self.jobs.get(&job) {
            Some(entry) if entry.spec.details => vec![Detail { attempt, ..Detail::default() }],
            _ => Vec::new(),
        };
        let failures = vec![Failure { offset: 0, ..cause }];
        self.push(
            job,
            OutcomeRun {
                first_index: index,
                lengths: vec![0],
                failures,
                details,
                worker,
                ..Default::default()
            },
        );
    }

    pub(super) fn push(&mut self, job: JobId, run: OutcomeRun) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.deliver(run);
            self.settle(job);
        }
    }

    /// After a change to a job: lets those go on who wait for it, and holds it while it is paused or its reader is behind.
    pub(super) fn settle(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.answer_writer(self.config.queued_bytes_max);
        entry.answer_readers();
        entry.judge_reader(&self.config);
        let hold = entry.paused || entry.is_reader_behind;
        if hold != entry.held {
            entry.held = hold;
            self.follow_ups.push_back(Event::JobHeld { job, held: hold });
        }
        if entry.keeps_more_than(self.config.unread_bytes_max) {
            self.store(job);
        }
    }
}

/// The cause of a failure that no report came with: the worker itself went away.
fn lost_worker() -> Failure {
    Failure {
        kind: FailureKind::Lost.into(),
        message: "every worker that ran this task was lost while it ran".to_owned(),
        ..Failure::default()
    }
}
