//! The attached workers, ordered by load.

use std::collections::{BTreeSet, HashMap};

use crate::event::{BatchId, WorkerId};
use crate::scheduler::FixedHasher;

/// Batches per slot, in fixed point: this many is one batch for every slot.
const ONE_EACH: u64 = 1 << 20;

/// One attached worker.
#[derive(Debug)]
pub(crate) struct Worker {
    slots: u32,
    /// What it holds, in the order in which it begins them.
    pub(crate) batches: BTreeSet<BatchId>,
}

impl Worker {
    fn load(&self) -> u64 {
        self.batches.len() as u64 * ONE_EACH / u64::from(self.slots)
    }

    fn idle_slots(&self) -> u64 {
        u64::from(self.slots).saturating_sub(self.batches.len() as u64)
    }
}

/// What a worker has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// A slot is free: the batch begins at once.
    Slot,
    /// Every slot has a batch: another one waits behind them.
    Ahead,
}

/// All attached workers.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    by_id: HashMap<WorkerId, Worker, FixedHasher>,
    by_load: BTreeSet<(u64, WorkerId)>,
    slots: u64,
    idle_slots: u64,
}

impl Workers {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn slots(&self) -> u64 {
        self.slots
    }

    pub(crate) fn idle_slots(&self) -> u64 {
        self.idle_slots
    }

    /// Attaches a worker; false if there is one of this name already.
    pub(crate) fn join(&mut self, id: WorkerId, slots: u32) -> bool {
        if self.by_id.contains_key(&id) {
            return false;
        }
        let worker = Worker { slots: slots.max(1), batches: BTreeSet::new() };
        self.slots += u64::from(worker.slots);
        self.idle_slots += worker.idle_slots();
        self.by_load.insert((worker.load(), id));
        self.by_id.insert(id, worker);
        true
    }

    /// Detaches a worker and returns what it held.
    pub(crate) fn leave(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.by_id.remove(&id)?;
        self.slots -= u64::from(worker.slots);
        self.idle_slots -= worker.idle_slots();
        self.by_load.remove(&(worker.load(), id));
        Some(worker)
    }

    /// The worker with the least load, if it has a free slot or, with `lookahead` batches ahead for each
    /// slot, room for one more.
    pub(crate) fn least_loaded(&self, lookahead: u32) -> Option<(WorkerId, Room)> {
        let &(load, id) = self.by_load.first()?;
        if load < ONE_EACH {
            Some((id, Room::Slot))
        } else {
            (load < ONE_EACH * (1 + u64::from(lookahead))).then_some((id, Room::Ahead))
        }
    }

    /// Notes that a worker holds a batch more.
    pub(crate) fn assign(&mut self, id: WorkerId, batch: BatchId) {
        self.update(id, |worker| worker.batches.insert(batch));
    }

    /// Notes that a worker holds a batch less.
    pub(crate) fn release(&mut self, id: WorkerId, batch: BatchId) {
        self.update(id, |worker| worker.batches.remove(&batch));
    }

    fn update(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> bool) {
        let Some(worker) = self.by_id.get_mut(&id) else { return };
        self.by_load.remove(&(worker.load(), id));
        self.idle_slots -= worker.idle_slots();
        change(worker);
        self.idle_slots += worker.idle_slots();
        self.by_load.insert((worker.load(), id));
    }

    /// Every worker with its slots and batches, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, u32, &BTreeSet<BatchId>)> {
        self.by_id.iter().map(|(&id, worker)| (id, worker.slots, &worker.batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign_all(workers: &mut Workers, lookahead: u32) -> Vec<(u64, Room)> {
        let mut order = Vec::new();
        while let Some((worker, room)) = workers.least_loaded(lookahead) {
            workers.assign(worker, BatchId(order.len() as u64));
            order.push((worker.0, room));
        }
        order
    }

    #[test]
    fn free_slots_come_before_room_ahead_and_load_is_spread_evenly() {
        let mut workers = Workers::default();
        workers.join(WorkerId(1), 1);
        workers.join(WorkerId(2), 2);
        let (slot, ahead) = (Room::Slot, Room::Ahead);
        let expected = [(1, slot), (2, slot), (2, slot), (1, ahead), (2, ahead), (2, ahead)];
        assert_eq!(assign_all(&mut workers, 1), expected);
    }

    #[test]
    fn without_lookahead_a_worker_holds_one_batch_for_each_slot() {
        let mut workers = Workers::default();
        workers.join(WorkerId(1), 3);
        assert_eq!(assign_all(&mut workers, 0).len(), 3);
        assert_eq!(workers.idle_slots(), 0);
    }

    #[test]
    fn a_worker_that_leaves_takes_its_slots_along() {
        let mut workers = Workers::default();
        workers.join(WorkerId(1), 3);
        workers.join(WorkerId(2), 1);
        workers.assign(WorkerId(1), BatchId(1));
        assert_eq!((workers.slots(), workers.idle_slots()), (4, 3));
        assert_eq!(workers.leave(WorkerId(1)).map(|worker| worker.batches.len()), Some(1));
        assert_eq!((workers.slots(), workers.idle_slots()), (1, 1));
        assert!(workers.leave(WorkerId(1)).is_none());
    }
}
