//! What workers say becomes events.

use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::worker_message::Kind as FromWorker;
use poolmap_proto::v1::{
    BatchOutcomes, Crashed, Failure, FailureKind, Heartbeat, Hello, Welcome, WorkerMessage,
};
use poolmap_scheduler::{BatchId, Event, JobId, WorkerId};
use tonic::Status;

use super::{Core, Report};
use crate::Notice;
use crate::clock;
use crate::command::Reply;
use crate::outcomes;
use crate::workers::{Attachment, Outbox};

/// The most slots of one worker: far above any machine, and low enough that its outbox stays small.
const SLOTS_MAX: u32 = 1 << 16;

impl Core {
    pub(super) fn worker_attached(&mut self, hello: Hello, outbox: Outbox, reply: Reply<Attachment>) {
        if hello.protocol != PROTOCOL_VERSION || !(1..=SLOTS_MAX).contains(&hello.slots) {
            let _gone = reply.send(Err(refusal(&hello)));
            return;
        }
        let resumed = match &hello.resume {
            Some(resume) => self.workers.resume(resume, outbox, self.clock.now()),
            None => Err(outbox),
        };
        let stream = match resumed {
            Ok((stream, received)) => {
                tracing::info!(worker = stream.worker.0, name = hello.name, "a worker is back");
                self.welcome(stream.worker, Welcome { resumed: true, received, ..Welcome::default() });
                self.workers.repeat(stream.worker);
                stream
            }
            Err(outbox) => self.worker_joined(hello, outbox),
        };
        let _gone = reply.send(Ok(stream));
    }

    fn worker_joined(&mut self, hello: Hello, outbox: Outbox) -> Attachment {
        let (worker, slots) = (WorkerId(self.new_id()), hello.slots);
        tracing::debug!(worker = worker.0, name = hello.name, slots, "a worker attached");
        let token = (!self.config.reconnect_grace.is_zero()).then(new_token);
        let welcome = Welcome { token: token.clone().unwrap_or_default(), ..Welcome::default() };
        let class = self.enrol(worker, &hello);
        let stream = self.workers.attach(worker, hello, token, outbox, self.clock.now());
        self.welcome(worker, welcome);
        self.feed(Event::WorkerJoined { worker, slots, class }, Report::Nothing);
        stream
    }

    fn welcome(&mut self, worker: WorkerId, welcome: Welcome) {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let welcome = Welcome {
            worker_id: worker.0,
            heartbeat_interval_ms: ms(self.heartbeat_interval()),
            worker_timeout_ms: ms(self.config.worker_timeout),
            max_message_bytes: self.config.max_message_bytes as u64,
            ..welcome
        };
        self.workers.welcome(worker, welcome);
    }

    /// Takes up what a worker says, unless it was given up or has another stream by now.
    pub(super) fn worker_said(&mut self, stream: Attachment, message: WorkerMessage) {
        if !self.workers.is_current(stream) {
            return;
        }
        let (worker, WorkerMessage { received, kind }) = (stream.worker, message);
        let bytes = kind.as_ref().map_or(0, value_bytes);
        match self.workers.heard(worker, bytes, received, self.clock.now()) {
            Ok(()) => self.report(worker, kind),
            Err(error) => self.workers.refuse(worker, Status::invalid_argument(error.to_string())),
        }
    }

    fn report(&mut self, worker: WorkerId, said: Option<FromWorker>) {
        let wrong = self.scheduler.ignored().wrong;
        match said {
            Some(FromWorker::Begun(begun)) => {
                self.feed(Event::Begun { worker, batch: BatchId(begun.batch_id) }, Report::Nothing);
            }
            Some(FromWorker::Outcomes(ended)) => self.ended(worker, ended),
            Some(FromWorker::Returned(returned)) => {
                let (batch, length) = (BatchId(returned.batch_id), returned.length);
                self.feed(Event::Returned { worker, batch, length }, Report::Nothing);
            }
            Some(FromWorker::Crashed(crashed)) => self.crashed(worker, crashed),
            Some(FromWorker::Evicted(evicted)) => {
                let (batch, offset) = (BatchId(evicted.batch_id), evicted.offset);
                self.feed(
                    Event::Evicted { worker, batch, offset },
                    Report::Death { worker, cause: out_of_memory() },
                );
            }
            Some(FromWorker::JobRejected(rejected)) => {
                self.rejected(worker, JobId(rejected.job_id), rejected.error);
            }
            Some(FromWorker::Draining(_)) => self.worker_draining(worker),
            Some(FromWorker::Heartbeat(Heartbeat {}) | FromWorker::Hello(_)) | None => {}
        }
        if self.scheduler.ignored().wrong > wrong {
            let status =
                Status::invalid_argument("a report contradicts what was reported before of its batch");
            self.workers.refuse(worker, status);
        }
    }

    pub(super) fn ended(&mut self, worker: WorkerId, ended: BatchOutcomes) {
        let run = ended.run.unwrap_or_default();
        if let Err(error) = outcomes::check(&run) {
            self.workers.refuse(worker, Status::invalid_argument(error.to_string()));
            return;
        }
        if let Some(process_id) = self.workers.prove(worker) {
            self.notify(Notice::Proven { process_id });
        }
        let (batch, count) = (BatchId(ended.batch_id), run.lengths.len() as u32);
        let failed = run.failures.iter().map(|failure| failure.offset).collect();
        let event = Event::Ended { worker, batch, count, busy_ns: ended.busy_ns, failed };
        self.feed(event, Report::Outcomes { worker, run });
    }

    pub(super) fn crashed(&mut self, worker: WorkerId, crashed: Crashed) {
        let (batch, offset) = (BatchId(crashed.batch_id), crashed.offset);
        let cause = crashed.cause.unwrap_or_default();
        self.feed(Event::Crashed { worker, batch, offset }, Report::Death { worker, cause });
    }

    /// A worker whose stream has ended is dead or about to dial in again, which looks the same from here; unless it was to leave
    /// and has done so.
    pub(super) fn stream_ended(&mut self, stream: Attachment) {
        let until = clock::after(self.clock.now(), self.config.reconnect_grace);
        let is_draining = self.roster.get(stream.worker).is_some_and(|member| member.is_draining);
        let has_left = is_draining && self.scheduler.tasks_held(stream.worker) == Some(0);
        if self.workers.is_current(stream) && (has_left || !self.workers.wait_for(stream, until)) {
            self.worker_gone(stream.worker);
        }
    }

    pub(super) fn drop_absent_workers(&mut self) {
        while let Some(worker) = self.workers.take_absent(self.clock.now()) {
            tracing::debug!(worker = worker.0, "a worker's stream has ended and it did not come back");
            self.worker_gone(worker);
        }
    }

    pub(super) fn worker_gone(&mut self, worker: WorkerId) {
        if self.workers.detach(worker) {
            tracing::debug!(worker = worker.0, "a worker is gone");
            self.feed(Event::WorkerLeft { worker, is_blamed: true }, Report::Nothing);
            self.strike_off(worker);
        }
    }

    fn notify(&self, notice: Notice) {
        if let Some(notices) = &self.config.notices {
            let _full_or_gone = notices.try_send(notice);
        }
    }

    pub(super) fn drop_silent_workers(&mut self) {
        for worker in self.workers.silent(self.config.worker_timeout, self.clock.now()) {
            tracing::warn!(worker = worker.0, "a worker was silent for too long and is taken for lost");
            if let Some(process_id) = self.workers.process_id(worker) {
                self.notify(Notice::Lost { process_id });
            }
            self.worker_gone(worker);
        }
    }
}

fn refusal(hello: &Hello) -> Status {
    if hello.protocol == PROTOCOL_VERSION {
        return Status::invalid_argument(format!(
            "worker {} offers {} slots; a worker has from 1 to {SLOTS_MAX}",
            hello.name, hello.slots
        ));
    }
    let (theirs, ours) = (hello.protocol, PROTOCOL_VERSION);
    Status::failed_precondition(format!(
        "worker {} (poolmap {}) speaks protocol {theirs}, this coordinator (poolmap {}) protocol {ours}: run the same version of \
         poolmap on both",
        hello.name,
        hello.version,
        env!("CARGO_PKG_VERSION"),
    ))
}

/// What only the worker itself can know.
fn new_token() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<[u8; 16]>())
}

/// Bytes of a message that may be large.
fn value_bytes(kind: &FromWorker) -> usize {
    let FromWorker::Outcomes(BatchOutcomes { run: Some(run), .. }) = kind else { return 0 };
    run.values.len()
        + run.details.iter().map(|detail| detail.stdout.len() + detail.stderr.len()).sum::<usize>()
}

/// The cause of a failure after too many evictions.
fn out_of_memory() -> Failure {
    let message = "the task was killed again and again because its worker was about to run out of memory, even when it ran alone";
    Failure { kind: FailureKind::OutOfMemory.into(), message: message.to_owned(), ..Failure::default() }
}
