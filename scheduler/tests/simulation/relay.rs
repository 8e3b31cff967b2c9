//! The model of a relay: a coordinator that is attached to another one, its parent, as if it were a worker. A real scheduler
//! decides where things run below it; what is here is the mapping between the two, which `docs/scaling.md` describes.
//!
//! A batch of the parent is cut into *pieces*, of which one at a time is below. To the relay's own scheduler a piece is a job
//! of one task, so that it is never split, waits for whoever has room, and moves whole while it has not begun.

use std::collections::BTreeMap;

use poolmap_scheduler::{Action, BatchId, ClassId, Config, Event, JobId, JobOptions, Time, WorkerId};

use crate::checked::Checked;
use crate::parents_batch::{Held, Piece};

/// How a relay is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rank {
    /// The relay it is attached to; the root if none.
    pub(crate) post: Option<usize>,
    /// What it offers: the slots of all that belong below it.
    pub(crate) slots: u32,
    pub(crate) class: ClassId,
    /// One way of its connection to its parent.
    pub(crate) delay_ns: u64,
    /// Time that a piece should take.
    pub(crate) piece_ns: u64,
    /// Outcomes travel on together when so much time has passed, or the batch is over.
    pub(crate) flush_ns: u64,
}

/// What a relay sends because of what it heard.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// To its parent, each under the attachment whose batch it is about.
    pub(crate) up: Vec<Event>,
    /// To its workers.
    pub(crate) down: Vec<(WorkerId, Action)>,
}

pub(crate) struct Relay {
    pub(crate) rank: Rank,
    /// Its name at its parent.
    pub(crate) attachment: WorkerId,
    pub(crate) checked: Checked,
    /// It is not attached, or its parent does not hear it.
    pub(crate) is_away: bool,
    pub(crate) flush_planned_at: Option<u64>,
    pub(super) now: u64,
    pub(super) sent: Sent,
    pub(super) held: BTreeMap<(WorkerId, BatchId), Held>,
    /// Batches of its own in flight, by what they are a piece of.
    pub(super) below: BTreeMap<BatchId, (WorkerId, BatchId)>,
    /// The jobs of its own scheduler.
    pub(super) pieces: BTreeMap<JobId, (WorkerId, BatchId)>,
    pub(super) last_piece: u64,
    /// Slot time and number of the tasks that have ended, of each job.
    pub(super) paces: BTreeMap<JobId, (u64, u64)>,
    /// Tasks of which an attempt may have begun on a worker that is gone.
    pub(crate) causes: Vec<(JobId, u64)>,
}

impl Relay {
    pub(crate) fn new(rank: Rank, attachment: WorkerId) -> Self {
        Self {
            rank,
            attachment,
            checked: Checked::new(Config::default()),
            is_away: true,
            flush_planned_at: None,
            now: 0,
            sent: Sent::default(),
            held: BTreeMap::new(),
            below: BTreeMap::new(),
            pieces: BTreeMap::new(),
            last_piece: 0,
            paces: BTreeMap::new(),
            causes: Vec::new(),
        }
    }

    /// An order of its parent.
    pub(crate) fn obey(&mut self, now: u64, order: &Action) -> Sent {
        self.now = now;
        match *order {
            Action::Assign { worker, batch, job, first, count, attempt } => {
                let key = (worker, batch);
                self.held.insert(key, Held::new(job, first, count, attempt, now));
                self.go_on(key);
            }
            Action::TakeBack { worker, batch, count } => self.take_back((worker, batch), count),
            Action::Stop { worker, batch } => self.stop((worker, batch)),
            _ => {}
        }
        std::mem::take(&mut self.sent)
    }

    /// A report of one of its workers, or its own clock.
    pub(crate) fn hear(&mut self, now: u64, event: Event) -> Sent {
        self.now = now;
        match event {
            Event::Begun { worker, batch } => {
                self.with_piece(worker, batch, |_| true, Self::begun);
            }
            Event::Ended { worker, batch, count, busy_ns, failed } => {
                let fits = |piece: &Piece| (1..=piece.length - piece.ended).contains(&count);
                self.with_piece(worker, batch, fits, |relay, key| relay.ended(key, count, busy_ns, &failed));
            }
            Event::Returned { worker, batch, length } => {
                let fits = |piece: &Piece| (piece.ended..=piece.length).contains(&length);
                self.with_piece(worker, batch, fits, |relay, key| relay.returned(key, length));
            }
            Event::Crashed { worker, batch, offset } => {
                let fits = |piece: &Piece| offset == piece.ended;
                self.with_piece(worker, batch, fits, |relay, key| relay.died(key, false));
            }
            Event::Evicted { worker, batch, offset } => {
                let fits = |piece: &Piece| offset == piece.ended;
                self.with_piece(worker, batch, fits, |relay, key| relay.died(key, true));
            }
            Event::WorkerLeft { worker, is_blamed } => self.worker_left(worker, is_blamed),
            other => self.tell(other),
        }
        std::mem::take(&mut self.sent)
    }

    /// Passes on what has waited for long enough.
    pub(crate) fn flush_due(&mut self, now: u64) -> Sent {
        self.now = now;
        let is_due = |held: &Held| held.unsaid > 0 && now >= held.said_at + self.rank.flush_ns;
        let due: Vec<_> = self.held.iter().filter(|(_, held)| is_due(held)).map(|(&key, _)| key).collect();
        for key in due {
            self.flush(key);
        }
        std::mem::take(&mut self.sent)
    }

    /// When to call [`Self::flush_due`].
    pub(crate) fn next_flush(&self) -> Option<u64> {
        let waiting = self.held.values().filter(|held| held.unsaid > 0);
        waiting.map(|held| held.said_at + self.rank.flush_ns).min()
    }

    /// Its parent has given it up: nothing that it holds counts any more.
    pub(crate) fn forsake(&mut self, now: u64, attachment: WorkerId) -> Sent {
        self.now = now;
        for key in self.held.keys().copied().collect::<Vec<_>>() {
            self.stop(key);
        }
        self.attachment = attachment;
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn assert_at_rest(&self) {
        let totals = self.checked.scheduler.totals();
        assert_eq!((totals.jobs, totals.batches), (0, 0), "no relay has work left");
        assert!(self.held.is_empty() && self.below.is_empty() && self.pieces.is_empty());
    }

    /// A report counts if its worker has that batch, and the batch such tasks.
    fn with_piece(
        &mut self,
        worker: WorkerId,
        batch: BatchId,
        fits: impl Fn(&Piece) -> bool,
        act: impl FnOnce(&mut Self, (WorkerId, BatchId)),
    ) {
        let Some(&key) = self.below.get(&batch) else { return };
        let piece = self.held[&key].piece.as_ref();
        if piece.is_some_and(|piece| piece.at == Some((worker, batch)) && fits(piece)) {
            act(self, key);
        }
    }

    /// Tells its own scheduler something, and carries out what that decides.
    pub(super) fn tell(&mut self, event: Event) {
        for action in self.checked.handle(Time(self.now), event).to_vec() {
            match action {
                Action::Assign { worker, batch, job, .. } => self.send_piece(worker, batch, job),
                Action::TakeBack { worker, batch, .. } => {
                    // The whole piece, or of one that has begun what is left: it is not run elsewhere before this part has ended.
                    if let Some(count) = self.piece_below(batch).map(|piece| piece.length) {
                        self.sent.down.push((worker, Action::TakeBack { worker, batch, count }));
                    }
                }
                _ => {}
            }
        }
    }

    fn piece_below(&self, batch: BatchId) -> Option<&Piece> {
        self.held[self.below.get(&batch)?].piece.as_ref()
    }

    fn send_piece(&mut self, worker: WorkerId, batch: BatchId, piece_job: JobId) {
        let key = self.pieces[&piece_job];
        let held = self.held.get_mut(&key).expect("a piece is of a batch");
        let piece = held.piece.as_mut().expect("the batch has this piece");
        piece.at = Some((worker, batch));
        self.below.insert(batch, key);
        let (job, first, attempt) = (held.job, held.first + u64::from(piece.first), held.attempt);
        let count = piece.length;
        self.sent.down.push((worker, Action::Assign { worker, batch, job, first, count, attempt }));
    }

    /// Hands its own scheduler the next piece of a batch.
    pub(super) fn submit(&mut self, key: (WorkerId, BatchId)) {
        self.last_piece += 1;
        let job = JobId(self.last_piece);
        self.pieces.insert(job, key);
        let held = self.held.get_mut(&key).expect("the batch is held");
        let (busy_ns, count) = self.paces.get(&held.job).copied().unwrap_or_default();
        let rest = held.length - held.ended;
        let in_time = (self.rank.piece_ns * count).checked_div(busy_ns).unwrap_or(u64::MAX);
        let length = in_time.clamp(1, u64::from(rest)) as u32;
        held.piece =
            Some(Piece { job, first: held.ended, length, ended: 0, busy_ns: 0, at: None, has_begun: false });
        self.tell(Event::JobSubmitted { job, options: JobOptions::default() });
        self.tell(Event::TasksAdded { job, count: 1 });
        self.tell(Event::JobClosed { job });
    }
}
