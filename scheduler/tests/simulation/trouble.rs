//! What goes wrong in a cluster.

use poolmap_scheduler::{Event, WorkerId};

use crate::cluster::{Cluster, Happening};
use crate::faults;

const MS: u64 = 1_000_000;
/// A worker that is silent for so long is given up.
const WORKER_TIMEOUT_NS: u64 = 15 * MS;

/// One thing that goes wrong, with a worker chosen at random unless it is named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// A worker process dies, for whatever reason.
    WorkerCrash,
    /// Somebody pulls a cable: the worker lives, and what it says comes too late or never.
    CableCut,
    /// Messages take longer from now on.
    Congestion,
    /// A worker gets slower from now on.
    Slowdown,
    /// A worker is stopped (SIGSTOP), maybe for so long that it is given up, and goes on.
    Sleep,
    /// It goes on, finds its connection closed, and dials in again.
    WakeUp(WorkerId),
    /// Memory runs short: a worker kills a child.
    Eviction,
    /// A worker is to leave, and does some time later.
    Drain,
    /// It leaves.
    Retirement(WorkerId),
    /// A worker gives a batch back on its own, as it does when it stops a child.
    GivesBackUnasked,
    /// A report arrives again, or in front of the one before it, as only a hostile peer can do it; the
    /// coordinator ends its connection soon.
    Forgery,
    /// That end.
    Exposure(WorkerId),
    /// Something that must have no effect.
    Garbage,
    /// A relay dies, and is started again.
    RelayCrash,
    /// A relay cannot reach its parent for so long that it is given up.
    RelayCut,
    /// It comes back, and nothing of what it held counts any more.
    RelayReturns(usize),
    /// A relay's messages take longer from now on.
    RelayCongestion,
}

/// What becomes of what a worker said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWords {
    Arrive,
    ComeLate,
    Vanish,
}

impl Cluster {
    pub(crate) fn go_wrong(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::WorkerCrash => self.on_any_worker("workers crashed", Self::worker_dies),
            Trouble::CableCut => self.on_any_worker("connections lost", |cluster, id| {
                let words = if cluster.rng.percent(50) { LastWords::ComeLate } else { LastWords::Vanish };
                cluster.lose(id, words, false);
            }),
            Trouble::Congestion => self.on_any_worker("delays", |cluster, id| {
                let more_ns = cluster.rng.below(20 * MS);
                cluster.with_node(id, |node, _, _| node.nature.delay_ns += more_ns);
            }),
            Trouble::Slowdown => self.on_any_worker("slowdowns", |cluster, id| {
                cluster.with_node(id, |node, _, _| node.nature.slowness = 5);
            }),
            Trouble::Sleep => self.on_any_worker("workers stopped", Self::sleep),
            Trouble::WakeUp(id) => self.wake_up(id),
            Trouble::Eviction => self.evict(),
            Trouble::Drain => self.on_any_worker("drains", |cluster, id| {
                cluster.say(id, Event::WorkerDraining { worker: id });
                let at = cluster.now + cluster.rng.below(80 * MS);
                cluster.plan(at, Happening::Goes(Trouble::Retirement(id)));
            }),
            Trouble::Retirement(id) => self.lose(id, LastWords::Arrive, true),
            Trouble::GivesBackUnasked => self.give_back_unasked(),
            Trouble::Forgery => self.forge(),
            Trouble::Exposure(id) => self.lose(id, LastWords::Vanish, false),
            Trouble::Garbage => self.send_garbage(),
            Trouble::RelayCrash => self.on_any_relay("relays crashed", Self::relay_dies),
            Trouble::RelayCut => self.on_any_relay("relays cut off", Self::cut_relay),
            Trouble::RelayReturns(relay) => self.relay_returns(relay),
            Trouble::RelayCongestion => self.on_any_relay("relays delayed", Self::slow_relay),
        }
    }

    fn on_any_worker(&mut self, what: &'static str, act: impl FnOnce(&mut Self, WorkerId)) {
        let ids: Vec<_> = self.nodes.keys().copied().filter(|&id| self.is_attached(id)).collect();
        if let Some(&id) = self.rng.pick(&ids) {
            self.seen.note(what);
            act(self, id);
        }
    }

    pub(crate) fn worker_dies(&mut self, id: WorkerId) {
        self.lose(id, LastWords::Arrive, true);
    }

    /// A worker dies or is out of reach, and comes back under another name some time after that is noticed.
    fn lose(&mut self, id: WorkerId, words: LastWords, is_blamed: bool) {
        let mut noticed_at = self.now + self.rng.below(30 * MS);
        match words {
            LastWords::Arrive => {
                noticed_at = noticed_at.max(self.arrivals.get(&(id, false)).copied().unwrap_or(0));
            }
            LastWords::ComeLate => {
                self.arrivals.insert((id, false), noticed_at + 1);
                self.with_node(id, |node, now, reports| {
                    for slot in 0..node.slots.len() {
                        node.child_died(slot, now, false, reports);
                    }
                });
            }
            LastWords::Vanish => {
                self.severed.insert(id);
            }
        }
        if let Some(node) = self.nodes.remove(&id) {
            self.plan(noticed_at, Happening::Told(Event::WorkerLeft { worker: id, is_blamed }));
            let back_at = noticed_at + self.rng.below(50 * MS);
            self.seen.note("workers rejoined");
            self.plan(back_at, Happening::Joins(node.nature));
        }
    }

    fn sleep(&mut self, id: WorkerId) {
        let awake_at = self.now + self.rng.below(4 * WORKER_TIMEOUT_NS);
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.asleep_until < self.now) else { return };
        node.asleep_until = awake_at;
        let given_up_at = self.now + WORKER_TIMEOUT_NS;
        if given_up_at < awake_at {
            self.seen.note("workers given up");
            self.plan(given_up_at, Happening::Told(Event::WorkerLeft { worker: id, is_blamed: true }));
            self.plan(awake_at + MS, Happening::Goes(Trouble::WakeUp(id)));
        }
    }

    fn wake_up(&mut self, id: WorkerId) {
        self.with_node(id, |node, now, reports| {
            (0..node.slots.len()).for_each(|slot| node.flush(slot, now, reports));
        });
        if let Some(node) = self.nodes.remove(&id) {
            self.seen.note("workers rejoined");
            self.plan(self.now + MS, Happening::Joins(node.nature));
        }
    }

    fn evict(&mut self) {
        let running =
            self.nodes.iter().filter(|(_, node)| node.asleep_until <= self.now).flat_map(|(&id, node)| {
                let busy = node.slots.iter().enumerate().filter(|(_, slot)| slot.load.is_some());
                busy.map(move |(slot, _)| (id, slot))
            });
        let running: Vec<_> = running.collect();
        if let Some(&(id, slot)) = self.rng.pick(&running) {
            self.seen.note("evictions");
            self.with_node(id, |node, now, reports| node.child_died(slot, now, true, reports));
            self.fill_slots(id);
        }
    }

    fn give_back_unasked(&mut self) {
        let in_flight: Vec<_> =
            self.checked.ledger.batches.iter().map(|(&id, batch)| (id, batch.worker)).collect();
        if let Some(&(batch, worker)) = self.rng.pick(&in_flight) {
            self.seen.note("given back unasked");
            self.with_node(worker, |node, _, reports| node.take_back(batch, u32::MAX, reports));
        }
    }

    fn forge(&mut self) {
        self.on_any_worker("connections of hostile peers", |cluster, id| {
            let Some(node) = cluster.nodes.get_mut(&id) else { return };
            node.is_hostile = true;
            let said = node.said.split_off(node.said.len().saturating_sub(4));
            for (what, event) in
                ["duplicates", "reordered reports"].into_iter().cycle().zip(said.into_iter().rev())
            {
                if !matches!(event, Event::WorkerJoined { .. }) {
                    cluster.seen.note(what);
                    cluster.tell(event);
                }
            }
            let at = cluster.now + cluster.rng.below(10 * MS);
            cluster.plan(at, Happening::Goes(Trouble::Exposure(id)));
        });
    }

    fn send_garbage(&mut self) {
        let event = match self.rng.pick(&self.checked.ledger.jobs()) {
            Some(&job) if self.rng.percent(10) => faults::second_submission(job),
            _ => faults::garbage(&self.checked.ledger, &mut self.rng),
        };
        let before = self.checked.scheduler.ignored();
        self.seen.note("garbage");
        self.tell(event);
        assert_ne!(self.checked.scheduler.ignored(), before, "garbage is counted");
    }
}
