//! A job as the coordinator holds it: what it runs, the payloads of its tasks, its outcomes, and who waits for it.

use poolmap_proto::v1::{JobEnd, JobSpec, OutcomeRun, OutcomesResponse};
use tonic::Status;

use crate::chunks::Chunks;
use crate::command::Reply;
use crate::functions::Functions;
use crate::outcomes::{self, OutcomeLog};

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    pub(crate) functions: Functions,
    pub(crate) chunks: Chunks,
    log: OutcomeLog,
    failed: u64,
    /// No task follows.
    pub(crate) closed: bool,
    /// Every task has its outcome, or the job was rejected.
    ended: bool,
    /// Why the job could not run at all.
    error: String,
    /// Why the job was stopped before all its tasks had run.
    pub(crate) stopped: String,
    /// Nothing is handed out, since the reader is behind.
    pub(crate) held: bool,
    /// A client that waits for room.
    writer: Option<Reply<u64>>,
    /// A client that waits for outcomes.
    reader: Option<Reply<OutcomesResponse>>,
}

impl Job {
    pub(crate) fn new(spec: JobSpec) -> Self {
        Self {
            spec,
            functions: Functions::default(),
            chunks: Chunks::default(),
            log: OutcomeLog::default(),
            failed: 0,
            closed: false,
            ended: false,
            error: String::new(),
            stopped: String::new(),
            held: false,
            writer: None,
            reader: None,
        }
    }

    /// Whether tasks may still be added.
    pub(crate) fn is_open(&self) -> bool {
        !self.closed && !self.ended
    }

    /// Whether it has ended, and no client waits to read how.
    pub(crate) fn is_nobodys_concern(&self) -> bool {
        self.ended && self.spec.detached
    }

    /// Outcomes delivered so far, and how many of them are failures.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.log.end(), self.failed)
    }

    /// Memory held by outcomes that nobody has read, in bytes.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.log.bytes()
    }

    /// Takes outcomes into the log and frees the payloads of their tasks.
    pub(crate) fn deliver(&mut self, run: OutcomeRun) {
        if self.ended {
            return;
        }
        self.chunks.done(run.first_index, outcomes::tasks(&run));
        self.failed += run.failures.len() as u64 + run.cancelled;
        self.log.push(run);
    }

    /// Every task has its outcome.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The job cannot run at all: whatever comes later is of no interest. One that has ended ran well enough.
    pub(crate) fn reject(&mut self, error: String) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.error = error;
        self.answer_writer(0);
    }

    /// Parks a client until there is room for more tasks.
    pub(crate) fn wait_for_room(&mut self, reply: Reply<u64>) {
        self.writer = Some(reply);
    }

    /// Lets the waiting client go on if the job holds less than `bytes_max`.
    pub(crate) fn answer_writer(&mut self, bytes_max: usize) {
        let has_room = self.ended || self.chunks.bytes() < bytes_max;
        if has_room && let Some(writer) = self.writer.take() {
            let _gone = writer.send(Ok(self.chunks.tasks()));
        }
    }

    /// Frees what the reader confirms, and parks it until there is more. A newer reader takes the place of an older one.
    pub(crate) fn read_from(&mut self, cursor: u64, reply: Reply<OutcomesResponse>) {
        match self.log.confirm(cursor) {
            Ok(()) => self.reader = Some(reply),
            Err(error) => {
                let _gone = reply.send(Err(Status::out_of_range(error.to_string())));
            }
        }
    }

    /// Answers the waiting reader if there is something to say; returns whether that was the last there is.
    pub(crate) fn answer_reader(&mut self) -> bool {
        if self.reader.is_none() {
            return false;
        }
        let (runs, cursor) = self.log.next();
        let is_last = self.ended && cursor == self.log.end();
        if runs.is_empty() && !is_last {
            return false;
        }
        let Some(reader) = self.reader.take() else { return false };
        let end = is_last.then(|| JobEnd {
            tasks: self.chunks.tasks(),
            failed: self.failed,
            error: self.error.clone(),
            stopped: self.stopped.clone(),
        });
        reader.send(Ok(OutcomesResponse { cursor, runs, end })).is_ok() && is_last
    }
}
