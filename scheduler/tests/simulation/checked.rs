//! A scheduler beside its ledger. After every event the invariants are checked, and that what the scheduler
//! said is what the ledger expected.

use std::collections::BTreeSet;

use poolmap_scheduler::{Action, Config, Event, JobId, Scheduler, Time};

use crate::ledger::Ledger;
use crate::records::Told;

pub(crate) struct Checked {
    pub(crate) scheduler: Scheduler,
    pub(crate) ledger: Ledger,
    capacity_factor: u32,
    actions: Vec<Action>,
    done: BTreeSet<JobId>,
}

impl Checked {
    pub(crate) fn new(config: Config) -> Self {
        let capacity_factor = 1 + config.lookahead_batches;
        let ledger = Ledger {
            eviction_limit: config.eviction_limit,
            halt_judged_from: config.halt_judged_from_tasks,
            ..Ledger::default()
        };
        let scheduler = Scheduler::new(config);
        Self { scheduler, ledger, capacity_factor, actions: Vec::new(), done: BTreeSet::new() }
    }

    pub(crate) fn handle(&mut self, now: Time, event: Event) -> &[Action] {
        self.actions.clear();
        self.ledger.told.clear();
        let what = event.clone();
        self.ledger.now = now.0;
        self.ledger.apply(&event);
        self.scheduler.handle(now, event, &mut self.actions);
        if let Err(broken) = self.scheduler.check_invariants() {
            panic!("after {what:?} at {now:?}: {broken}");
        }
        self.nothing_follows_the_end();
        let mut told: Vec<Told> = self.actions.iter().flat_map(told_by).collect();
        told.sort_unstable();
        self.ledger.told.sort_unstable();
        assert_eq!(told, self.ledger.told, "outcomes of {what:?} at {now:?}");
        for action in &self.actions {
            self.ledger.obey(action, self.capacity_factor);
        }
        self.counts_agree();
        &self.actions
    }

    fn nothing_follows_the_end(&mut self) {
        for told in self.actions.iter().flat_map(told_by) {
            match told {
                Told::Outcome { job, .. } | Told::Failure { job, .. } | Told::Cancelled { job, .. } => {
                    assert!(!self.done.contains(&job), "{told:?} after its job was done");
                }
                Told::Halted { job } => assert!(!self.done.contains(&job), "{job:?} halts after its end"),
                Told::Done { job } => assert!(self.done.insert(job), "{job:?} ends twice"),
                Told::Stop { .. } => {}
            }
        }
        // Names are used once in the simulation, and again by the events that mean nothing.
        self.done.retain(|job| !self.ledger.jobs.contains_key(job));
    }

    fn counts_agree(&self) {
        let ignored = self.scheduler.ignored();
        let found = ignored.reports() + ignored.requests;
        assert_eq!(found, self.ledger.ignored, "events without effect");
        for (&id, job) in &self.ledger.jobs {
            assert_eq!(self.scheduler.task_counts(id), Some(job.counts), "counts of {id:?}");
        }
        assert_eq!(self.scheduler.totals().jobs, self.ledger.jobs.len(), "jobs that are not done");
    }
}

fn told_by(action: &Action) -> Vec<Told> {
    match *action {
        Action::Deliver { job, first, offset, count, attempt } => (0..count)
            .map(|nth| Told::Outcome { job, index: first + u64::from(nth), attempt, offset: offset + nth })
            .collect(),
        Action::Fail { job, index, attempt } => vec![Told::Failure { job, index, attempt }],
        Action::Cancel { job, first, count } => {
            (first..first + count).map(|index| Told::Cancelled { job, index }).collect()
        }
        Action::JobHalted { job } => vec![Told::Halted { job }],
        Action::Stop { batch, .. } => vec![Told::Stop { batch }],
        Action::JobDone { job } => vec![Told::Done { job }],
        Action::Assign { .. } | Action::TakeBack { .. } => Vec::new(),
    }
}
