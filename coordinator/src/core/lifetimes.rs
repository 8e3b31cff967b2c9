//! What ends by itself: jobs that take too long, jobs whose clients are gone, what is known of jobs that have ended; and what moves
//! from memory to a file.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use poolmap_scheduler::{Event, JobId, Time};
use tokio::task::JoinError;
use tonic::Status;

use super::{Core, Report};
use crate::clock;
use crate::spill::{self, Written};

/// Looks per time after which a client that is not there is gone.
const LOOKS_PER_TIMEOUT: u32 = 4;
/// A timer must not stand still.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
/// Jobs of which it is known why they were forgotten; of older ones only that they were.
const REASONS_MAX: usize = 4096;

/// Why jobs are not known any more.
#[derive(Debug, Default)]
pub(super) struct Forgotten(BTreeMap<JobId, &'static str>);

/// Outcomes of a job up to a cursor were written to its file, or could not be.
#[derive(Debug)]
pub(super) struct Stored {
    job: JobId,
    cursor: u64,
    written: io::Result<Written>,
}

impl Core {
    /// How often to look whether anything ends.
    pub(super) fn lifetimes_interval(&self) -> Duration {
        (self.config.client_timeout.min(self.config.retention) / LOOKS_PER_TIMEOUT).max(SHORTEST_INTERVAL)
    }

    pub(super) fn stop_overdue_jobs(&mut self) {
        while let Some(job) = self.deadlines.take_due(self.clock.now()) {
            let Some(entry) = self.jobs.get_mut(&job) else { continue };
            let seconds = entry.spec.timeout_ms as f64 / 1e3;
            entry.stop(&format!("it was not done after {seconds} s, its time-out"));
            self.feed(Event::JobCancelled { job, kills_running: true }, Report::Nothing);
            self.settle(job);
        }
    }

    /// Stops jobs whose clients are gone, and forgets what has ended long ago.
    pub(super) fn end_what_nobody_wants(&mut self) {
        let now = self.clock.now();
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            let Some(entry) = self.jobs.get_mut(&job) else { continue };
            entry.look_for_clients(now);
            match (entry.ended_at(), entry.spec.detached) {
                (Some(at), _) if clock::between(at, now) > self.config.retention => {
                    self.forget(job, "it ended too long ago");
                }
                (Some(_), _) => {}
                (None, true) => self.close_if_alone(job, now),
                (None, false) => self.cancel_if_alone(job, now),
            }
        }
    }

    fn cancel_if_alone(&mut self, job: JobId, now: Time) {
        let timeout = self.config.client_timeout;
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.is_abandoned || clock::between(entry.seen_at, now) <= timeout {
            return;
        }
        entry.is_abandoned = true;
        entry.stop(&format!("its client was gone for {} s", timeout.as_secs_f64()));
        tracing::info!(job = job.0, "a job was cancelled since its client is gone");
        self.feed(Event::JobCancelled { job, kills_running: true }, Report::Nothing);
        self.settle(job);
    }

    fn close_if_alone(&mut self, job: JobId, now: Time) {
        let timeout = self.config.client_timeout;
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        if entry.closed || clock::between(entry.writer_seen_at, now) <= timeout {
            return;
        }
        let (tasks, seconds) = (entry.chunks.tasks(), timeout.as_secs_f64());
        entry.stop(&format!(
            "its client was gone for {seconds} s before it had sent all tasks; it had sent {tasks}"
        ));
        tracing::info!(job = job.0, tasks, "a job was closed since its client is gone");
        self.feed(Event::JobClosed { job }, Report::Nothing);
        self.settle(job);
    }

    pub(super) fn forget(&mut self, job: JobId, why: &'static str) {
        self.jobs.remove(&job);
        self.forgotten.0.insert(job, why);
        if self.forgotten.0.len() > REASONS_MAX {
            self.forgotten.0.pop_first();
        }
    }

    /// Tells a job that never was from one that was forgotten: ids are counted up and never used again.
    pub(super) fn no_such_job(&self, job: JobId) -> Status {
        Status::not_found(if (1..self.config.job_ids.first()).contains(&job.0) {
            format!(
                "there is no job {} any more: the coordinator was restarted since, and jobs do not outlive it",
                job.0
            )
        } else if (1..=self.last_job).contains(&job.0) {
            let why = self.forgotten.0.get(&job).copied().unwrap_or("it ended long ago");
            format!("job {} has ended and was forgotten: {why}", job.0)
        } else {
            format!("there is no job {}, nor ever was", job.0)
        })
    }

    /// Writes the oldest outcomes of a job to its file if memory has no room for more.
    pub(super) fn store(&mut self, job: JobId) {
        let Some(folder) = self.config.spill_folder.clone() else { return };
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.spec.detached) else { return };
        if entry.log.bytes() <= self.config.unread_bytes_max || !entry.log.spill().is_idle() {
            return;
        }
        let (runs, cursor) = entry.log.oldest();
        let place = entry.log.spill().begin();
        self.storing.spawn_blocking(move || Stored {
            job,
            cursor,
            written: spill::write(&folder, place, runs, cursor),
        });
    }

    pub(super) fn stored(&mut self, stored: Result<Stored, JoinError>) {
        let Ok(Stored { job, cursor, written }) = stored else { return };
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        match written {
            Ok(written) => {
                entry.log.spill().written(cursor, written);
                entry.log.stored(cursor);
            }
            Err(error) => {
                entry.log.spill().is_broken = true;
                tracing::error!(job = job.0, %error, "outcomes cannot be written to a file: the job is held");
            }
        }
        self.settle(job);
    }
}
