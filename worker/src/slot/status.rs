//! What may be seen of a slot without asking it: for the memory guard.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::child::Child;
use crate::memory::guard::SlotUse;
use crate::os;

/// Shared by a slot, which writes, and the pool, which looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// Who serves the slot.
    child: Option<Child>,
    attempt_started: Option<Instant>,
}

impl Status {
    /// Who serves the slot from now on, if anybody.
    pub(crate) fn set_child(&self, child: Option<Child>) {
        self.change(|seen| *seen = Seen { child, attempt_started: None });
    }

    /// When the attempt that runs was begun.
    pub(crate) fn set_attempt(&self, started: Option<Instant>) {
        self.change(|seen| seen.attempt_started = started);
    }

    /// When the attempt that runs was begun, if one runs.
    pub(crate) fn attempt_started(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).attempt_started
    }

    /// Whether an attempt runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.attempt_started().is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the slot takes of the machine's memory; `None` if no process of its own serves it.
    pub(crate) fn memory(&self, slot: usize) -> Option<SlotUse> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let process = seen.child.as_ref()?.process()?;
        Some(SlotUse { slot, rss_bytes: os::rss_bytes(process)?, attempt_started: seen.attempt_started })
    }
}
