//! Reports and requests that must have no effect, made from what is in flight.

use std::collections::BTreeMap;

use poolmap_scheduler::{BatchId, Event, JobId, JobOptions, WorkerId};

use crate::ledger::Ledger;
use crate::rng::Rng;

/// What a schedule is meant to try, and how often it happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    pub(crate) fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// Everything that happened, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(&what, &times)| (what, times))
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }
}

/// An event that means nothing or contradicts what is known.
pub(crate) fn garbage(ledger: &Ledger, rng: &mut Rng) -> Event {
    let in_flight: Vec<_> = ledger.batches.iter().collect();
    match rng.pick(&in_flight) {
        Some(&(&id, batch)) if rng.percent(80) => {
            let (worker, stranger) = (batch.worker, WorkerId(u64::MAX));
            let too_many = batch.length - batch.done + 1 + rng.below(3) as u32;
            match rng.below(12) {
                8 => Event::Ended { worker, batch: id, count: 1, busy_ns: 1, failed: vec![1] },
                9 => Event::Ended { worker, batch: id, count: 1, busy_ns: 1, failed: vec![0, 0] },
                10 => Event::Evicted { worker, batch: id, offset: batch.done + 1 },
                11 => Event::Evicted { worker: stranger, batch: id, offset: batch.done },
                0 => Event::Ended { worker, batch: id, count: too_many, busy_ns: 1, failed: Vec::new() },
                1 => Event::Ended { worker, batch: id, count: 0, busy_ns: 1, failed: Vec::new() },
                2 => Event::Ended { worker: stranger, batch: id, count: 1, busy_ns: 1, failed: Vec::new() },
                3 => Event::Returned { worker, batch: id, length: batch.length + 1 },
                4 => Event::Returned { worker: stranger, batch: id, length: batch.done },
                5 => Event::Crashed { worker, batch: id, offset: batch.done + 1 },
                6 => Event::Crashed { worker: stranger, batch: id, offset: batch.done },
                _ => Event::Begun { worker: stranger, batch: id },
            }
        }
        _ => nonsense(rng),
    }
}

fn nonsense(rng: &mut Rng) -> Event {
    let (worker, batch, job) = (WorkerId(u64::MAX), BatchId(u64::MAX), JobId(u64::MAX));
    match rng.below(11) {
        8 => Event::Evicted { worker, batch, offset: u32::MAX },
        9 => Event::WorkerDraining { worker },
        10 => Event::JobCancelled { job, kills_running: true },
        0 => Event::Begun { worker, batch },
        1 => Event::Ended { worker, batch, count: u32::MAX, busy_ns: u64::MAX, failed: vec![7, 3] },
        2 => Event::Returned { worker, batch, length: u32::MAX },
        3 => Event::Crashed { worker, batch, offset: u32::MAX },
        4 => Event::WorkerLeft { worker, is_blamed: true },
        5 => Event::TasksAdded { job, count: 5 },
        6 => Event::JobClosed { job },
        _ => Event::JobHeld { job, held: true },
    }
}

/// The name of a job that exists, used again.
pub(crate) fn second_submission(job: JobId) -> Event {
    let options = JobOptions { priority: 9, crash_limit: 9, ..JobOptions::default() };
    Event::JobSubmitted { job, options }
}
