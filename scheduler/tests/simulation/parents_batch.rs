//! What a relay does with one batch of its parent: pieces one after the other, so that outcomes come in the batch's order, a
//! death has nothing behind it, and what was not given to a piece yet can be given back at once.

use poolmap_scheduler::{Action, BatchId, Event, JobId, WorkerId};

use crate::relay::Relay;

/// Slot time that a relay's idea of a task's time rests on.
const PACE_WINDOW_NS: u64 = 1_000_000_000;

/// A batch of the parent. Its tasks are in order: ended, in the piece that is below, waiting.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) job: JobId,
    pub(crate) first: u64,
    pub(crate) length: u32,
    pub(crate) attempt: u32,
    pub(crate) ended: u32,
    has_begun: bool,
    /// Ended, but the parent was not told yet.
    pub(crate) unsaid: u32,
    unsaid_busy_ns: u64,
    unsaid_failed: Vec<u32>,
    pub(crate) said_at: u64,
    pub(crate) piece: Option<Piece>,
    /// Tasks that the parent asked for and a worker was asked for.
    owed: u32,
    is_stopped: bool,
}

/// The part of a batch that the relay's scheduler knows of.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) job: JobId,
    /// Place in the batch.
    pub(crate) first: u32,
    pub(crate) length: u32,
    pub(crate) ended: u32,
    pub(crate) busy_ns: u64,
    /// The worker that has it, and what it is called there.
    pub(crate) at: Option<(WorkerId, BatchId)>,
    pub(crate) has_begun: bool,
}

impl Held {
    pub(crate) fn new(job: JobId, first: u64, length: u32, attempt: u32, now: u64) -> Self {
        Self {
            job,
            first,
            length,
            attempt,
            ended: 0,
            has_begun: false,
            unsaid: 0,
            unsaid_busy_ns: 0,
            unsaid_failed: Vec::new(),
            said_at: now,
            piece: None,
            owed: 0,
            is_stopped: false,
        }
    }

    /// Tasks that are in no piece.
    fn waiting(&self) -> u32 {
        self.length - self.piece.as_ref().map_or(self.ended, |piece| piece.first + piece.length)
    }
}

type Key = (WorkerId, BatchId);

impl Relay {
    fn batch(&mut self, key: Key) -> &mut Held {
        self.held.get_mut(&key).expect("the batch is held")
    }

    fn piece(&mut self, key: Key) -> &mut Piece {
        self.batch(key).piece.as_mut().expect("a piece is below")
    }

    /// What follows when no piece is below: the next one, or the end.
    pub(super) fn go_on(&mut self, key: Key) {
        let held = self.batch(key);
        if held.ended < held.length && !held.is_stopped {
            self.submit(key);
            return;
        }
        self.flush(key);
        let held = self.batch(key);
        if held.is_stopped || held.owed > 0 {
            // It is shorter than the parent knows.
            self.say_returned(key);
        }
        self.held.remove(&key);
    }

    /// The piece is over, or is to be none any more; its own scheduler hears that its one task is.
    fn end_piece(&mut self, key: Key) {
        let Some(piece) = self.batch(key).piece.take() else { return };
        self.pieces.remove(&piece.job);
        if let Some((worker, batch)) = piece.at.filter(|_| piece.has_begun) {
            self.below.remove(&batch);
            self.tell(Event::Ended { worker, batch, count: 1, busy_ns: piece.busy_ns, failed: Vec::new() });
            return;
        }
        if let Some((_, batch)) = piece.at {
            self.below.remove(&batch);
        }
        self.tell(Event::JobCancelled { job: piece.job, kills_running: false });
        if let Some((worker, batch)) = piece.at {
            self.tell(Event::Returned { worker, batch, length: 0 });
        }
    }

    pub(super) fn begun(&mut self, key: Key) {
        let piece = self.piece(key);
        let is_new = !std::mem::replace(&mut piece.has_begun, true);
        if let Some((worker, batch)) = piece.at.filter(|_| is_new) {
            self.tell(Event::Begun { worker, batch });
        }
        if !std::mem::replace(&mut self.batch(key).has_begun, true) {
            self.sent.up.push(Event::Begun { worker: key.0, batch: key.1 });
        }
    }

    pub(super) fn ended(&mut self, key: Key, count: u32, busy_ns: u64, failed: &[u32]) {
        self.begun(key);
        let piece = self.piece(key);
        piece.ended += count;
        piece.busy_ns += busy_ns;
        let is_over = piece.ended == piece.length;
        let held = self.batch(key);
        held.unsaid_failed.extend(failed.iter().map(|offset| held.unsaid + offset));
        held.ended += count;
        held.unsaid += count;
        held.unsaid_busy_ns += busy_ns;
        let job = held.job;
        let pace = self.paces.entry(job).or_default();
        if pace.0 > PACE_WINDOW_NS {
            *pace = (pace.0 / 2, pace.1 / 2);
        }
        *pace = (pace.0 + busy_ns, pace.1 + u64::from(count));
        if is_over {
            self.end_piece(key);
            self.go_on(key);
        } else if self.now >= self.batch(key).said_at + self.rank.flush_ns {
            self.flush(key);
        }
    }

    pub(super) fn flush(&mut self, key: Key) {
        let now = self.now;
        let held = self.batch(key);
        if held.unsaid > 0 {
            let (count, busy_ns) =
                (std::mem::take(&mut held.unsaid), std::mem::take(&mut held.unsaid_busy_ns));
            let failed = std::mem::take(&mut held.unsaid_failed);
            held.said_at = now;
            self.sent.up.push(Event::Ended { worker: key.0, batch: key.1, count, busy_ns, failed });
        }
    }

    /// The parent hears how long the batch is now.
    fn say_returned(&mut self, key: Key) {
        self.flush(key);
        let held = self.batch(key);
        let length = if held.is_stopped { held.ended } else { held.length };
        self.sent.up.push(Event::Returned { worker: key.0, batch: key.1, length });
    }

    /// A worker gave tasks back: because the parent wants them, or wants the batch stopped, because the relay's scheduler has a
    /// better place for the whole piece, or because the worker leaves.
    pub(super) fn returned(&mut self, key: Key, length: u32) {
        let held = self.batch(key);
        let (is_stopped, is_owed) = (held.is_stopped, std::mem::take(&mut held.owed) > 0);
        let piece = self.piece(key);
        let (is_over, has_begun, at) = (length == piece.ended, piece.has_begun, piece.at);
        let (is_whole, new_end) = (length == 0 && !has_begun, piece.first + length);
        if is_whole && !is_stopped && !is_owed {
            piece.at = None;
            if let Some((worker, batch)) = at {
                self.below.remove(&batch);
                self.tell(Event::Returned { worker, batch, length: 0 });
            }
            return;
        }
        piece.length = length;
        if is_owed {
            self.batch(key).length = new_end;
            self.say_returned(key);
        }
        if is_over {
            self.end_piece(key);
            self.go_on(key);
        } else if let Some((worker, batch)) = at {
            self.tell(Event::Returned { worker, batch, length: 1 });
        }
    }

    /// A child died in a piece: so it did in the batch, and nothing behind it has begun.
    pub(super) fn died(&mut self, key: Key, is_evicted: bool) {
        self.begun(key);
        self.end_piece(key);
        self.say_died(key, is_evicted);
    }

    fn say_died(&mut self, key: Key, is_evicted: bool) {
        self.flush(key);
        let ((worker, batch), offset) = (key, self.batch(key).ended);
        self.sent.up.push(if is_evicted {
            Event::Evicted { worker, batch, offset }
        } else {
            Event::Crashed { worker, batch, offset }
        });
        self.held.remove(&key);
    }

    /// The parent wants tasks back: those that wait first, then such of the piece as have not begun.
    pub(super) fn take_back(&mut self, key: Key, count: u32) {
        let Some(held) = self.held.get_mut(&key).filter(|held| !held.is_stopped) else { return };
        let given = count.min(held.waiting());
        held.length -= given;
        let rest = count - given;
        match held.piece.as_ref().map(|piece| piece.at) {
            Some(Some((worker, batch))) if rest > 0 => {
                held.owed = rest;
                let order = Action::TakeBack { worker, batch, count: rest };
                self.sent.down.push((worker, order));
            }
            Some(None) if rest > 0 => self.give_back_queued(key, rest),
            _ => self.say_returned(key),
        }
    }

    /// The piece waits for a worker: it is cut anew from what is left.
    fn give_back_queued(&mut self, key: Key, count: u32) {
        self.end_piece(key);
        let held = self.batch(key);
        held.length -= count.min(held.length - held.ended);
        self.say_returned(key);
        self.go_on(key);
    }

    /// Begins nothing more of a batch, and ends what runs.
    pub(super) fn stop(&mut self, key: Key) {
        let Some(held) = self.held.get_mut(&key) else { return };
        held.is_stopped = true;
        if let Some((worker, batch)) = held.piece.as_ref().and_then(|piece| piece.at) {
            self.sent.down.push((worker, Action::Stop { worker, batch }));
        } else {
            self.end_piece(key);
            self.go_on(key);
        }
    }

    /// Pieces that had begun on the worker end their batches, with blame if there is any; the others go to somebody else.
    pub(super) fn worker_left(&mut self, id: WorkerId, is_blamed: bool) {
        let is_draining = self.checked.ledger.workers.get(&id).is_none_or(|worker| worker.is_draining);
        let lost: Vec<_> = self.below.values().copied().collect();
        let mut cut = Vec::new();
        for key in lost {
            let Some((_, batch)) = self.piece(key).at.filter(|(worker, _)| *worker == id) else { continue };
            self.note_causes(key);
            self.below.remove(&batch);
            let (has_begun, job) = (self.piece(key).has_begun, self.piece(key).job);
            let held = self.batch(key);
            if has_begun || held.is_stopped || held.owed > 0 {
                held.piece = None;
                self.pieces.remove(&job);
                self.tell(Event::JobCancelled { job, kills_running: false });
                cut.push((key, has_begun));
            } else {
                self.piece(key).at = None;
            }
        }
        self.tell(Event::WorkerLeft { worker: id, is_blamed });
        for (key, has_begun) in cut {
            self.lost_piece(key, has_begun, is_blamed && !is_draining);
        }
    }

    fn lost_piece(&mut self, key: Key, has_begun: bool, is_blamed: bool) {
        let owed = std::mem::take(&mut self.batch(key).owed);
        if self.batch(key).is_stopped {
            self.go_on(key);
        } else if !has_begun {
            self.give_back_queued(key, owed);
        } else if is_blamed {
            self.say_died(key, false);
        } else {
            // The protocol has no word for a task that was lost without blame: it is given back, which says the same.
            let held = self.batch(key);
            held.length = held.ended;
            self.say_returned(key);
            self.held.remove(&key);
        }
    }

    fn note_causes(&mut self, key: Key) {
        let held = &self.held[&key];
        let piece = held.piece.as_ref().expect("the piece was below");
        let tasks = piece.first + piece.ended..piece.first + piece.length;
        self.causes.extend(tasks.map(|offset| (held.job, held.first + u64::from(offset))));
    }
}
