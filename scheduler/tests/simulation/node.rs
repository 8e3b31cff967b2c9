//! A model worker: slots that run batches in the order in which they came, task by task, and say so.

use std::collections::VecDeque;

use poolmap_scheduler::{BatchId, ClassId, Event, JobId, WorkerId};

/// What a worker is like.
#[derive(Clone, Debug)]
pub(crate) struct Nature {
    pub(crate) slots: u32,
    /// Which jobs it may run.
    pub(crate) class: ClassId,
    /// One way of its connection.
    pub(crate) delay_ns: u64,
    /// How many times longer than elsewhere a task takes here.
    pub(crate) slowness: u64,
    /// Ended tasks are reported together when so much time has passed, or the batch is over.
    pub(crate) flush_ns: u64,
}

/// What a task does when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ends,
    Fails,
    Dawdles,
    KillsChild,
    KillsWorker,
}

/// A batch as the worker sees it.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) batch: BatchId,
    pub(crate) job: JobId,
    pub(crate) first: u64,
    pub(crate) length: u32,
    /// Tasks that have ended; while it is in a slot, the next one runs.
    done: u32,
    reported: u32,
    busy_ns: u64,
    /// Of those that have ended and were not reported, counted from the first of them.
    failed: Vec<u32>,
    flushed_at: u64,
    /// Its task was evicted before, so that nothing may run beside it.
    is_alone: bool,
}

impl Load {
    pub(crate) fn new(batch: BatchId, job: JobId, first: u64, length: u32, is_alone: bool) -> Self {
        let (done, reported, busy_ns, failed, flushed_at) = (0, 0, 0, Vec::new(), 0);
        Self { batch, job, first, length, done, reported, busy_ns, failed, flushed_at, is_alone }
    }

    /// Index of the task that runs, or would run next.
    pub(crate) fn task(&self) -> u64 {
        self.first + u64::from(self.done)
    }
}

/// A slot and what runs in it. Whatever was planned for an earlier `turn` is void.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) load: Option<Load>,
    pub(crate) turn: u64,
}

/// A model worker.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: WorkerId,
    pub(crate) nature: Nature,
    pub(crate) slots: Vec<Slot>,
    waiting: VecDeque<Load>,
    /// It is stopped until then.
    pub(crate) asleep_until: u64,
    /// What it reported.
    pub(crate) said: Vec<Event>,
    /// It reported what is not so; the scheduler may be wrong about it.
    pub(crate) is_hostile: bool,
}

impl Node {
    pub(crate) fn new(id: WorkerId, nature: Nature) -> Self {
        let slots = vec![Slot::default(); nature.slots as usize];
        let (waiting, said) = (VecDeque::new(), Vec::new());
        Self { id, nature, slots, waiting, asleep_until: 0, said, is_hostile: false }
    }

    /// Takes a batch. What it holds the scheduler knows of, so that its slots are never over-committed.
    pub(crate) fn accept(&mut self, load: Load) {
        let held: Vec<_> =
            self.slots.iter().filter_map(|slot| slot.load.as_ref()).chain(&self.waiting).collect();
        if !self.is_hostile {
            assert!(held.len() < 2 * self.slots.len(), "a batch for every slot and one ahead is enough");
            let is_shared = !held.is_empty() && (load.is_alone || held.iter().any(|held| held.is_alone));
            assert!(!is_shared, "an evicted task shares its worker");
        }
        self.waiting.push_back(load);
    }

    /// Moves the next batch into an idle slot; returns which.
    pub(crate) fn start(&mut self, now: u64, reports: &mut Vec<Event>) -> Option<usize> {
        let slot = self.slots.iter().position(|slot| slot.load.is_none())?;
        let mut load = self.waiting.pop_front()?;
        load.flushed_at = now;
        reports.push(Event::Begun { worker: self.id, batch: load.batch });
        self.slots[slot].load = Some(load);
        Some(slot)
    }

    /// The task in a slot ended. Returns whether another one of its batch begins.
    pub(crate) fn task_ended(
        &mut self,
        slot: usize,
        now: u64,
        took_ns: u64,
        has_failed: bool,
        reports: &mut Vec<Event>,
    ) -> bool {
        let (id, flush_ns) = (self.id, self.nature.flush_ns);
        let slot = &mut self.slots[slot];
        slot.turn += 1;
        let load = slot.load.as_mut().expect("a task runs in this slot");
        if has_failed {
            load.failed.push(load.done - load.reported);
        }
        load.done += 1;
        load.busy_ns += took_ns;
        let is_over = load.done == load.length;
        if is_over || now >= load.flushed_at + flush_ns {
            flush(id, load, now, reports);
        }
        if is_over {
            slot.load = None;
        }
        !is_over
    }

    /// Reports what has ended in a slot, however little.
    pub(crate) fn flush(&mut self, slot: usize, now: u64, reports: &mut Vec<Event>) {
        if let Some(load) = self.slots[slot].load.as_mut() {
            flush(self.id, load, now, reports);
        }
    }

    /// The child in a slot died, or was killed because memory ran short; the batch is over.
    pub(crate) fn child_died(&mut self, slot: usize, now: u64, is_evicted: bool, reports: &mut Vec<Event>) {
        self.flush(slot, now, reports);
        self.slots[slot].turn += 1;
        if let Some(load) = self.slots[slot].load.take() {
            let (worker, batch, offset) = (self.id, load.batch, load.done);
            reports.push(if is_evicted {
                Event::Evicted { worker, batch, offset }
            } else {
                Event::Crashed { worker, batch, offset }
            });
        }
    }

    /// Ends a batch: kills its task if one runs. Returns whether one did, or `None` if the batch is over.
    pub(crate) fn stop(&mut self, batch: BatchId, now: u64, reports: &mut Vec<Event>) -> Option<bool> {
        let holds = |load: &Load| load.batch == batch;
        if let Some(slot) = self.slots.iter().position(|slot| slot.load.as_ref().is_some_and(holds)) {
            self.flush(slot, now, reports);
            self.slots[slot].turn += 1;
            let length = self.slots[slot].load.take().map_or(0, |load| load.done);
            reports.push(Event::Returned { worker: self.id, batch, length });
            return Some(true);
        }
        let place = self.waiting.iter().position(holds)?;
        self.waiting.remove(place);
        reports.push(Event::Returned { worker: self.id, batch, length: 0 });
        Some(false)
    }

    /// Gives back what has not begun, at most `count` tasks. Returns how many, or `None` if the batch is
    /// over.
    pub(crate) fn take_back(&mut self, batch: BatchId, count: u32, reports: &mut Vec<Event>) -> Option<u32> {
        let running = self.slots.iter_mut().filter_map(|slot| slot.load.as_mut()).map(|load| (1, load));
        let waiting = self.waiting.iter_mut().map(|load| (0, load));
        let (begun, load) = running.chain(waiting).find(|(_, load)| load.batch == batch)?;
        let given = count.min(load.length - load.done - begun);
        load.length -= given;
        reports.push(Event::Returned { worker: self.id, batch, length: load.length });
        self.waiting.retain(|load| load.length > 0);
        Some(given)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.slots.iter().all(|slot| slot.load.is_none())
    }
}

fn flush(worker: WorkerId, load: &mut Load, now: u64, reports: &mut Vec<Event>) {
    let count = load.done - load.reported;
    if count > 0 {
        let (batch, busy_ns, failed) = (load.batch, load.busy_ns, std::mem::take(&mut load.failed));
        reports.push(Event::Ended { worker, batch, count, busy_ns, failed });
        (load.reported, load.busy_ns, load.flushed_at) = (load.done, 0, now);
    }
}
