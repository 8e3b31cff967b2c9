//! The cluster: a virtual clock, a queue of what happens when, connections with delays, and the shell around
//! the scheduler that carries its actions out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use poolmap_scheduler::{Action, BatchId, Config, Event, JobId, Time, WorkerId};

use crate::faults::{self, Seen};
use crate::ledger::Checked;
use crate::node::{Fate, Load, Nature, Node};
use crate::rng::Rng;

/// Steps after which a schedule is said to run in circles.
const MOST_STEPS: u64 = 2_000_000;

/// What a job's tasks are like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    pub(crate) durations_ns: Vec<u64>,
    /// Percent of the attempts that kill their child, or their worker.
    pub(crate) kills_child: u64,
    pub(crate) kills_worker: u64,
}

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A client, or the coordinator itself, tells the scheduler.
    Told(Event),
    /// A message of a worker reaches the coordinator.
    Report(WorkerId, Event),
    /// A message of the coordinator reaches a worker.
    Order(WorkerId, Action),
    /// The task in a slot ends, if the slot's turn is still that one.
    TaskEnds { worker: WorkerId, slot: usize, turn: u64, fate: Fate },
    /// What ended in a slot is due to be reported.
    FlushDue { worker: WorkerId, slot: usize },
    /// A worker starts and dials in.
    Joins(Nature),
    /// Somebody pulls a cable: the worker's process lives, but what it says comes too late.
    CableCut,
    /// A worker gives a batch back on its own, as it does when it stops a child.
    GivesBackUnasked,
    /// Something that must have no effect.
    Garbage,
}

/// A moment and its place in the queue.
type Due = Reverse<(u64, u64)>;

pub(crate) struct Cluster {
    pub(crate) now: u64,
    pub(crate) checked: Checked,
    pub(crate) seen: Seen,
    queue: BinaryHeap<Due>,
    happenings: BTreeMap<u64, Happening>,
    planned: u64,
    nodes: BTreeMap<WorkerId, Node>,
    /// When the last message of each connection arrives, for each direction: they stay in order.
    arrivals: BTreeMap<(WorkerId, bool), u64>,
    work: BTreeMap<JobId, Work>,
    rng: Rng,
    workers: u64,
    /// When each job was done.
    pub(crate) done_at: BTreeMap<JobId, u64>,
    /// Tasks of each batch when it was handed out.
    pub(crate) batch_lengths: BTreeMap<BatchId, u32>,
    /// Outcomes delivered so far, with their time: job, first task, count.
    pub(crate) deliveries: Vec<(u64, JobId, u64, u32)>,
}

impl Cluster {
    pub(crate) fn new(config: Config, rng: Rng) -> Self {
        Self {
            now: 0,
            checked: Checked::new(config),
            seen: Seen::default(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            planned: 0,
            nodes: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            work: BTreeMap::new(),
            rng,
            workers: 0,
            done_at: BTreeMap::new(),
            batch_lengths: BTreeMap::new(),
            deliveries: Vec::new(),
        }
    }

    pub(crate) fn plan(&mut self, at: u64, happening: Happening) {
        self.planned += 1;
        self.queue.push(Reverse((at, self.planned)));
        self.happenings.insert(self.planned, happening);
    }

    pub(crate) fn describe(&mut self, job: JobId, work: Work) {
        self.work.insert(job, work);
    }

    /// Runs until nothing more happens.
    pub(crate) fn run(&mut self) {
        for _ in 0..MOST_STEPS {
            let next = self.queue.peek().map(|&Reverse((at, _))| at);
            let wakeup = self.checked.scheduler.next_wakeup().map(|at| at.0.max(self.now));
            match (next, wakeup) {
                (None, None) => return,
                (Some(at), Some(wakeup)) if at <= wakeup => self.step(),
                (Some(_), None) => self.step(),
                (_, Some(wakeup)) => {
                    self.now = wakeup;
                    self.seen.note("stuck batches noticed");
                    self.tell(Event::TimePassed);
                }
            }
        }
        panic!("the cluster never comes to rest");
    }

    fn step(&mut self) {
        let Some(Reverse((at, number))) = self.queue.pop() else { return };
        let Some(happening) = self.happenings.remove(&number) else { return };
        self.now = at;
        match happening {
            Happening::Told(event) => self.told(event),
            Happening::Report(worker, event) => self.report(worker, event),
            Happening::Order(worker, action) => self.order(worker, &action),
            Happening::TaskEnds { worker, slot, turn, fate } => self.task_ends(worker, slot, turn, fate),
            Happening::FlushDue { worker, slot } => self.with_node(worker, |node, now, reports| {
                node.flush(slot, now, reports);
            }),
            Happening::Joins(nature) => self.join(nature),
            Happening::CableCut => self.cut_cable(),
            Happening::GivesBackUnasked => self.give_back_unasked(),
            Happening::Garbage => self.send_garbage(),
        }
    }

    /// Tells the scheduler, and carries out what it says.
    fn tell(&mut self, event: Event) {
        let actions = self.checked.handle(Time(self.now), event).to_vec();
        for action in actions {
            match action {
                Action::Assign { worker, batch, count, .. } => {
                    self.batch_lengths.insert(batch, count);
                    self.send(worker, action);
                }
                Action::TakeBack { worker, .. } => {
                    self.seen.note("questions");
                    self.send(worker, action);
                }
                Action::Deliver { job, first, count, .. } => {
                    self.seen.note("deliveries");
                    self.deliveries.push((self.now, job, first, count));
                }
                Action::Fail { .. } => self.seen.note("tasks failed"),
                Action::Cancel { .. } => self.seen.note("ranges cancelled"),
                Action::JobDone { job } => {
                    self.seen.note("jobs done");
                    self.done_at.insert(job, self.now);
                }
            }
        }
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::JobHeld { held: true, .. } => self.seen.note("holds"),
            Event::JobCancelled { job }
                if self.checked.scheduler.task_counts(job).is_some_and(|counts| counts.running > 0) =>
            {
                self.seen.note("cancels in flight");
            }
            _ => {}
        }
        self.tell(event);
    }

    fn report(&mut self, worker: WorkerId, event: Event) {
        if !self.checked.ledger.workers.contains_key(&worker) && !matches!(event, Event::WorkerJoined { .. })
        {
            self.seen.note("reports late");
        }
        self.tell(event);
    }

    /// When a message sent now arrives; never before the one sent before it.
    fn arrival(&mut self, worker: WorkerId, to_worker: bool) -> u64 {
        let delay_ns = self.nodes.get(&worker).map_or(0, |node| node.nature.delay_ns);
        let jitter_ns = self.rng.below(delay_ns / 4 + 1);
        let last = self.arrivals.entry((worker, to_worker)).or_default();
        *last = (*last).max(self.now + delay_ns + jitter_ns);
        *last
    }

    fn send(&mut self, worker: WorkerId, action: Action) {
        let at = self.arrival(worker, true);
        self.plan(at, Happening::Order(worker, action));
    }

    fn say(&mut self, worker: WorkerId, event: Event) {
        let at = self.arrival(worker, false);
        self.plan(at, Happening::Report(worker, event));
    }

    /// Lets a worker do something and say what it has to.
    fn with_node<T>(&mut self, id: WorkerId, act: impl FnOnce(&mut Node, u64, &mut Vec<Event>) -> T) {
        let mut reports = Vec::new();
        if let Some(node) = self.nodes.get_mut(&id) {
            act(node, self.now, &mut reports);
        }
        for report in reports {
            self.say(id, report);
        }
    }

    fn order(&mut self, id: WorkerId, action: &Action) {
        match *action {
            Action::Assign { batch, job, first, count, .. } => {
                self.with_node(id, |node, _, _| node.accept(Load::new(batch, job, first, count)));
                self.fill_slots(id);
            }
            Action::TakeBack { batch, count, .. } => self.take_back(id, batch, count),
            _ => {}
        }
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

    fn fill_slots(&mut self, id: WorkerId) {
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
        let work = &self.work[&load.job];
        let mut took_ns = work.durations_ns[load.task() as usize] * node.nature.slowness;
        let fate = match self.rng.below(100) {
            dice if dice < work.kills_child => Fate::KillsChild,
            dice if dice < work.kills_child + work.kills_worker => Fate::KillsWorker,
            _ => Fate::Ends,
        };
        if fate != Fate::Ends {
            took_ns = self.rng.below(took_ns + 1);
        }
        let (turn, flush_ns) = (node.slots[slot].turn, node.nature.flush_ns);
        self.plan(self.now + took_ns, Happening::TaskEnds { worker: id, slot, turn, fate });
        if took_ns > flush_ns {
            self.plan(self.now + flush_ns, Happening::FlushDue { worker: id, slot });
        }
    }

    fn task_ends(&mut self, id: WorkerId, slot: usize, turn: u64, fate: Fate) {
        let Some(node) = self.nodes.get(&id).filter(|node| node.slots[slot].turn == turn) else { return };
        let Some(load) = &node.slots[slot].load else { return };
        let took_ns = self.work[&load.job].durations_ns[load.task() as usize] * node.nature.slowness;
        match fate {
            Fate::Ends => {
                let mut continues = false;
                self.with_node(id, |node, now, reports| {
                    continues = node.task_ended(slot, now, took_ns, reports);
                });
                if continues {
                    self.begin_task(id, slot);
                }
            }
            Fate::KillsChild => {
                self.seen.note("children died");
                self.with_node(id, |node, now, reports| node.child_died(slot, now, reports));
            }
            Fate::KillsWorker => {
                self.seen.note("workers killed by tasks");
                self.lose(id, true);
            }
        }
        self.fill_slots(id);
    }

    fn join(&mut self, nature: Nature) {
        self.workers += 1;
        let id = WorkerId(self.workers);
        let slots = nature.slots;
        self.nodes.insert(id, Node::new(id, nature));
        self.say(id, Event::WorkerJoined { worker: id, slots });
    }

    /// A worker dies or is out of reach, and comes back under another name. What it said before its death
    /// still arrives; what a lost connection held up arrives after the worker was given up.
    fn lose(&mut self, id: WorkerId, is_dead: bool) {
        let noticed_at = self.now + self.rng.below(30_000_000);
        if is_dead {
            let last = self.arrivals.get(&(id, false)).copied().unwrap_or(0);
            self.plan(last.max(noticed_at), Happening::Told(Event::WorkerLeft { worker: id }));
        } else {
            self.arrivals.insert((id, false), noticed_at + 1);
            self.plan(noticed_at, Happening::Told(Event::WorkerLeft { worker: id }));
            self.with_node(id, |node, now, reports| {
                for slot in 0..node.slots.len() {
                    node.child_died(slot, now, reports);
                }
            });
        }
        if let Some(node) = self.nodes.remove(&id) {
            let back_at = noticed_at + self.rng.below(50_000_000);
            self.seen.note("workers rejoined");
            self.plan(back_at, Happening::Joins(node.nature));
        }
    }

    fn any_worker(&mut self) -> Option<WorkerId> {
        let ids: Vec<_> =
            self.nodes.keys().copied().filter(|id| self.checked.ledger.workers.contains_key(id)).collect();
        self.rng.pick(&ids).copied()
    }

    fn cut_cable(&mut self) {
        if let Some(id) = self.any_worker() {
            self.seen.note("connections lost");
            self.lose(id, false);
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

    /// Checks that all work is over and nothing is left anywhere.
    pub(crate) fn assert_at_rest(&self) {
        let totals = self.checked.scheduler.totals();
        assert_eq!((totals.jobs, totals.batches), (0, 0), "every job ends");
        assert_eq!((totals.tasks.queued, totals.tasks.running), (0, 0), "every task has its outcome");
        assert_eq!(totals.idle_slots, totals.slots, "every slot is idle");
        assert!(self.nodes.values().all(Node::is_idle), "no worker holds anything");
    }
}
