//! How many jobs of Slurm a group should have: never fewer than its minimum, and more while tasks wait.

use std::time::{Duration, Instant};

/// Pause before jobs that have failed are submitted anew; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LAST_PAUSE: Duration = Duration::from_secs(600);
/// Time that tasks must have waited before another allocation is asked for: shorter work would be done before it is there.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(3);

/// What there is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Present {
    /// Jobs that stay as long as the cluster is up, queued or running.
    pub(crate) permanent: usize,
    /// Jobs that leave when idle, queued or running.
    pub(crate) temporary: usize,
    /// Those of both whose workers have not joined.
    pub(crate) not_joined: usize,
    /// Tasks that no worker has, of jobs which workers of the group could run.
    pub(crate) waiting_tasks: u64,
    /// Slots of a worker of the group, as far as is known.
    pub(crate) slots: u32,
}

/// What to submit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) permanent: usize,
    pub(crate) temporary: usize,
}

/// The rule, and what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    min: usize,
    max: usize,
    pause: Duration,
    not_before: Option<Instant>,
    waiting_since: Option<Instant>,
}

impl Growth {
    pub(crate) fn new(min: usize, max: usize) -> Self {
        Self { min, max, pause: FIRST_PAUSE, not_before: None, waiting_since: None }
    }

    /// What to submit now.
    pub(crate) fn decide(&mut self, present: Present, now: Instant) -> Wanted {
        if present.waiting_tasks == 0 {
            self.waiting_since = None;
        } else {
            self.waiting_since.get_or_insert(now);
        }
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return Wanted::default();
        }
        let permanent = self.min.saturating_sub(present.permanent);
        let has_waited = self.waiting_since.is_some_and(|since| now - since >= BACKLOG_PATIENCE);
        let workers =
            if has_waited { present.waiting_tasks.div_ceil(u64::from(present.slots.max(1))) } else { 0 };
        let there = present.permanent + permanent + present.temporary;
        let coming = present.not_joined + permanent;
        let more = usize::try_from(workers).unwrap_or(usize::MAX).saturating_sub(coming);
        Wanted { permanent, temporary: more.min(self.max.saturating_sub(there)) }
    }

    /// A job failed, or could not be submitted: no storm.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.not_before = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// A worker has joined: what was wrong is right.
    pub(crate) fn joined(&mut self) {
        self.pause = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(permanent: usize, temporary: usize, waiting_tasks: u64) -> Present {
        Present { permanent, temporary, waiting_tasks, slots: 4, not_joined: 0 }
    }

    /// After tasks have waited for long enough.
    fn patient(min: usize, max: usize, present: Present) -> Wanted {
        let (mut growth, now) = (Growth::new(min, max), Instant::now());
        assert_eq!(growth.decide(present, now).temporary, 0);
        growth.decide(present, now + BACKLOG_PATIENCE)
    }

    #[test]
    fn the_minimum_is_there_whatever_there_is_to_do() {
        let wanted = Growth::new(3, 5).decide(present(1, 0, 0), Instant::now());
        assert_eq!(wanted, Wanted { permanent: 2, temporary: 0 });
    }

    #[test]
    fn tasks_that_wait_bring_workers_up_to_the_maximum() {
        assert_eq!(patient(1, 10, present(1, 0, 9)).temporary, 3);
        assert_eq!(patient(1, 10, present(1, 2, 1_000_000)).temporary, 7);
        assert_eq!(patient(1, 1, present(1, 0, 1_000_000)).temporary, 0);
    }

    #[test]
    fn those_on_their_way_count() {
        let queued = Present { not_joined: 2, ..present(1, 2, 9) };
        assert_eq!(patient(1, 10, queued).temporary, 1);
    }

    #[test]
    fn what_failed_is_tried_again_later_and_later() {
        let (mut growth, mut now) = (Growth::new(1, 1), Instant::now());
        for pause in [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4] {
            assert_eq!(growth.decide(present(0, 0, 0), now).permanent, 1);
            growth.failed(now);
            assert_eq!(growth.decide(present(0, 0, 0), now).permanent, 0);
            now += pause;
        }
        growth.joined();
        growth.failed(now);
        assert_eq!(growth.decide(present(0, 0, 0), now + FIRST_PAUSE).permanent, 1);
    }
}
