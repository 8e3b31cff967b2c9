//! Relays in a cluster: what they hear and say, and what goes wrong with them.

use std::collections::BTreeMap;

use poolmap_scheduler::{Action, Event, JobId, WorkerId};

use crate::cluster::{Cluster, Happening, reporter};
use crate::relay::{Rank, Relay, Sent};
use crate::trouble::Trouble;

const MS: u64 = 1_000_000;
/// Silence for so long is the end of an attachment.
const WORKER_TIMEOUT_NS: u64 = 15 * MS;
/// The attachment of a relay that was started and has not dialled in.
const NOBODY: WorkerId = WorkerId(0);

impl Cluster {
    /// Starts a relay and attaches it; returns its place in the tree.
    pub(crate) fn start_relay(&mut self, rank: Rank) -> usize {
        let attachment = self.new_attachment(rank.post);
        self.relays.push(Relay::new(rank, attachment));
        let relay = self.relays.len() - 1;
        self.attach(relay);
        relay
    }

    fn new_attachment(&mut self, post: Option<usize>) -> WorkerId {
        self.workers += 1;
        let id = WorkerId(self.workers);
        self.posts.extend(post.map(|relay| (id, relay)));
        id
    }

    fn attach(&mut self, relay: usize) {
        let Relay { rank, attachment, .. } = &self.relays[relay];
        let (worker, slots, class) = (*attachment, rank.slots, rank.class);
        self.relays[relay].is_away = false;
        self.say(worker, Event::WorkerJoined { worker, slots, class });
    }

    fn relay_named(&self, attachment: WorkerId) -> Option<usize> {
        self.relays.iter().position(|relay| relay.attachment == attachment)
    }

    pub(crate) fn is_relay(&self, worker: WorkerId) -> bool {
        self.relay_named(worker).is_some()
    }

    pub(crate) fn relay_delay_ns(&self, worker: WorkerId) -> u64 {
        self.relay_named(worker).map_or(0, |relay| self.relays[relay].rank.delay_ns)
    }

    /// Whether whoever a worker belongs to knows of it.
    pub(crate) fn is_attached(&self, worker: WorkerId) -> bool {
        let checked = self.posts.get(&worker).map_or(&self.checked, |&relay| &self.relays[relay].checked);
        checked.ledger.workers.contains_key(&worker)
    }

    pub(crate) fn relay_hears(&mut self, relay: usize, event: Event) {
        let sent = self.relays[relay].hear(self.now, event);
        self.carry(relay, sent);
    }

    pub(crate) fn relay_obeys(&mut self, attachment: WorkerId, order: &Action) {
        let Some(relay) = self.relay_named(attachment) else { return };
        let sent = self.relays[relay].obey(self.now, order);
        self.carry(relay, sent);
    }

    pub(crate) fn relay_flushes(&mut self, relay: usize) {
        let sent = self.relays[relay].flush_due(self.now);
        self.carry(relay, sent);
    }

    fn carry(&mut self, relay: usize, sent: Sent) {
        for report in sent.up {
            self.say(reporter(&report).expect("a report has a reporter"), report);
        }
        for (worker, order) in sent.down {
            self.seen.note(match order {
                Action::Assign { .. } => "pieces",
                Action::TakeBack { .. } => "questions of relays",
                _ => "pieces stopped",
            });
            self.send(worker, order);
        }
        if let Some(at) = self.relays[relay].next_flush() {
            self.plan_flush(relay, at);
        }
    }

    fn plan_flush(&mut self, relay: usize, at: u64) {
        let planned_at = &mut self.relays[relay].flush_planned_at;
        if planned_at.is_none_or(|planned_at| planned_at <= self.now || at < planned_at) {
            *planned_at = Some(at);
            self.plan(at.max(self.now), Happening::RelayFlushes(relay));
        }
    }

    pub(crate) fn on_any_relay(&mut self, what: &'static str, act: impl FnOnce(&mut Self, usize)) {
        let there: Vec<_> = (0..self.relays.len()).filter(|&nth| !self.relays[nth].is_away).collect();
        if let Some(&relay) = self.rng.pick(&there) {
            self.seen.note(what);
            act(self, relay);
        }
    }

    /// All that is below a relay loses it: its workers find that out and dial in again, and what they ran is worth nothing. Its
    /// parent blames no task, since none runs in a relay.
    pub(crate) fn relay_dies(&mut self, relay: usize) {
        let below: Vec<_> =
            self.posts.iter().filter(|(_, post)| **post == relay).map(|(&id, _)| id).collect();
        for id in below {
            self.severed.insert(id);
            if let Some(node) = self.nodes.remove(&id) {
                let at = self.now + WORKER_TIMEOUT_NS + self.rng.below(30 * MS);
                self.plan(at, Happening::Joins(node.nature));
            } else if let Some(lower) = self.relay_named(id).filter(|&lower| !self.relays[lower].is_away) {
                self.send_away(lower, self.now + WORKER_TIMEOUT_NS);
            }
        }
        let fresh = Relay::new(self.relays[relay].rank, NOBODY);
        let dead = std::mem::replace(&mut self.relays[relay], fresh);
        self.causes_of_the_dead.extend(dead.causes);
        self.is_missed(relay, dead.attachment);
    }

    /// For its parent it is gone; what it holds goes on below it until it comes back.
    pub(crate) fn cut_relay(&mut self, relay: usize) {
        let attachment = self.relays[relay].attachment;
        self.severed.insert(attachment);
        self.is_missed(relay, attachment);
    }

    fn is_missed(&mut self, relay: usize, worker: WorkerId) {
        let last_words_at = self.arrivals.get(&(worker, false)).copied().unwrap_or(0);
        let noticed_at = last_words_at.max(self.now + self.rng.below(WORKER_TIMEOUT_NS));
        self.plan(noticed_at, Happening::Told(Event::WorkerLeft { worker, is_blamed: false }));
        self.send_away(relay, noticed_at);
    }

    fn send_away(&mut self, relay: usize, until: u64) {
        self.relays[relay].is_away = true;
        let at = until + self.rng.below(30 * MS);
        self.plan(at, Happening::Goes(Trouble::RelayReturns(relay)));
    }

    /// It dials in again and learns that nothing of what it held counts any more.
    pub(crate) fn relay_returns(&mut self, relay: usize) {
        let attachment = self.new_attachment(self.relays[relay].rank.post);
        let sent = self.relays[relay].forsake(self.now, attachment);
        self.carry(relay, sent);
        self.attach(relay);
    }

    pub(crate) fn slow_relay(&mut self, relay: usize) {
        self.relays[relay].rank.delay_ns += self.rng.below(20 * MS);
    }

    /// Reasons that relays had to have tasks run once more.
    pub(crate) fn causes_below(&self) -> BTreeMap<(JobId, u64), u32> {
        let mut causes = BTreeMap::new();
        for &task in self.relays.iter().flat_map(|relay| &relay.causes).chain(&self.causes_of_the_dead) {
            *causes.entry(task).or_default() += 1;
        }
        causes
    }
}
