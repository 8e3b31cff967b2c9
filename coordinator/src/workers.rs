//! The workers that are attached, what each has been told, and which of them are away.
//!
//! A worker stays attached for a while when its stream breaks. What it has not confirmed is kept, and said again on the stream
//! that it comes back with.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::{
    CoordinatorMessage, FunctionList, FunctionsAdded, Heartbeat, Hello, JobEnded, Resumption, Welcome,
};
use poolmap_proto::window::{Contradiction, Receipts, Window};
use poolmap_scheduler::{JobId, Time, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::clock;

/// What a stream carries to its worker. A status ends it.
pub(crate) type Inbox = mpsc::Receiver<Result<CoordinatorMessage, Status>>;
/// Resolves once nobody here is interested in a stream any more.
pub(crate) type Dismissed = oneshot::Receiver<Infallible>;

/// The core's end of one stream. Dropping it ends the stream, and the listening to it: a worker that was thrown out may hang
/// on, and talk, for ever.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: mpsc::Sender<Result<CoordinatorMessage, Status>>,
    _listening: oneshot::Sender<Infallible>,
}

impl Outbox {
    /// An outbox with room for so many messages, and its other ends.
    pub(crate) fn new(capacity: usize) -> (Self, Inbox, Dismissed) {
        let (messages, inbox) = mpsc::channel(capacity);
        let (listening, dismissed) = oneshot::channel();
        (Self { messages, _listening: listening }, inbox, dismissed)
    }

    /// Puts a message or the end on the stream; whether there was room.
    fn put(&self, message: Result<CoordinatorMessage, Status>) -> bool {
        self.messages.try_send(message).is_ok()
    }
}

/// Messages to one worker that it may not have read or confirmed, beside those per slot: requests to take work back, ends of
/// jobs, and what is on its way.
const UNREAD_BASE: usize = 256;
/// Per slot: two batches, two requests to take back, and jobs that start and end.
const UNREAD_PER_SLOT: usize = 8;

/// The most messages that may wait for a worker to read or to confirm them.
pub(crate) fn unread_max(slots: u32) -> usize {
    UNREAD_BASE + UNREAD_PER_SLOT * slots as usize
}

/// One stream of a worker: it may have another one later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) worker: WorkerId,
    stream: u32,
}

/// One attached worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    process_id: u32,
    /// Absent while the worker is away.
    outbox: Option<Outbox>,
    /// The number of the last stream; what comes on an older one is late.
    stream: u32,
    /// What it takes to go on after its stream has broken, if it may.
    kept: Option<Kept>,
    jobs: HashSet<JobId>,
    last_heard: Time,
    /// It has brought an outcome.
    is_proven: bool,
}

impl Worker {
    /// Puts a message on the stream, if there is one; whether it had room.
    fn say(&self, message: CoordinatorMessage) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.put(Ok(message)))
    }
}

/// The messages of an attachment that outlives its streams.
#[derive(Debug)]
struct Kept {
    token: Bytes,
    sent: Window<CoordinatorMessage>,
    sent_max: usize,
    arrived: Receipts,
}

/// All attached workers.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    attached: HashMap<WorkerId, Worker>,
    /// Workers that do not read, so that they are as good as gone.
    unreachable: Vec<WorkerId>,
    /// Streams that have ended, and until when their workers may come back, the earliest first.
    away: VecDeque<(Time, Attachment)>,
}

impl Workers {
    /// Attaches a worker, which may come back after its stream has broken if it gets a token.
    pub(crate) fn attach(
        &mut self,
        worker: WorkerId,
        hello: Hello,
        token: Option<Bytes>,
        outbox: Outbox,
        now: Time,
    ) -> Attachment {
        let sent_max = unread_max(hello.slots);
        let kept = token.map(|token| {
            let (sent, arrived) = (Window::default(), Receipts::default());
            Kept { token, sent, sent_max, arrived }
        });
        let entry = Worker {
            name: hello.name,
            process_id: hello.process_id,
            outbox: Some(outbox),
            stream: 1,
            kept,
            jobs: HashSet::new(),
            last_heard: now,
            is_proven: false,
        };
        self.attached.insert(worker, entry);
        Attachment { worker, stream: 1 }
    }

    /// Lets a worker go on with a new stream, if it is still attached; the old one ends. Gives what is needed for its welcome,
    /// after which [`Workers::repeat`] follows; or gives back the outbox.
    pub(crate) fn resume(
        &mut self,
        resume: &Resumption,
        outbox: Outbox,
        now: Time,
    ) -> Result<(Attachment, u64), Outbox> {
        let worker = WorkerId(resume.worker_id);
        let Some(entry) = self.attached.get_mut(&worker) else { return Err(outbox) };
        let is_theirs =
            |kept: &mut Kept| kept.token == resume.token && kept.sent.resume(resume.received).is_ok();
        let Some(received) =
            entry.kept.as_mut().and_then(|kept| is_theirs(kept).then(|| kept.arrived.tell()))
        else {
            return Err(outbox);
        };
        entry.stream += 1;
        entry.outbox = Some(outbox);
        entry.last_heard = now;
        Ok((Attachment { worker, stream: entry.stream }, received))
    }

    /// Says again what a worker that has come back has not received.
    pub(crate) fn repeat(&self, worker: WorkerId) {
        let Some(entry) = self.attached.get(&worker) else { return };
        let Some((kept, outbox)) = entry.kept.as_ref().zip(entry.outbox.as_ref()) else { return };
        let confirmed = kept.sent.sent() - kept.sent.unconfirmed() as u64;
        for message in (confirmed + 1..).map_while(|number| kept.sent.get(number)) {
            // There is room for all that may be unconfirmed; a stream that has broken again is noticed elsewhere.
            outbox.put(Ok(message.clone()));
        }
    }

    /// The stream of a worker has ended. Whether it may come back, which it must until then.
    pub(crate) fn wait_for(&mut self, stream: Attachment, until: Time) -> bool {
        let Some(entry) = self.attached.get_mut(&stream.worker).filter(|entry| entry.kept.is_some()) else {
            return false;
        };
        entry.outbox = None;
        self.away.push_back((until, stream));
        true
    }

    /// When the next worker that is away must be back.
    pub(crate) fn next_return(&self) -> Option<Time> {
        self.away.front().map(|(until, _)| *until)
    }

    /// A worker that should have come back by now.
    pub(crate) fn take_absent(&mut self, now: Time) -> Option<WorkerId> {
        while self.next_return().is_some_and(|until| until <= now) {
            let (_, stream) = self.away.pop_front()?;
            if self.is_current(stream) {
                return Some(stream.worker);
            }
        }
        None
    }

    /// Forgets a worker; dropping its outbox ends its stream. Returns whether it was there.
    pub(crate) fn detach(&mut self, worker: WorkerId) -> bool {
        self.attached.remove(&worker).is_some()
    }

    /// Whether a stream is the one that its worker has now.
    pub(crate) fn is_current(&self, stream: Attachment) -> bool {
        self.attached.get(&stream.worker).is_some_and(|worker| worker.stream == stream.stream)
    }

    /// Counts a message of a worker, with so many bytes of values, that confirms so many of ours.
    pub(crate) fn heard(
        &mut self,
        worker: WorkerId,
        bytes: usize,
        received: u64,
        now: Time,
    ) -> Result<(), Contradiction> {
        let Some(entry) = self.attached.get_mut(&worker) else { return Ok(()) };
        entry.last_heard = now;
        let Some(kept) = &mut entry.kept else { return Ok(()) };
        kept.sent.confirm(received)?;
        if kept.arrived.count(bytes) {
            self.send(worker, Kind::Heartbeat(Heartbeat {}));
        }
        Ok(())
    }

    /// Whether it has no stream at the moment.
    pub(crate) fn is_away(&self, worker: WorkerId) -> bool {
        self.attached.get(&worker).is_some_and(|worker| worker.outbox.is_none())
    }

    /// When a worker was last heard of.
    pub(crate) fn last_heard(&self, worker: WorkerId) -> Option<Time> {
        self.attached.get(&worker).map(|worker| worker.last_heard)
    }

    /// A worker gets no more of a job; `true` if it had been told of it.
    pub(crate) fn forget_job(&mut self, worker: WorkerId, job: JobId) -> bool {
        self.attached.get_mut(&worker).is_some_and(|worker| worker.jobs.remove(&job))
    }

    pub(crate) fn name(&self, worker: WorkerId) -> &str {
        self.attached.get(&worker).map_or("", |worker| &worker.name)
    }

    /// Notes that a worker has brought an outcome; gives its process id if that was the first one.
    pub(crate) fn prove(&mut self, worker: WorkerId) -> Option<u32> {
        let worker = self.attached.get_mut(&worker)?;
        (!std::mem::replace(&mut worker.is_proven, true)).then_some(worker.process_id)
    }

    pub(crate) fn process_id(&self, worker: WorkerId) -> Option<u32> {
        self.attached.get(&worker).map(|worker| worker.process_id)
    }

    /// Notes that a worker is about to get work of a job; `true` if it has not been told of the job yet.
    pub(crate) fn introduce(&mut self, worker: WorkerId, job: JobId) -> bool {
        self.attached.get_mut(&worker).is_some_and(|worker| worker.jobs.insert(job))
    }

    /// Sends without waiting: the scheduler's credit bounds what a worker that reads has not read.
    pub(crate) fn send(&mut self, worker: WorkerId, kind: Kind) {
        let Some(entry) = self.attached.get_mut(&worker) else { return };
        let mut message = CoordinatorMessage { received: 0, kind: Some(kind) };
        if let Some(kept) = &mut entry.kept {
            message.received = kept.arrived.tell();
            kept.sent.push(message.clone());
        }
        let is_said = entry.say(message);
        let is_reachable = match &entry.kept {
            Some(kept) => kept.sent.unconfirmed() <= kept.sent_max,
            None => is_said,
        };
        if !is_reachable {
            self.unreachable.push(worker);
        }
    }

    /// Answers a hello, which is no part of what is counted.
    pub(crate) fn welcome(&self, worker: WorkerId, welcome: Welcome) {
        let message = CoordinatorMessage { received: 0, kind: Some(Kind::Welcome(welcome)) };
        let _broken = self.attached.get(&worker).map(|entry| entry.say(message));
    }

    /// Gives all workers that may come back a sign of life: they look for another stream when they miss it.
    pub(crate) fn beat(&mut self) {
        let listening =
            self.attached.iter().filter(|(_, worker)| worker.kept.is_some() && worker.outbox.is_some());
        for worker in listening.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.send(worker, Kind::Heartbeat(Heartbeat {}));
        }
    }

    /// Tells all workers that know a job that it has ended.
    pub(crate) fn end_job(&mut self, job: JobId) {
        let knowing =
            self.attached.iter_mut().filter_map(|(id, worker)| worker.jobs.remove(&job).then_some(*id));
        for worker in knowing.collect::<Vec<_>>() {
            self.send(worker, Kind::JobEnded(JobEnded { job_id: job.0 }));
        }
    }

    /// Sends functions of a job to all workers that know it; the others get them when they are told of it.
    pub(crate) fn add_functions(&mut self, job: JobId, list: &FunctionList) {
        let knowing = self.attached.iter().filter(|(_, worker)| worker.jobs.contains(&job));
        for worker in knowing.map(|(id, _)| *id).collect::<Vec<_>>() {
            let added = FunctionsAdded { job_id: job.0, functions: Some(list.clone()) };
            self.send(worker, Kind::FunctionsAdded(added));
        }
    }

    /// Ends a worker's stream with a reason.
    pub(crate) fn refuse(&mut self, worker: WorkerId, status: Status) {
        if let Some(outbox) = self.attached.get(&worker).and_then(|entry| entry.outbox.as_ref()) {
            outbox.put(Err(status));
        }
        self.unreachable.push(worker);
    }

    /// A worker that could not be reached since the last call.
    pub(crate) fn next_unreachable(&mut self) -> Option<WorkerId> {
        self.unreachable.pop()
    }

    /// Workers that have been silent for longer than `timeout`.
    pub(crate) fn silent(&self, timeout: Duration, now: Time) -> Vec<WorkerId> {
        let is_silent = |worker: &Worker| clock::between(worker.last_heard, now) > timeout;
        self.attached.iter().filter(|(_, worker)| is_silent(worker)).map(|(id, _)| *id).collect()
    }
}
