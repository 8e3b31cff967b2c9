//! The pool's end of one runner: its socket, its map, and where reading it stands.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::collect::{RunBuilder, Violation};
use super::frame::{HEADER_BYTES, Header, Kind};
use super::map::{NO_FENCE, SlotMap};
use super::outbox::Outbox;
use super::record::{MAX_BODY_BYTES, NO_RECORD, WORD_BYTES};
use super::work::NextTasks;
use crate::child::Child;
use crate::job::Job;

/// Bytes read from a socket at once.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// A frame whose bytes have come to a halt for so long will never be whole: runners write frames in one go, and the pool
/// reads at once.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// A runner and the pool's side of its slot.
#[derive(Debug)]
pub(crate) struct Runner {
    socket: UnixStream,
    map: Arc<SlotMap>,
    /// The process or thread that serves the slot.
    pub(crate) child: Child,
    /// Received and not yet taken up, and when it last grew.
    inbox: BytesMut,
    received: Instant,
    /// To be sent.
    outbox: Outbox,
    /// Jobs whose function was sent, and how much of each one's list of functions.
    loaded: BTreeMap<u64, usize>,
    /// Sequence number of the next task to send.
    next_sequence: u64,
    /// Sequence number of the next outcome to read, and where in the area it will stand.
    next_outcome: u64,
    area_offset: usize,
    /// The task whose record did not fit into the area last; 0 before the first.
    full_at: u64,
    started: Instant,
    /// It has loaded its function.
    pub(crate) is_ready: bool,
    /// Tasks sent to it over its life.
    pub(crate) tasks_sent: u64,
}

/// What became of waiting for a runner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something was sent or received.
    Some,
    /// The runner has closed its end: it is dead or dying.
    Closed,
}

impl Runner {
    pub(crate) fn new(
        socket: std::os::unix::net::UnixStream,
        map: SlotMap,
        child: Child,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixStream::from_std(socket)?,
            map: Arc::new(map),
            child,
            inbox: BytesMut::new(),
            received: Instant::now(),
            outbox: Outbox::default(),
            loaded: BTreeMap::new(),
            next_sequence: 1,
            next_outcome: 1,
            area_offset: 0,
            full_at: 0,
            started: Instant::now(),
            is_ready: false,
            tasks_sent: 0,
        })
    }

    /// Sends what waits and receives what has come. May be dropped while it waits.
    pub(crate) async fn progress(&mut self) -> Progress {
        let interest =
            if self.outbox.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = tokio::select! {
            ready = self.socket.ready(interest) => ready,
            // Its socket may still be open in a process that it has left behind.
            _ = self.child.exited() => return Progress::Closed,
        };
        let Ok(ready) = ready else { return Progress::Closed };
        let mut is_closed = false;
        if ready.is_writable() && !self.outbox.is_empty() {
            match self.socket.try_write(self.outbox.chunk()) {
                Ok(written) => self.outbox.advance(written),
                Err(error) => is_closed |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if ready.is_readable() {
            self.inbox.reserve(READ_BYTES);
            match self.socket.try_read_buf(&mut self.inbox) {
                Ok(read) => {
                    is_closed |= read == 0;
                    self.received = Instant::now();
                }
                Err(error) => is_closed |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        if is_closed { Progress::Closed } else { Progress::Some }
    }

    /// Receives all that is left of a runner that has ended.
    pub(crate) fn drain(&mut self) {
        while matches!(self.socket.try_read_buf(&mut self.inbox), Ok(read) if read > 0) {
            self.inbox.reserve(READ_BYTES);
        }
    }

    /// Whether the runner has stopped in the middle of a frame: what follows could not be told from the rest of it.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.inbox.is_empty() && self.received.elapsed() > FRAME_TIMEOUT
    }

    /// The next whole frame that was received.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(Header, Bytes)>, Violation> {
        let Some(bytes) = self.inbox.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(bytes)?;
        if header.length > (MAX_BODY_BYTES + HEADER_BYTES) as u64 {
            return Err(Violation::FrameTooLarge(header.length));
        }
        let length = header.length as usize;
        if self.inbox.len() < HEADER_BYTES + length {
            // Memory grows with what arrives, not with what is announced.
            return Ok(None);
        }
        self.inbox.advance(HEADER_BYTES);
        Ok(Some((header, self.inbox.split_to(length).freeze())))
    }

    /// Bytes received and not yet taken up, and the memory held for them and what follows.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn inbox_bytes(&self) -> (usize, usize) {
        (self.inbox.len(), self.inbox.capacity())
    }

    /// Notes that the runner has loaded a function; returns the time since its start if it is the first.
    pub(crate) fn ready(&mut self) -> Option<Duration> {
        let was_ready = std::mem::replace(&mut self.is_ready, true);
        (!was_ready).then(|| self.started.elapsed())
    }

    /// Has the function of a job loaded, unless that was done already.
    pub(crate) fn load(&mut self, job: &Job) {
        if let Entry::Vacant(new) = self.loaded.entry(job.id) {
            new.insert(0);
            let (function, length) = (job.id as u32, job.function.len() as u64);
            let header = Header { function, length, ..Header::new(Kind::Function) };
            self.outbox.tail().put_slice(&header.encode());
            self.outbox.tail().put_slice(&job.function);
        }
    }

    /// Whether the runner still holds what it has loaded for a job.
    pub(crate) fn has_loaded(&self, job_id: u64) -> bool {
        self.loaded.contains_key(&job_id)
    }

    /// Sends what the socket takes at once: a runner whose turn has not come yet can so load its function.
    pub(crate) fn send_now(&mut self) {
        // Nobody waits on this socket yet, so tokio does not know that it can be written to.
        while let Ok(written) = nix::unistd::write(&self.socket, self.outbox.chunk()) {
            self.outbox.advance(written);
            if self.outbox.is_empty() {
                return;
            }
        }
    }

    /// Sequence number of the next task to send.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Sends what is new in the job's list of functions.
    fn define(&mut self, job: &Job) {
        let sent = self.loaded.entry(job.id).or_default();
        for body in job.functions.from(*sent) {
            let (function, index) = (job.id as u32, *sent as u64);
            let header = Header { function, index, length: body.len() as u64, ..Header::new(Kind::Define) };
            self.outbox.tail().put_slice(&header.encode());
            self.outbox.tail().put_slice(&body);
            *sent += 1;
        }
    }

    /// Sends tasks, and before them the functions that they may name.
    pub(crate) fn send(&mut self, tasks: &NextTasks<'_>) {
        self.define(tasks.job);
        let count = tasks.lengths.len();
        let commas = if tasks.job.joins_payloads { count.saturating_sub(1) } else { 0 };
        let length = size_of_val(tasks.lengths) + tasks.payloads.len() + commas;
        let header = Header {
            function: tasks.job.id as u32,
            count: count as u32,
            attempt: tasks.attempt,
            sequence: self.next_sequence,
            index: tasks.index,
            length: length as u64,
            ..Header::new(Kind::Batch)
        };
        self.outbox.tail().put_slice(&header.encode());
        tasks.lengths.iter().for_each(|length| self.outbox.tail().put_u32_le(*length));
        if tasks.job.joins_payloads {
            put_joined(self.outbox.tail(), tasks);
        } else {
            self.outbox.put(tasks.payloads.clone());
        }
        self.next_sequence += count as u64;
        self.tasks_sent += count as u64;
    }

    /// Tells the runner that its area was read.
    fn send_drained(&mut self) {
        self.outbox.tail().put_slice(&Header::new(Kind::Drained).encode());
    }

    /// Hangs up, which tells the runner to end, and hands over its child to be waited for.
    pub(crate) fn into_child(self) -> Child {
        self.child
    }

    /// Interrupts the task that runs, and kills it after a grace period.
    pub(crate) async fn interrupt(self) {
        // Whatever the interrupted task does, none follows it.
        self.map.set_fence(0);
        self.into_child().interrupt().await;
    }

    /// Kills the runner in the middle of whatever it does. A thread cannot be killed, but the command that it waits for
    /// can, with all that this has started; none follows it.
    pub(crate) fn kill(&self) {
        self.map.set_fence(0);
        self.child.kill();
    }

    /// The map, to set fences from another thread.
    pub(crate) fn map(&self) -> &Arc<SlotMap> {
        &self.map
    }

    /// Sequence of the task begun last, but not beyond what was ever sent.
    pub(crate) fn begun(&self) -> u64 {
        self.map.begun().min(self.next_sequence - 1)
    }

    /// Sequence number of the next outcome to read.
    pub(crate) fn next_outcome(&self) -> u64 {
        self.next_outcome
    }

    /// Reads the outcomes below `sequence`, of which all must be written.
    pub(crate) fn collect(&mut self, sequence: u64, run: &mut RunBuilder) -> Result<(), Violation> {
        while self.next_outcome < sequence {
            self.area_offset = run.take(&self.map, self.area_offset)?;
            self.next_outcome += 1;
        }
        Ok(())
    }

    /// So many of the tasks that were sent did not run, and count for nothing.
    pub(crate) fn uncount(&mut self, void: u64) {
        self.tasks_sent = self.tasks_sent.saturating_sub(void);
    }

    /// The tasks below `sequence` that have no outcome did not run: their numbers are used up.
    pub(crate) fn skip_outcomes(&mut self, sequence: u64) {
        self.next_outcome = self.next_outcome.max(sequence);
    }

    /// Takes the outcome that came in a frame; a failure in its place if no message can carry it.
    pub(crate) fn collect_large(
        &mut self,
        record: Bytes,
        max_message_bytes: usize,
        run: &mut RunBuilder,
    ) -> Result<(), Violation> {
        if self.full_at != self.next_outcome || self.area_offset != 0 {
            return Err(Violation::OutOfTurn("an outcome in a frame"));
        }
        run.take_large(record, max_message_bytes)?;
        self.next_outcome += 1;
        self.area_offset = WORD_BYTES;
        Ok(())
    }

    /// All outcomes in the area were read: the runner may write from its beginning. It asks for that once for each record that
    /// does not fit; a runner that did nothing else would fill the outbox.
    pub(crate) fn reset_area(&mut self, sequence: u64) -> Result<(), Violation> {
        if std::mem::replace(&mut self.full_at, sequence) == sequence {
            return Err(Violation::OutOfTurn("again that its area is full"));
        }
        self.area_offset = 0;
        let written = self.map.write_area(0, &NO_RECORD);
        debug_assert!(written, "the area is larger than a word");
        self.send_drained();
        Ok(())
    }

    /// Whether the next outcome, of a task that has ended, does not lie in the area: it comes in a frame.
    pub(crate) fn next_comes_in_a_frame(&self) -> bool {
        let mut word = Vec::new();
        self.full_at > 0
            && self.area_offset == 0
            && self.map.read_area(0, WORD_BYTES, &mut word)
            && word == NO_RECORD
    }

    /// Lets no task from `sequence` on begin.
    pub(crate) fn set_fence(&self, sequence: u64) {
        self.map.set_fence(sequence);
    }

    /// Takes the fence away. Nothing sent before may be waiting behind it.
    pub(crate) fn lift_fence(&self) {
        self.map.set_fence(NO_FENCE);
    }
}

fn put_joined(out: &mut BytesMut, tasks: &NextTasks<'_>) {
    let mut payloads = &tasks.payloads[..];
    for (place, length) in tasks.lengths.iter().enumerate() {
        if place > 0 {
            out.put_u8(b',');
        }
        let (payload, rest) = payloads.split_at_checked(*length as usize).unwrap_or((payloads, &[]));
        out.put_slice(payload);
        payloads = rest;
    }
}
