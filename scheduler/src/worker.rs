//! The attached workers, those of each class ordered by load.

use std::collections::{BTreeSet, HashMap};

use crate::classes::{ClassId, Classes};
use crate::event::{BatchId, WorkerId};
use crate::scheduler::FixedHasher;

/// Batches per slot, in fixed point: this many is one batch for every slot.
const ONE_EACH: u64 = 1 << 20;

/// Whom a worker takes new batches from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Any job.
    Open,
    /// Nobody until it is empty: a task waits that needs a worker to itself.
    Reserved,
    /// Nobody as long as it runs the batch it has: that one needs a worker to itself.
    Alone,
    /// Nobody any more: it is about to leave.
    Draining,
}

/// One attached worker.
#[derive(Debug)]
pub(crate) struct Worker {
    slots: u32,
    pub(crate) class: ClassId,
    pub(crate) intake: Intake,
    /// What it holds, in the order in which it begins them.
    pub(crate) batches: BTreeSet<BatchId>,
}

impl Worker {
    fn load(&self) -> u64 {
        self.batches.len() as u64 * ONE_EACH / u64::from(self.slots)
    }

    fn idle_slots(&self) -> u64 {
        match self.intake {
            Intake::Open => u64::from(self.slots).saturating_sub(self.batches.len() as u64),
            Intake::Reserved | Intake::Alone | Intake::Draining => 0,
        }
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

/// The workers of one class.
#[derive(Debug, Default)]
struct Class {
    workers: u64,
    /// Those that are open.
    by_load: BTreeSet<(u64, WorkerId)>,
    reserved: BTreeSet<WorkerId>,
    slots: u64,
    /// Of open workers.
    idle_slots: u64,
}

impl Class {
    fn add(&mut self, id: WorkerId, worker: &Worker) {
        self.idle_slots += worker.idle_slots();
        match worker.intake {
            Intake::Open => self.by_load.insert((worker.load(), id)),
            Intake::Reserved => self.reserved.insert(id),
            Intake::Alone | Intake::Draining => false,
        };
    }

    fn remove(&mut self, id: WorkerId, worker: &Worker) {
        self.idle_slots -= worker.idle_slots();
        self.by_load.remove(&(worker.load(), id));
        self.reserved.remove(&id);
    }
}

/// All attached workers.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    by_id: HashMap<WorkerId, Worker, FixedHasher>,
    /// Classes that have workers, in order. They are few: a walk through all is fast, and nothing if there is one.
    classes: Vec<(ClassId, Class)>,
}

impl Workers {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn slots(&self, of: &Classes) -> u64 {
        self.those(|class| of.include(class)).map(|class| class.slots).sum()
    }

    pub(crate) fn idle_slots(&self, of: &Classes) -> u64 {
        self.those(|class| of.include(class)).map(|class| class.idle_slots).sum()
    }

    /// Workers of some classes.
    pub(crate) fn count(&self, may_use: impl Fn(ClassId) -> bool) -> u64 {
        self.those(may_use).map(|class| class.workers).sum()
    }

    pub(crate) fn class(&self, id: WorkerId) -> Option<ClassId> {
        self.by_id.get(&id).map(|worker| worker.class)
    }

    fn those(&self, may_use: impl Fn(ClassId) -> bool) -> impl Iterator<Item = &Class> {
        self.classes.iter().filter(move |(id, _)| may_use(*id)).map(|(_, class)| class)
    }

    /// The open worker with the least load of some classes.
    fn first(&self, may_use: impl Fn(ClassId) -> bool) -> Option<(u64, WorkerId)> {
        self.those(may_use).filter_map(|class| class.by_load.first().copied()).min()
    }

    /// Attaches a worker; false if there is one of this name already.
    pub(crate) fn join(&mut self, id: WorkerId, slots: u32, class: ClassId) -> bool {
        if self.by_id.contains_key(&id) {
            return false;
        }
        self.enter(id, Worker { slots: slots.max(1), class, intake: Intake::Open, batches: BTreeSet::new() });
        true
    }

    /// Detaches a worker and returns what it held.
    pub(crate) fn leave(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.by_id.remove(&id)?;
        if let Some(class) = find(&mut self.classes, worker.class) {
            class.remove(id, &worker);
            class.slots -= u64::from(worker.slots);
            class.workers -= 1;
        }
        self.classes.retain(|(_, class)| class.workers > 0);
        Some(worker)
    }

    /// Moves a worker to another class.
    pub(crate) fn change_class(&mut self, id: WorkerId, class: ClassId) {
        if let Some(worker) = self.leave(id) {
            self.enter(id, Worker { class, ..worker });
        }
    }

    fn enter(&mut self, id: WorkerId, worker: Worker) {
        if let Err(place) = self.classes.binary_search_by_key(&worker.class, |(id, _)| *id) {
            self.classes.insert(place, (worker.class, Class::default()));
        }
        if let Some(class) = find(&mut self.classes, worker.class) {
            class.workers += 1;
            class.slots += u64::from(worker.slots);
            class.add(id, &worker);
        }
        self.by_id.insert(id, worker);
    }

    /// The worker with the least load, if it has a free slot or, with `lookahead` batches ahead for each
    /// slot, room for one more.
    pub(crate) fn least_loaded(
        &self,
        may_use: impl Fn(ClassId) -> bool,
        lookahead: u32,
    ) -> Option<(WorkerId, Room)> {
        let (load, id) = self.first(may_use)?;
        if load < ONE_EACH {
            Some((id, Room::Slot))
        } else {
            (load < ONE_EACH * (1 + u64::from(lookahead))).then_some((id, Room::Ahead))
        }
    }

    /// A worker that is open and holds nothing.
    pub(crate) fn empty(&self, may_use: impl Fn(ClassId) -> bool) -> Option<WorkerId> {
        self.first(may_use).filter(|(load, _)| *load == 0).map(|(_, id)| id)
    }

    /// A worker with an idle slot, if possible another one than `avoided`.
    pub(crate) fn idle_besides(&self, of: &Classes, avoided: WorkerId) -> Option<WorkerId> {
        let idle = self
            .those(|class| of.include(class))
            .flat_map(|class| class.by_load.iter().take_while(|(load, _)| *load < ONE_EACH).take(2).copied());
        idle.min_by_key(|&(load, id)| (id == avoided, load, id)).map(|(_, id)| id)
    }

    /// Reserves the worker with the least load, if fewer than `most` are reserved.
    pub(crate) fn reserve(&mut self, may_use: impl Fn(ClassId) -> bool, most: u64) -> Option<WorkerId> {
        let reserved: usize = self.those(&may_use).map(|class| class.reserved.len()).sum();
        if reserved as u64 >= most {
            return None;
        }
        let (_, id) = self.first(may_use)?;
        self.update(id, |worker| worker.intake = Intake::Reserved);
        Some(id)
    }

    /// Opens reserved workers of all but some classes again.
    pub(crate) fn open_reserved(&mut self, but_of: impl Fn(ClassId) -> bool) {
        let first = |workers: &Self| {
            workers.those(|class| !but_of(class)).find_map(|class| class.reserved.first().copied())
        };
        while let Some(id) = first(self) {
            self.update(id, |worker| worker.intake = Intake::Open);
        }
    }

    pub(crate) fn reserved(&self) -> usize {
        self.classes.iter().map(|(_, class)| class.reserved.len()).sum()
    }

    /// Closes a worker for good. Returns what it holds, or `None` if it is unknown or was closed before.
    pub(crate) fn drain(&mut self, id: WorkerId) -> Option<Vec<BatchId>> {
        self.by_id.get(&id).filter(|worker| worker.intake != Intake::Draining)?;
        self.update(id, |worker| worker.intake = Intake::Draining);
        self.batches(id)
    }

    /// What a worker holds.
    pub(crate) fn batches(&self, id: WorkerId) -> Option<Vec<BatchId>> {
        self.by_id.get(&id).map(|worker| worker.batches.iter().copied().collect())
    }

    /// Notes that a worker holds a batch more.
    pub(crate) fn assign(&mut self, id: WorkerId, batch: BatchId) {
        self.update(id, |worker| {
            worker.batches.insert(batch);
        });
    }

    /// Notes that a worker holds a batch that needs the worker to itself.
    pub(crate) fn assign_alone(&mut self, id: WorkerId, batch: BatchId) {
        self.update(id, |worker| {
            worker.batches.insert(batch);
            worker.intake = Intake::Alone;
        });
    }

    /// Notes that a worker holds a batch less. One that is empty opens again, unless it is about to leave.
    pub(crate) fn release(&mut self, id: WorkerId, batch: BatchId) {
        self.update(id, |worker| {
            worker.batches.remove(&batch);
            if worker.batches.is_empty() && worker.intake != Intake::Draining {
                worker.intake = Intake::Open;
            }
        });
    }

    fn update(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) {
        let Some(worker) = self.by_id.get_mut(&id) else { return };
        let Some(class) = find(&mut self.classes, worker.class) else { return };
        class.remove(id, worker);
        change(worker);
        class.add(id, worker);
    }

    /// Every worker with its slots, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, u32, &Worker)> {
        self.by_id.iter().map(|(&id, worker)| (id, worker.slots, worker))
    }
}

fn find(classes: &mut [(ClassId, Class)], id: ClassId) -> Option<&mut Class> {
    let place = classes.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    classes.get_mut(place).map(|(_, class)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: ClassId = ClassId(0);

    fn all(_: ClassId) -> bool {
        true
    }

    fn assign_all(workers: &mut Workers, lookahead: u32) -> Vec<(u64, Room)> {
        let mut order = Vec::new();
        while let Some((worker, room)) = workers.least_loaded(all, lookahead) {
            workers.assign(worker, BatchId(order.len() as u64));
            order.push((worker.0, room));
        }
        order
    }

    #[test]
    fn free_slots_come_before_room_ahead_and_load_is_spread_evenly() {
        let mut workers = Workers::default();
        workers.join(WorkerId(1), 1, ANY);
        workers.join(WorkerId(2), 2, ANY);
        let (slot, ahead) = (Room::Slot, Room::Ahead);
        let expected = [(1, slot), (2, slot), (2, slot), (1, ahead), (2, ahead), (2, ahead)];
        assert_eq!(assign_all(&mut workers, 1), expected);
    }

    #[test]
    fn without_lookahead_a_worker_holds_one_batch_for_each_slot() {
        let mut workers = Workers::default();
        workers.join(WorkerId(1), 3, ANY);
        assert_eq!(assign_all(&mut workers, 0).len(), 3);
        assert_eq!(workers.idle_slots(&Classes::All), 0);
    }

    #[test]
    fn a_worker_that_leaves_takes_its_slots_along() {
        let mut workers = Workers::default();
        workers.join(WorkerId(1), 3, ANY);
        workers.join(WorkerId(2), 1, ANY);
        workers.assign(WorkerId(1), BatchId(1));
        assert_eq!((workers.slots(&Classes::All), workers.idle_slots(&Classes::All)), (4, 3));
        assert_eq!(workers.leave(WorkerId(1)).map(|worker| worker.batches.len()), Some(1));
        assert_eq!((workers.slots(&Classes::All), workers.idle_slots(&Classes::All)), (1, 1));
        assert!(workers.leave(WorkerId(1)).is_none());
    }

    fn ids(workers: &[(u64, u32)]) -> Workers {
        let mut all = Workers::default();
        for &(id, slots) in workers {
            all.join(WorkerId(id), slots, ANY);
        }
        all
    }

    #[test]
    fn a_reserved_worker_opens_when_it_is_empty() {
        let mut workers = ids(&[(1, 2)]);
        workers.assign(WorkerId(1), BatchId(1));
        assert_eq!(workers.reserve(all, 1), Some(WorkerId(1)));
        assert_eq!(
            (workers.least_loaded(all, 1), workers.idle_slots(&Classes::All), workers.empty(all)),
            (None, 0, None)
        );
        workers.release(WorkerId(1), BatchId(1));
        assert_eq!(
            (workers.empty(all), workers.idle_slots(&Classes::All), workers.reserved()),
            (Some(WorkerId(1)), 2, 0)
        );
    }

    #[test]
    fn no_more_than_so_many_are_reserved() {
        let mut workers = ids(&[(1, 1), (2, 1)]);
        assert_eq!((workers.reserve(all, 1), workers.reserve(all, 1)), (Some(WorkerId(1)), None));
        workers.open_reserved(|_| false);
        assert_eq!(workers.idle_slots(&Classes::All), 2);
    }

    #[test]
    fn a_worker_that_runs_one_task_alone_takes_nothing_until_that_is_over() {
        let mut workers = ids(&[(1, 4)]);
        workers.assign_alone(WorkerId(1), BatchId(1));
        assert_eq!((workers.least_loaded(all, 1), workers.idle_slots(&Classes::All)), (None, 0));
        workers.release(WorkerId(1), BatchId(1));
        assert_eq!(workers.idle_slots(&Classes::All), 4);
    }

    #[test]
    fn a_draining_worker_never_opens_again() {
        let mut workers = ids(&[(1, 1)]);
        workers.assign_alone(WorkerId(1), BatchId(1));
        assert_eq!(workers.drain(WorkerId(1)), Some(vec![BatchId(1)]));
        assert_eq!(workers.drain(WorkerId(1)), None, "it was told before");
        workers.release(WorkerId(1), BatchId(1));
        assert_eq!((workers.empty(all), workers.idle_slots(&Classes::All)), (None, 0));
    }

    #[test]
    fn a_copy_goes_to_another_worker_if_one_idles() {
        let mut workers = ids(&[(1, 2), (2, 1)]);
        workers.assign(WorkerId(1), BatchId(1));
        assert_eq!(workers.idle_besides(&Classes::All, WorkerId(1)), Some(WorkerId(2)));
        workers.assign(WorkerId(2), BatchId(2));
        assert_eq!(workers.idle_besides(&Classes::All, WorkerId(1)), Some(WorkerId(1)));
        workers.assign(WorkerId(1), BatchId(3));
        assert_eq!(workers.idle_besides(&Classes::All, WorkerId(1)), None);
    }

    #[test]
    fn a_worker_that_changes_its_class_takes_its_slots_along() {
        let mut workers = ids(&[(1, 2), (2, 1)]);
        workers.assign(WorkerId(1), BatchId(1));
        workers.change_class(WorkerId(1), ClassId(7));
        let (old, new) = (Classes::from_iter([ANY]), Classes::from_iter([ClassId(7)]));
        assert_eq!((workers.slots(&old), workers.idle_slots(&old)), (1, 1));
        assert_eq!((workers.slots(&new), workers.idle_slots(&new)), (2, 1));
        assert_eq!(workers.least_loaded(|class| new.include(class), 0), Some((WorkerId(1), Room::Slot)));
        workers.leave(WorkerId(1));
        assert_eq!((workers.slots(&new), workers.classes.len()), (0, 1));
    }
}
