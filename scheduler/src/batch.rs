//! One batch in flight. Its tasks run in order, so that a few numbers are its whole state.

use crate::event::{BatchId, JobId, Time, WorkerId};
use crate::ranges::Range;
use crate::takeback::Place;
use crate::tries::{End, Tries};

/// How far a batch has come, by what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It was sent ahead, behind one batch for each slot.
    Ahead,
    /// A slot was free for it: it begins when it arrives.
    Starting,
    /// The worker said that its first task runs or has ended.
    Begun,
}

/// What the worker was asked to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Nothing that matters any more.
    None,
    /// Something, and it has not answered.
    Open,
    /// Something, and it had nothing to give; no task has ended since.
    InVain,
}

/// Tasks that were handed to a worker and have not all ended.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) job: JobId,
    pub(crate) worker: WorkerId,
    /// Its tasks; the count is the batch's length, which only shrinks.
    pub(crate) range: Range,
    pub(crate) tries: Tries,
    /// Highest number of any attempt of its first task, those of a copy included.
    pub(crate) last_attempt: u32,
    /// Tasks that have ended, from the front.
    pub(crate) done: u32,
    pub(crate) stage: Stage,
    pub(crate) question: Question,
    /// Place among the candidates for taking back.
    pub(crate) place: Option<Place>,
    /// Place among the job's tasks that may be late.
    pub(crate) watched_since: Option<Time>,
    /// The batch that runs its one task too. One of them is the copy; nothing else tells them apart.
    pub(crate) twin: Option<BatchId>,
    /// It is or was one of two: enough copies were made.
    pub(crate) was_copied: bool,
    /// Its twin was faster: only its slot is waited for. The job may be done and forgotten.
    pub(crate) is_void: bool,
    pub(crate) assigned_at: Time,
    /// When it was assigned, began, or last had a task end.
    pub(crate) progress_at: Time,
    /// Slot time of the tasks that have ended.
    pub(crate) busy_ns: u64,
    /// Slot time that the job was charged for the tasks that have not ended.
    pub(crate) charged_ns: u64,
}

impl Batch {
    /// A batch that was handed out just now.
    pub(crate) fn new(now: Time, job: JobId, worker: WorkerId, (range, tries): (Range, Tries)) -> Self {
        Self {
            job,
            worker,
            range,
            tries,
            last_attempt: tries.attempt,
            done: 0,
            stage: Stage::Starting,
            question: Question::None,
            place: None,
            watched_since: None,
            twin: None,
            was_copied: false,
            is_void: false,
            assigned_at: now,
            progress_at: now,
            busy_ns: 0,
            charged_ns: 0,
        }
    }

    /// What is known of its first task when it runs again after this attempt ended so.
    pub(crate) fn next_tries(&self, end: End) -> Tries {
        Tries { attempt: self.last_attempt.saturating_add(1), ..self.tries.with(end) }
    }

    /// Tasks that have not ended.
    pub(crate) fn remaining(&self) -> u32 {
        self.range.count - self.done
    }

    /// Those tasks.
    pub(crate) fn rest(&self) -> Range {
        self.range.after(self.done)
    }

    /// Tasks that have surely not begun by what is known; the first of a batch that is not behind another one
    /// counts as begun, since it begins as soon as it arrives.
    pub(crate) fn surplus(&self) -> u32 {
        match self.stage {
            Stage::Ahead => self.remaining(),
            Stage::Starting | Stage::Begun => self.remaining().saturating_sub(1),
        }
    }

    /// Most tasks that may not have begun, by what is known.
    pub(crate) fn maybe_unbegun(&self) -> u32 {
        match self.stage {
            Stage::Ahead | Stage::Starting => self.remaining(),
            Stage::Begun => self.remaining().saturating_sub(1),
        }
    }

    /// Takes the charge for `count` tasks that have not ended off the batch, and returns it.
    pub(crate) fn uncharge(&mut self, count: u32) -> u64 {
        let share = u128::from(self.charged_ns) * u128::from(count) / u128::from(self.remaining().max(1));
        self.charged_ns = self.charged_ns.saturating_sub(share as u64);
        share as u64
    }

    /// Notes that something moved in it.
    pub(crate) fn progressed(&mut self, now: Time) {
        self.stage = Stage::Begun;
        if self.question == Question::InVain {
            self.question = Question::None;
        }
        self.progress_at = now;
    }
}
