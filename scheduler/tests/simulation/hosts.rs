//! What the workers of a cluster do, and the connections through which they hear of it and say so.

use poolmap_scheduler::{Action, BatchId, Event, WorkerId};

use crate::cluster::{Cluster, Happening};
use crate::node::{Fate, Load, Nature, Node};

const DAWDLE_NS: u64 = 500_000_000;

impl Cluster {
    /// When a message sent now arrives; never before the one sent before it.
    fn arrival(&mut self, worker: WorkerId, to_worker: bool) -> u64 {
        let delay_ns = self.nodes.get(&worker).map_or(0, |node| node.nature.delay_ns);
        let jitter_ns = self.rng.below(delay_ns / 4 + 1);
        let last = self.arrivals.entry((worker, to_worker)).or_default();
        *last = (*last).max(self.now + delay_ns + jitter_ns);
        *last
    }

    pub(crate) fn send(&mut self, worker: WorkerId, action: Action) {
        let at = self.arrival(worker, true);
        self.plan(at, Happening::Order(worker, action));
    }

    pub(crate) fn say(&mut self, worker: WorkerId, event: Event) {
        let at = self.arrival(worker, false);
        if let Some(node) = self.nodes.get_mut(&worker) {
            node.said.push(event.clone());
        }
        self.plan(at, Happening::Report(worker, event));
    }

    /// Lets a worker do something and say what it has to.
    pub(crate) fn with_node<T>(
        &mut self,
        id: WorkerId,
        act: impl FnOnce(&mut Node, u64, &mut Vec<Event>) -> T,
    ) {
        let mut reports = Vec::new();
        if let Some(node) = self.nodes.get_mut(&id) {
            act(node, self.now, &mut reports);
        }
        for report in reports {
            self.say(id, report);
        }
    }

    pub(crate) fn join(&mut self, nature: Nature) {
        self.workers += 1;
        let id = WorkerId(self.workers);
        let (slots, class) = (nature.slots, nature.class);
        if nature.slowness > 1 {
            self.seen.note("slow workers");
        }
        self.nodes.insert(id, Node::new(id, nature));
        self.say(id, Event::WorkerJoined { worker: id, slots, class });
    }

    pub(crate) fn order(&mut self, id: WorkerId, action: &Action) {
        match *action {
            Action::Assign { batch, job, first, count, .. } => {
                let ledger = &self.checked.ledger;
                let is_alone = ledger.batches.get(&batch).is_some_and(|batch| ledger.is_alone(batch));
                let load = Load::new(batch, job, first, count, is_alone);
                self.with_node(id, |node, _, _| node.accept(load));
            }
            Action::TakeBack { batch, count, .. } => self.take_back(id, batch, count),
            Action::Stop { batch, .. } => self.stop(id, batch),
            _ => {}
        }
        self.fill_slots(id);
    }

    fn take_back(&mut self, id: WorkerId, batch: BatchId, count: u32) {
        let mut given = None;
        self.with_node(id, |node, _, reports| given = node.take_back(batch, count, reports));
        self.seen.note(match given {
            None => "asked too late",
            Some(0) => "asked in vain",
            Some(_) => "given back",
        });
    }

    fn stop(&mut self, id: WorkerId, batch: BatchId) {
        let mut ran = None;
        self.with_node(id, |node, now, reports| ran = node.stop(batch, now, reports));
        self.seen.note(match ran {
            None => "stopped too late",
            Some(false) => "stopped before it began",
            Some(true) => "tasks stopped",
        });
    }

    pub(crate) fn fill_slots(&mut self, id: WorkerId) {
        loop {
            let mut started = None;
            self.with_node(id, |node, now, reports| started = node.start(now, reports));
            let Some(slot) = started else { return };
            self.begin_task(id, slot);
        }
    }

    /// Plans the end of the task that begins in a slot.
    fn begin_task(&mut self, id: WorkerId, slot: usize) {
        let Some(node) = self.nodes.get(&id) else { return };
        let Some(load) = &node.slots[slot].load else { return };
        *self.begins.entry((load.job, load.task())).or_default() += 1;
        let work = &self.work[&load.job];
        let mut took_ns = work.durations_ns[load.task() as usize] * node.nature.slowness;
        let limits = [work.kills_child, work.kills_worker, work.fails, work.dawdles];
        let fates = [Fate::KillsChild, Fate::KillsWorker, Fate::Fails, Fate::Dawdles];
        let (mut fate, mut dice) = (Fate::Ends, self.rng.below(100));
        for (limit, unlucky) in limits.into_iter().zip(fates) {
            if fate == Fate::Ends && dice < limit {
                fate = unlucky;
            }
            dice = dice.wrapping_sub(limit);
        }
        match fate {
            Fate::KillsChild | Fate::KillsWorker => took_ns = self.rng.below(took_ns + 1),
            Fate::Dawdles => took_ns += DAWDLE_NS,
            Fate::Ends | Fate::Fails => {}
        }
        let (turn, flush_ns) = (node.slots[slot].turn, node.nature.flush_ns);
        self.plan(self.now + took_ns, Happening::TaskEnds { worker: id, slot, turn, took_ns, fate });
        if took_ns > flush_ns {
            self.plan(self.now + flush_ns, Happening::FlushDue { worker: id, slot });
        }
    }

    pub(crate) fn task_ends(&mut self, id: WorkerId, slot: usize, turn: u64, took_ns: u64, fate: Fate) {
        let is_current = |node: &Node| node.slots[slot].turn == turn && node.slots[slot].load.is_some();
        if !self.nodes.get(&id).is_some_and(is_current) {
            return;
        }
        match fate {
            Fate::Ends | Fate::Fails | Fate::Dawdles => {
                let mut continues = false;
                let has_failed = fate == Fate::Fails;
                self.with_node(id, |node, now, reports| {
                    continues = node.task_ended(slot, now, took_ns, has_failed, reports);
                });
                if has_failed {
                    self.seen.note("attempts failed");
                }
                if continues {
                    self.begin_task(id, slot);
                }
            }
            Fate::KillsChild => {
                self.seen.note("children died");
                self.with_node(id, |node, now, reports| node.child_died(slot, now, false, reports));
            }
            Fate::KillsWorker => {
                self.seen.note("workers killed by tasks");
                self.worker_dies(id);
            }
        }
        self.fill_slots(id);
    }
}
