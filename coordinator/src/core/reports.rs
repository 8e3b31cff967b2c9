//! What workers say becomes events.

use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::coordinator_message::Kind as ToWorker;
use poolmap_proto::v1::worker_message::Kind as FromWorker;
use poolmap_proto::v1::{BatchOutcomes, Crashed, Failure, FailureKind, Heartbeat, Hello, Welcome};
use poolmap_scheduler::{BatchId, Event, JobId, WorkerId};
use tonic::Status;

use super::{Core, HEARTBEATS_PER_TIMEOUT, Report};
use crate::Notice;
use crate::command::Reply;
use crate::outcomes;
use crate::workers::Outbox;

/// The most slots of one worker: far above any machine, and low enough that its outbox stays small.
const SLOTS_MAX: u32 = 1 << 16;

impl Core {
    pub(super) fn worker_attached(&mut self, hello: Hello, outbox: Outbox, reply: Reply<WorkerId>) {
        if hello.protocol != PROTOCOL_VERSION || !(1..=SLOTS_MAX).contains(&hello.slots) {
            let _gone = reply.send(Err(refusal(&hello)));
            return;
        }
        let worker = WorkerId(self.new_id());
        let slots = hello.slots;
        tracing::debug!(worker = worker.0, name = hello.name, slots, "a worker attached");
        let class = self.enrol(worker, &hello);
        self.workers.attach(worker, hello, outbox, self.clock.now());
        let interval = self.config.worker_timeout / HEARTBEATS_PER_TIMEOUT;
        let heartbeat_interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        self.workers.send(
            worker,
            ToWorker::Welcome(Welcome { worker_id: worker.0, heartbeat_interval_ms, ..Welcome::default() }),
        );
        let _gone = reply.send(Ok(worker));
        self.feed(Event::WorkerJoined { worker, slots, class }, Report::Nothing);
    }

    pub(super) fn worker_said(&mut self, worker: WorkerId, said: Option<FromWorker>) {
        if !self.workers.heard(worker, self.clock.now()) {
            return;
        }
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

/// The cause of a failure after too many evictions.
fn out_of_memory() -> Failure {
    let message = "the task was killed again and again because its worker was about to run out of memory, even when it ran alone";
    Failure { kind: FailureKind::OutOfMemory.into(), message: message.to_owned(), ..Failure::default() }
}
