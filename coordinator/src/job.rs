//! A job as the coordinator holds it: what it runs, the payloads of its tasks, its outcomes, and who waits for it.

use std::collections::BTreeMap;

use poolmap_proto::v1::{JobEnd, JobSpec, JobStatus, OutcomeRun, OutcomesResponse, function};
use poolmap_scheduler::{Classes, JobId, Time, WorkerId};
use tonic::Status;

use crate::Config;
use crate::chunks::Chunks;
use crate::clock::Clock;
use crate::command::{Outcomes, Presence, Reply, Role};
use crate::files::Held;
use crate::functions::Functions;
use crate::log::{OutcomeLog, Part};
use crate::outcomes;

/// One job.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that combine")]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    /// The contents of its files, until it has ended.
    files: Held,
    pub(crate) functions: Functions,
    pub(crate) chunks: Chunks,
    pub(crate) log: OutcomeLog,
    failed: u64,
    submitted_ms: u64,
    /// No task follows.
    pub(crate) closed: bool,
    /// When every task had its outcome, or the job was rejected: by the core's clock and by the wall's.
    ended: Option<(Time, u64)>,
    /// Why the job could not run at all.
    error: String,
    /// Why the job was stopped before all its tasks had run.
    pub(crate) stopped: String,
    /// Somebody wants nothing of it handed out.
    pub(crate) paused: bool,
    /// Nobody reads its outcomes fast enough.
    pub(crate) is_reader_behind: bool,
    /// Nothing is handed out, for either reason: what the scheduler was told.
    pub(crate) held: bool,
    /// Workers that may run it: what the scheduler was told.
    pub(crate) classes: Classes,
    /// Workers that cannot run it, with what they said.
    pub(crate) refusals: BTreeMap<WorkerId, String>,
    /// Held by the streams of its clients.
    readers: Presence,
    writers: Presence,
    /// When a client was last there, and one that adds tasks.
    pub(crate) seen_at: Time,
    pub(crate) writer_seen_at: Time,
    /// It was cancelled since its client was gone: nobody will want its outcomes.
    pub(crate) is_abandoned: bool,
    /// A client that waits for room.
    writer: Option<Reply<u64>>,
    /// Clients that wait for outcomes from a position on; only a job that is detached has several.
    waiting: Vec<(u64, Reply<Outcomes>)>,
    /// Clients that wait for its end.
    pub(crate) watchers: Vec<Reply<JobStatus>>,
}

impl Job {
    pub(crate) fn new(spec: JobSpec, files: Held, classes: Classes, now: Time) -> Self {
        let log = if spec.detached { OutcomeLog::keeping_all() } else { OutcomeLog::default() };
        Self {
            spec,
            files,
            functions: Functions::default(),
            chunks: Chunks::default(),
            log,
            failed: 0,
            submitted_ms: Clock::wall_ms(),
            closed: false,
            ended: None,
            error: String::new(),
            stopped: String::new(),
            paused: false,
            is_reader_behind: false,
            held: false,
            classes,
            refusals: BTreeMap::new(),
            readers: Presence::default(),
            writers: Presence::default(),
            seen_at: now,
            writer_seen_at: now,
            is_abandoned: false,
            writer: None,
            waiting: Vec::new(),
            watchers: Vec::new(),
        }
    }

    /// Whether tasks may still be added.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed && self.ended.is_none()
    }

    /// Whether it has ended, and no client is there to read how.
    pub(crate) fn is_nobodys_concern(&self) -> bool {
        self.ended.is_some() && (self.spec.detached || !self.readers.is_shared())
    }

    /// When it ended.
    pub(crate) fn ended_at(&self) -> Option<Time> {
        self.ended.map(|(at, _)| at)
    }

    /// A client opens a stream.
    pub(crate) fn attach(&self, role: Role) -> Presence {
        match role {
            Role::Reader => self.readers.clone(),
            Role::Writer => self.writers.clone(),
        }
    }

    /// Notes which clients are there.
    pub(crate) fn look_for_clients(&mut self, now: Time) {
        if self.writers.is_shared() {
            self.writer_seen_at = now;
        }
        if self.readers.is_shared() || self.writers.is_shared() {
            self.seen_at = now;
        }
    }

    /// Takes outcomes into the log and frees the payloads of their tasks.
    pub(crate) fn deliver(&mut self, run: OutcomeRun) {
        if self.ended.is_some() {
            return;
        }
        self.chunks.done(run.first_index, outcomes::tasks(&run));
        self.failed += run.failures.len() as u64 + run.cancelled;
        self.log.push(run);
    }

    /// No task of it is to run any more. The first reason counts.
    pub(crate) fn stop(&mut self, reason: &str) {
        self.closed = true;
        if self.stopped.is_empty() && self.ended.is_none() {
            reason.clone_into(&mut self.stopped);
        }
    }

    /// Every task has its outcome.
    pub(crate) fn end(&mut self, now: Time) {
        if self.ended.is_none() {
            self.ended = Some((now, Clock::wall_ms()));
            self.files = Held::default();
        }
        if self.is_abandoned {
            self.log.clear();
        }
    }

    /// The job cannot run at all: whatever comes later is of no interest. One that has ended ran well enough.
    pub(crate) fn reject(&mut self, error: String, now: Time) {
        if self.ended.is_some() {
            return;
        }
        self.closed = true;
        self.error = error;
        self.end(now);
        self.answer_writer(0);
    }

    /// Parks a client until there is room for more tasks.
    pub(crate) fn wait_for_room(&mut self, reply: Reply<u64>) {
        self.writer = Some(reply);
    }

    /// Lets the waiting client go on if the job holds less than `bytes_max`.
    pub(crate) fn answer_writer(&mut self, bytes_max: usize) {
        let has_room = self.ended.is_some() || self.chunks.bytes() < bytes_max;
        if has_room && let Some(writer) = self.writer.take() {
            let _gone = writer.send(Ok(self.chunks.tasks()));
        }
    }

    /// Parks a reader until there is something from its position on. A newer one takes the place of an older one, unless all
    /// outcomes are kept for whoever wants them.
    pub(crate) fn wait_for_outcomes(&mut self, position: u64, reply: Reply<Outcomes>) {
        if self.is_abandoned && self.ended.is_some() {
            let reason = format!("the outcomes of this job were dropped: {}", self.stopped);
            let _gone = reply.send(Err(Status::not_found(reason)));
        } else if let Err(error) = self.log.check(position) {
            let _gone = reply.send(Err(Status::out_of_range(error.to_string())));
        } else {
            let keeps_others = self.spec.detached;
            self.waiting.retain(|(_, other)| keeps_others && !other.is_closed());
            self.waiting.push((position, reply));
        }
    }

    /// Answers those waiting readers for whom there is something.
    pub(crate) fn answer_readers(&mut self) {
        let mut place = 0;
        while let Some(&(position, _)) = self.waiting.get(place) {
            if let Some(answer) = self.answer(position) {
                let (_, reply) = self.waiting.swap_remove(place);
                let _gone = reply.send(Ok(answer));
            } else {
                place += 1;
            }
        }
    }

    /// What there is to say from a position on.
    fn answer(&self, position: u64) -> Option<Outcomes> {
        match self.log.read(position) {
            Part::Stored(frame) => Some(Outcomes::Stored(frame)),
            Part::Runs(runs, cursor) => {
                let is_last = self.ended.is_some() && cursor == self.log.end();
                let end = is_last.then(|| self.job_end());
                let answer = OutcomesResponse { cursor, runs, end };
                (is_last || !answer.runs.is_empty()).then_some(Outcomes::Here(answer))
            }
        }
    }

    fn job_end(&self) -> JobEnd {
        JobEnd {
            tasks: self.chunks.tasks(),
            failed: self.failed,
            error: self.error.clone(),
            stopped: self.stopped.clone(),
        }
    }

    /// Whether the reader is so far behind that nothing more is to be handed out.
    pub(crate) fn judge_reader(&mut self, config: &Config) {
        let bytes = self.log.bytes();
        let may_store = self.spec.detached && config.spill_folder.is_some() && !self.log.spill().is_broken;
        // What is on its way to the file is still in memory.
        let most =
            if may_store { config.unread_bytes_max.saturating_mul(2) } else { config.unread_bytes_max };
        self.is_reader_behind = bytes > if self.is_reader_behind { most / 2 } else { most };
    }

    /// Whether outcomes are to be moved to a file.
    pub(crate) fn keeps_more_than(&self, bytes_max: usize) -> bool {
        self.spec.detached && self.log.bytes() > bytes_max
    }

    /// A reader has all outcomes before a cursor and, where it `has_end`, knows how the job ended. Returns whether the job is of no
    /// more use to anybody.
    pub(crate) fn confirm(&mut self, cursor: u64, has_end: bool) -> bool {
        self.log.confirm(cursor);
        has_end && !self.spec.detached && cursor == self.log.end()
    }

    fn is_command(&self) -> bool {
        let kind = self.spec.function.as_ref().and_then(|function| function.kind.as_ref());
        matches!(kind, Some(function::Kind::Command(_)))
    }

    /// Where it stands.
    pub(crate) fn status(&self, job: JobId, running: u64, waits_for: String) -> JobStatus {
        JobStatus {
            job_id: job.0,
            name: self.spec.name.clone(),
            tasks: self.chunks.tasks(),
            running,
            done: self.log.end(),
            failed: self.failed,
            closed: self.closed,
            paused: self.paused,
            detached: self.spec.detached,
            priority: self.spec.priority,
            labels: self.spec.labels.clone(),
            submitted_ms: self.submitted_ms,
            ended_ms: self.ended.map_or(0, |(_, at)| at),
            end: self.ended.is_some().then(|| self.job_end()),
            waits_for,
            is_command: self.is_command(),
        }
    }
}
