//! Jobs that the same workers may run share a lane: what orders them among each other is kept per lane, so that a job whose workers
//! are busy or missing stands in nobody's way. Nearly always there is one lane, that of the jobs which every worker may run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::alarms::Alarms;
use crate::classes::{ClassId, Classes};
use crate::event::JobId;
use crate::fairness::{Fairness, Turn};
use crate::takeback::Candidates;

/// A lane, named by the scheduler; never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId(u64);

/// The jobs that the same workers may run.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) classes: Classes,
    jobs: usize,
    pub(crate) fairness: Fairness,
    pub(crate) candidates: Candidates,
    /// Jobs with tasks that need a worker to themselves, in the order in which they get one.
    pub(crate) alone: BTreeSet<(Reverse<i32>, JobId)>,
    /// Jobs with tasks that may be copied, by when the first is late.
    pub(crate) late: Alarms,
}

impl Lane {
    fn new(classes: Classes) -> Self {
        Self {
            classes,
            jobs: 0,
            fairness: Fairness::default(),
            candidates: Candidates::default(),
            alone: BTreeSet::new(),
            late: Alarms::default(),
        }
    }

    /// The most urgent of its jobs that have something to hand out.
    fn first_priority(&self) -> Option<i32> {
        self.fairness.first().map(Turn::priority)
    }
}

/// The lane of the jobs that every worker may run.
const UNLIMITED: LaneId = LaneId(0);

/// All lanes that have jobs. The one without limits is always there, and is found without a search.
#[derive(Debug)]
pub(crate) struct Lanes {
    unlimited: Lane,
    limited: BTreeMap<LaneId, Lane>,
    last: LaneId,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { unlimited: Lane::new(Classes::All), limited: BTreeMap::new(), last: UNLIMITED }
    }
}

impl Lanes {
    /// The lane of the jobs with these classes, for one job more.
    pub(crate) fn enter(&mut self, classes: &Classes) -> LaneId {
        if *classes == Classes::All {
            return UNLIMITED;
        }
        let known = self.limited.iter_mut().find(|(_, lane)| lane.classes == *classes);
        if let Some((&id, lane)) = known {
            lane.jobs += 1;
            return id;
        }
        self.last.0 += 1;
        self.limited.insert(self.last, Lane { jobs: 1, ..Lane::new(classes.clone()) });
        self.last
    }

    /// A lane has one job less.
    pub(crate) fn leave(&mut self, id: LaneId) {
        let Some(lane) = self.limited.get_mut(&id) else { return };
        lane.jobs -= 1;
        if lane.jobs == 0 {
            self.limited.remove(&id);
        }
    }

    pub(crate) fn get(&self, id: LaneId) -> Option<&Lane> {
        if id == UNLIMITED { Some(&self.unlimited) } else { self.limited.get(&id) }
    }

    pub(crate) fn get_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        if id == UNLIMITED { Some(&mut self.unlimited) } else { self.limited.get_mut(&id) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        let limited = self.limited.iter().map(|(&id, lane)| (id, lane));
        [(UNLIMITED, &self.unlimited)].into_iter().chain(limited)
    }

    /// The lane after another; before all is the one without limits.
    pub(crate) fn next(&self, LaneId(before): LaneId) -> Option<LaneId> {
        self.limited.range(LaneId(before + 1)..).next().map(|(&id, _)| id)
    }

    /// Whose turn it is, but for lanes that were passed over.
    pub(crate) fn first(&self, passed: &[LaneId]) -> Option<(LaneId, JobId)> {
        let turn = |(id, lane): (LaneId, &Lane)| Some((lane.fairness.first()?, id));
        let first = if self.limited.is_empty() {
            turn((UNLIMITED, &self.unlimited)).filter(|_| passed.is_empty())
        } else {
            self.iter().filter(|(id, _)| !passed.contains(id)).filter_map(turn).min()
        };
        first.map(|(turn, id)| (id, turn.job()))
    }

    /// The lane, and the job in it, that has the first claim to a worker of its own, but for some lanes.
    pub(crate) fn first_alone(&self, passed: &[LaneId]) -> Option<(LaneId, Reverse<i32>, JobId)> {
        let open = self.iter().filter(|(id, _)| !passed.contains(id));
        let waiting =
            open.filter_map(|(id, lane)| lane.alone.first().map(|&(priority, job)| (priority, job, id)));
        waiting.min().map(|(priority, job, id)| (id, priority, job))
    }

    /// Whether the jobs of a lane may run on workers of a class.
    pub(crate) fn include(&self, id: LaneId, class: ClassId) -> bool {
        self.get(id).is_some_and(|lane| lane.classes.include(class))
    }

    fn sharing(&self, lane: &Lane) -> impl Iterator<Item = &Lane> {
        self.iter().map(|(_, other)| other).filter(|other| other.classes.overlap(&lane.classes))
    }

    /// Whether tasks wait for workers of a class that are more urgent than this.
    pub(crate) fn outrank(&self, class: ClassId, priority: i32) -> bool {
        let may_use = self.iter().filter(|(_, lane)| lane.classes.include(class));
        may_use.filter_map(|(_, lane)| lane.first_priority()).any(|first| first > priority)
    }

    /// Unanswered questions that idle slots of a lane may be waiting for.
    pub(crate) fn asked(&self, lane: &Lane) -> u64 {
        if self.limited.is_empty() {
            return lane.candidates.asked;
        }
        self.sharing(lane).map(|other| other.candidates.asked).sum()
    }

    /// The slot-time with which a job of a lane starts that gets something to hand out: that of the jobs it competes with, the
    /// least of several lanes; so it neither waits behind others for what they had elsewhere nor keeps them waiting.
    pub(crate) fn floor_ns(&self, id: LaneId, priority: i32) -> u128 {
        let Some(lane) = self.get(id) else { return 0 };
        let busy = self.sharing(lane).filter_map(|other| other.fairness.busy_floor_ns(priority)).min();
        busy.or_else(|| self.sharing(lane).filter_map(|other| other.fairness.floor_ns(priority)).max())
            .unwrap_or(0)
    }
}
