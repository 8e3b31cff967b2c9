//! Whose turn it is: the highest priority first, then the job that has had the least slot-time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::event::JobId;

/// A job's standing. Slot-time is wide, because nanoseconds of a million slots overflow 64 bits within hours.
#[derive(Debug)]
pub(crate) struct Share {
    priority: i32,
    /// Slot-time it has had, as measured.
    served_ns: u128,
    /// Slot-time that its batches in flight are expected to take.
    pending_ns: u128,
    is_ready: bool,
}

impl Share {
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready
    }

    pub(crate) fn priority(&self) -> i32 {
        self.priority
    }

    fn turn(&self, job: JobId) -> Turn {
        Turn { priority: Reverse(self.priority), slot_ns: self.served_ns + self.pending_ns, job }
    }
}

/// Place of a ready job in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    priority: Reverse<i32>,
    slot_ns: u128,
    job: JobId,
}

impl Turn {
    pub(crate) fn job(self) -> JobId {
        self.job
    }

    pub(crate) fn priority(self) -> i32 {
        self.priority.0
    }
}

/// What the jobs of one priority have in common.
#[derive(Debug, Default)]
struct Level {
    /// Slot-time that the job with the last turn has had, as measured: an expectation that was wrong must not
    /// last. Who becomes ready starts here at least: being away earns no credit, and being new is no
    /// drawback.
    floor_ns: u128,
    jobs: usize,
    ready: usize,
}

/// The jobs of one lane that have something to hand out, in order.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    ready: BTreeSet<Turn>,
    levels: BTreeMap<i32, Level>,
}

impl Fairness {
    /// A new job's standing.
    pub(crate) fn admit(&mut self, priority: i32) -> Share {
        let level = self.levels.entry(priority).or_default();
        level.jobs += 1;
        Share { priority, served_ns: level.floor_ns, pending_ns: 0, is_ready: false }
    }

    /// A job comes from another lane with what it has had.
    pub(crate) fn enter(&mut self, share: &Share) {
        self.levels.entry(share.priority).or_default().jobs += 1;
    }

    /// Forgets a job.
    pub(crate) fn leave(&mut self, job: JobId, share: &mut Share) {
        self.set_ready(job, share, None);
        if let Some(level) = self.levels.get_mut(&share.priority) {
            level.jobs -= 1;
            if level.jobs == 0 {
                self.levels.remove(&share.priority);
            }
        }
    }

    /// Tells that the job has something to hand out and starts with so much slot-time at least, or that it has nothing.
    pub(crate) fn set_ready(&mut self, job: JobId, share: &mut Share, floor_ns: Option<u128>) {
        if share.is_ready == floor_ns.is_some() {
            return;
        }
        let Some(level) = self.levels.get_mut(&share.priority) else { return };
        share.is_ready = floor_ns.is_some();
        if let Some(floor_ns) = floor_ns {
            level.ready += 1;
            share.served_ns = share.served_ns.max(floor_ns);
            self.ready.insert(share.turn(job));
        } else {
            level.ready -= 1;
            self.ready.remove(&share.turn(job));
        }
    }

    /// Whose turn it is.
    pub(crate) fn first(&self) -> Option<Turn> {
        self.ready.first().copied()
    }

    /// Where jobs of a priority stand, if there are any.
    pub(crate) fn floor_ns(&self, priority: i32) -> Option<u128> {
        self.levels.get(&priority).map(|level| level.floor_ns)
    }

    /// The same, if any of them has something to hand out.
    pub(crate) fn busy_floor_ns(&self, priority: i32) -> Option<u128> {
        self.levels.get(&priority).filter(|level| level.ready > 0).map(|level| level.floor_ns)
    }

    /// The job whose turn it was took it, for so much slot-time as far as is known.
    pub(crate) fn serve(&mut self, job: JobId, share: &mut Share, expected_ns: u64) {
        if let Some(level) = self.levels.get_mut(&share.priority) {
            level.floor_ns = level.floor_ns.max(share.served_ns);
        }
        self.change(job, share, |share| share.pending_ns += u128::from(expected_ns));
    }

    /// What was expected to take `expected_ns` is over and took `busy_ns`.
    pub(crate) fn settle(&mut self, job: JobId, share: &mut Share, expected_ns: u64, busy_ns: u64) {
        self.change(job, share, |share| {
            share.pending_ns = share.pending_ns.saturating_sub(u128::from(expected_ns));
            share.served_ns += u128::from(busy_ns);
        });
    }

    fn change(&mut self, job: JobId, share: &mut Share, change: impl FnOnce(&mut Share)) {
        let before = share.turn(job);
        change(share);
        if share.is_ready && before != share.turn(job) {
            self.ready.remove(&before);
            self.ready.insert(share.turn(job));
        }
    }

    pub(crate) fn ready_jobs(&self) -> usize {
        self.ready.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: JobId = JobId(1);
    const B: JobId = JobId(2);

    fn ready(fairness: &mut Fairness, job: JobId, share: &mut Share) {
        let floor_ns = fairness.floor_ns(share.priority);
        fairness.set_ready(job, share, floor_ns);
    }

    fn first(fairness: &Fairness) -> Option<JobId> {
        fairness.first().map(Turn::job)
    }

    /// A turn from its beginning to its end.
    fn run(fairness: &mut Fairness, job: JobId, share: &mut Share, busy_ns: u64) {
        fairness.serve(job, share, 1_000);
        fairness.settle(job, share, 1_000, busy_ns);
    }

    #[test]
    fn the_higher_priority_goes_first_however_much_it_had() {
        let mut fairness = Fairness::default();
        let (mut low, mut high) = (fairness.admit(0), fairness.admit(1));
        ready(&mut fairness, A, &mut low);
        ready(&mut fairness, B, &mut high);
        run(&mut fairness, B, &mut high, 1_000_000);
        assert_eq!(first(&fairness), Some(B));
    }

    #[test]
    fn jobs_of_one_priority_take_turns_by_slot_time() {
        let mut fairness = Fairness::default();
        let (mut a, mut b) = (fairness.admit(0), fairness.admit(0));
        ready(&mut fairness, A, &mut a);
        ready(&mut fairness, B, &mut b);
        let mut turns = Vec::new();
        for _ in 0..8 {
            let job = first(&fairness);
            turns.extend(job.map(|job| job.0));
            if job == Some(A) { run(&mut fairness, A, &mut a, 30) } else { run(&mut fairness, B, &mut b, 10) }
        }
        assert_eq!(turns, [1, 2, 2, 2, 1, 2, 2, 2]);
    }

    #[test]
    fn a_new_job_starts_beside_the_others_and_not_before_them() {
        let mut fairness = Fairness::default();
        let mut a = fairness.admit(0);
        ready(&mut fairness, A, &mut a);
        for _ in 0..100 {
            run(&mut fairness, A, &mut a, 10);
        }
        let mut b = fairness.admit(0);
        ready(&mut fairness, B, &mut b);
        assert_eq!(first(&fairness), Some(B), "it starts at once");
        run(&mut fairness, B, &mut b, 15);
        assert_eq!(first(&fairness), Some(A), "and does not catch up on the past");
    }

    #[test]
    fn being_away_earns_no_credit() {
        let mut fairness = Fairness::default();
        let (mut a, mut b) = (fairness.admit(0), fairness.admit(0));
        ready(&mut fairness, A, &mut a);
        for _ in 0..100 {
            run(&mut fairness, A, &mut a, 10);
        }
        ready(&mut fairness, B, &mut b);
        run(&mut fairness, B, &mut b, 15);
        assert_eq!(first(&fairness), Some(A));
    }

    #[test]
    fn a_retired_job_leaves_nothing() {
        let mut fairness = Fairness::default();
        let mut a = fairness.admit(0);
        ready(&mut fairness, A, &mut a);
        fairness.leave(A, &mut a);
        assert_eq!(first(&fairness), None);
        assert!(fairness.levels.is_empty());
    }

    #[test]
    fn what_is_in_flight_counts_as_far_as_it_is_known() {
        let mut fairness = Fairness::default();
        let (mut a, mut b) = (fairness.admit(0), fairness.admit(0));
        ready(&mut fairness, A, &mut a);
        ready(&mut fairness, B, &mut b);
        fairness.serve(A, &mut a, 20);
        assert_eq!(first(&fairness), Some(B));
        fairness.serve(B, &mut b, 30);
        assert_eq!(first(&fairness), Some(A));
    }

    #[test]
    fn an_expectation_that_was_wrong_does_not_keep_a_new_job_waiting() {
        let mut fairness = Fairness::default();
        let mut a = fairness.admit(0);
        ready(&mut fairness, A, &mut a);
        fairness.serve(A, &mut a, 1_000_000);
        fairness.serve(A, &mut a, 1_000_000);
        let mut b = fairness.admit(0);
        ready(&mut fairness, B, &mut b);
        fairness.settle(A, &mut a, 2_000_000, 2);
        assert_eq!(first(&fairness), Some(B));
    }
}
