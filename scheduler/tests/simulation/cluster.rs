//! The cluster: a virtual clock, a queue of what happens when, and the shell around the scheduler that
//! carries its actions out. What workers do is in `hosts`, what goes wrong in `trouble`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use poolmap_scheduler::{Action, BatchId, Config, Event, JobId, Time, WorkerId};

use crate::checked::Checked;
use crate::faults::Seen;
use crate::node::{Fate, Nature, Node};
use crate::rng::Rng;
use crate::trouble::Trouble;

/// Steps after which a schedule is said to run in circles.
const MOST_STEPS: u64 = 2_000_000;

/// What a job's tasks are like; of a hundred attempts, so many end otherwise than they should.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    pub(crate) durations_ns: Vec<u64>,
    pub(crate) kills_child: u64,
    pub(crate) kills_worker: u64,
    pub(crate) fails: u64,
    /// Takes half a second more.
    pub(crate) dawdles: u64,
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
    TaskEnds { worker: WorkerId, slot: usize, turn: u64, took_ns: u64, fate: Fate },
    /// What ended in a slot is due to be reported.
    FlushDue { worker: WorkerId, slot: usize },
    /// A worker starts and dials in.
    Joins(Nature),
    /// Something goes wrong.
    Goes(Trouble),
}

impl Happening {
    /// The worker that must be awake for it.
    fn actor(&self) -> Option<WorkerId> {
        match *self {
            Self::Order(worker, _) | Self::TaskEnds { worker, .. } | Self::FlushDue { worker, .. } => {
                Some(worker)
            }
            _ => None,
        }
    }
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
    pub(crate) nodes: BTreeMap<WorkerId, Node>,
    /// When the last message of each connection arrives, for each direction: they stay in order.
    pub(crate) arrivals: BTreeMap<(WorkerId, bool), u64>,
    /// Connections of which nothing arrives any more.
    pub(crate) severed: BTreeSet<WorkerId>,
    pub(crate) work: BTreeMap<JobId, Work>,
    pub(crate) rng: Rng,
    pub(crate) workers: u64,
    /// How often each task began somewhere.
    pub(crate) begins: BTreeMap<(JobId, u64), u32>,
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
            severed: BTreeSet::new(),
            work: BTreeMap::new(),
            rng,
            workers: 0,
            begins: BTreeMap::new(),
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
                    self.seen.note("wake-ups");
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
        let actor = happening.actor().and_then(|worker| self.nodes.get(&worker));
        if let Some(awake_at) = actor.map(|node| node.asleep_until).filter(|&awake_at| awake_at > at) {
            self.plan(awake_at, happening);
            return;
        }
        match happening {
            Happening::Told(event) => self.told(event),
            Happening::Report(worker, event) => self.report(worker, event),
            Happening::Order(worker, action) => self.order(worker, &action),
            Happening::TaskEnds { worker, slot, turn, took_ns, fate } => {
                self.task_ends(worker, slot, turn, took_ns, fate);
            }
            Happening::FlushDue { worker, slot } => self.with_node(worker, |node, now, reports| {
                node.flush(slot, now, reports);
            }),
            Happening::Joins(nature) => self.join(nature),
            Happening::Goes(trouble) => self.go_wrong(trouble),
        }
    }

    /// Tells the scheduler, and carries out what it says.
    pub(crate) fn tell(&mut self, event: Event) {
        let is_time = event == Event::TimePassed;
        let actions = self.checked.handle(Time(self.now), event).to_vec();
        if is_time && actions.iter().any(|action| matches!(action, Action::TakeBack { .. })) {
            self.seen.note("stuck batches noticed");
        }
        for action in actions {
            self.note(&action);
            match action {
                Action::Assign { worker, .. }
                | Action::TakeBack { worker, .. }
                | Action::Stop { worker, .. } => {
                    self.send(worker, action);
                }
                Action::Deliver { job, first, count, .. } => {
                    self.deliveries.push((self.now, job, first, count));
                }
                Action::JobDone { job } => {
                    self.done_at.insert(job, self.now);
                }
                Action::Fail { .. } | Action::Cancel { .. } | Action::JobHalted { .. } => {}
            }
        }
    }

    fn note(&mut self, action: &Action) {
        self.seen.note(match *action {
            Action::Assign { worker, batch, count, .. } => {
                self.batch_lengths.insert(batch, count);
                let batch = &self.checked.ledger.batches[&batch];
                match (self.checked.ledger.is_alone(batch), batch.twin) {
                    (true, _) => "evicted tasks run alone",
                    (_, Some(older)) if self.checked.ledger.batches[&older].worker != worker => {
                        "copies elsewhere"
                    }
                    (_, Some(_)) => "copies on the same worker",
                    _ if batch.attempt > 1 => "attempts repeated",
                    _ => "batches",
                }
            }
            Action::TakeBack { .. } => "questions",
            Action::Stop { .. } => "batches stopped",
            Action::Deliver { .. } => "deliveries",
            Action::Fail { .. } => "tasks failed for good",
            Action::Cancel { .. } => "ranges cancelled",
            Action::JobHalted { .. } => "jobs halted",
            Action::JobDone { .. } => "jobs done",
        });
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::JobHeld { held: true, .. } => self.seen.note("holds"),
            Event::JobLimited { .. } => self.seen.note("jobs limited"),
            Event::WorkerClassed { worker, .. } if self.nodes.contains_key(&worker) => {
                self.seen.note("workers classed");
            }
            Event::JobCancelled { job, kills_running }
                if self.checked.scheduler.task_counts(job).is_some_and(|counts| counts.running > 0) =>
            {
                let kind = if kills_running { "cancels that kill" } else { "cancels that let run" };
                self.seen.note(kind);
            }
            _ => {}
        }
        self.tell(event);
    }

    fn report(&mut self, worker: WorkerId, event: Event) {
        if self.severed.contains(&worker) {
            self.seen.note("messages dropped");
            return;
        }
        let is_attached = self.checked.ledger.workers.contains_key(&worker);
        if !is_attached && !matches!(event, Event::WorkerJoined { .. }) {
            self.seen.note("reports late");
        }
        self.tell(event);
    }

    /// Checks that all work is over and nothing is left anywhere, and that nothing ran more often than there
    /// was reason to.
    pub(crate) fn assert_at_rest(&self) {
        let totals = self.checked.scheduler.totals();
        assert_eq!((totals.jobs, totals.batches), (0, 0), "every job ends");
        assert_eq!((totals.tasks.queued, totals.tasks.running), (0, 0), "every task has its outcome");
        let draining = self.checked.ledger.workers.values().filter(|worker| worker.is_draining);
        let closed: u64 = draining.map(|worker| u64::from(worker.slots)).sum();
        assert_eq!(totals.idle_slots + closed, totals.slots, "every slot is idle");
        assert!(self.nodes.values().all(Node::is_idle), "no worker holds anything");
        for (task, &begins) in &self.begins {
            let causes = self.checked.ledger.causes.get(task).copied().unwrap_or(0);
            assert!(
                begins <= 1 + causes,
                "{task:?} began {begins} times with {causes} reasons to do it again"
            );
        }
    }
}
