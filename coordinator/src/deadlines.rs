//! When jobs must be done.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use poolmap_scheduler::{JobId, Time};

/// Deadlines of jobs, the earliest first. Those of jobs that are done are still here; they have no effect.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Time, JobId)>>,
}

impl Deadlines {
    pub(crate) fn add(&mut self, at: Time, job: JobId) {
        self.heap.push(Reverse((at, job)));
    }

    /// The earliest of them.
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// A job whose deadline has come; each is returned once.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<JobId> {
        let is_due = self.next().is_some_and(|at| at <= now);
        if is_due { self.heap.pop().map(|Reverse((_, job))| job) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_due_in_the_order_of_their_deadlines_and_once() {
        let mut deadlines = Deadlines::default();
        deadlines.add(Time(20), JobId(1));
        deadlines.add(Time(10), JobId(2));
        assert_eq!(deadlines.next(), Some(Time(10)));
        assert_eq!(deadlines.take_due(Time(9)), None);
        assert_eq!(deadlines.take_due(Time(25)), Some(JobId(2)));
        assert_eq!(deadlines.take_due(Time(25)), Some(JobId(1)));
        assert_eq!((deadlines.take_due(Time(25)), deadlines.next()), (None, None));
    }
}
