//! When a worker leaves: because it was told to, has had nothing to do for too long, or may not run for much longer. Figures
//! in, steps out.

use std::time::{Duration, Instant};

/// Before its time limit a worker begins no task, however short tasks seem to be.
const FLOOR: Duration = Duration::from_secs(1);

/// What a worker knows of its end.
#[derive(Debug)]
pub(super) struct Leaving {
    idle_timeout: Option<Duration>,
    /// When its time is over, whatever runs.
    ends_at: Option<Instant>,
    idle_since: Option<Instant>,
    is_draining: bool,
    /// When what still runs is stopped.
    stop_at: Option<Instant>,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Take nothing new, and give back what has not begun.
    Drain(Reason),
    /// Stop what runs.
    Stop,
}

/// Why a worker leaves by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Idle(Duration),
    TimeLimit,
}

impl Leaving {
    pub(super) fn new(idle_timeout: Option<Duration>, time_limit: Option<Duration>, now: Instant) -> Self {
        let ends_at = time_limit.and_then(|limit| now.checked_add(limit));
        Self { idle_timeout, ends_at, idle_since: None, is_draining: false, stop_at: None }
    }

    /// Whether it has begun to leave.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// It was told to leave; what runs may go on for so long.
    pub(super) fn told(&mut self, now: Instant, grace: Option<Duration>) {
        self.is_draining = true;
        let stop_at = grace.and_then(|grace| now.checked_add(grace));
        self.stop_at = self.stop_at.into_iter().chain(stop_at).min();
    }

    /// What is due. `longest_task`: what a task must be expected to take.
    pub(super) fn look(&mut self, now: Instant, is_idle: bool, longest_task: Duration) -> Option<Step> {
        if self.is_draining {
            let stop_at = self.stop_at.into_iter().chain(self.ends_at).min();
            return stop_at.is_some_and(|stop_at| stop_at <= now).then_some(Step::Stop);
        }
        self.idle_since = is_idle.then(|| self.idle_since.unwrap_or(now));
        let reason = self.reason(now, longest_task)?;
        self.is_draining = true;
        Some(Step::Drain(reason))
    }

    fn reason(&self, now: Instant, longest_task: Duration) -> Option<Reason> {
        if let (Some(timeout), Some(since)) = (self.idle_timeout, self.idle_since)
            && now.saturating_duration_since(since) >= timeout
        {
            return Some(Reason::Idle(timeout));
        }
        let left = self.ends_at?.saturating_duration_since(now);
        (left <= longest_task.max(FLOOR)).then_some(Reason::TimeLimit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_worker_that_was_given_no_reason_stays() {
        let start = Instant::now();
        let mut leaving = Leaving::new(None, None, start);
        assert_eq!(leaving.look(start + seconds(1 << 30), true, seconds(9)), None);
    }

    #[test]
    fn the_idle_time_counts_from_the_last_work() {
        let start = Instant::now();
        let mut leaving = Leaving::new(Some(seconds(10)), None, start);
        assert_eq!(leaving.look(start, true, seconds(0)), None);
        assert_eq!(leaving.look(start + seconds(8), false, seconds(0)), None);
        assert_eq!(leaving.look(start + seconds(20), true, seconds(0)), None);
        assert_eq!(leaving.look(start + seconds(29), true, seconds(0)), None);
        let step = leaving.look(start + seconds(30), true, seconds(0));
        assert_eq!(step, Some(Step::Drain(Reason::Idle(seconds(10)))));
        assert_eq!(leaving.look(start + seconds(40), true, seconds(0)), None, "it is leaving");
    }

    #[test]
    fn no_task_begins_that_would_not_end_in_time_and_the_last_ones_are_stopped() {
        for (longest, drains_at) in [(seconds(0), 99), (seconds(30), 70)] {
            let start = Instant::now();
            let mut leaving = Leaving::new(None, Some(seconds(100)), start);
            assert_eq!(leaving.look(start + seconds(drains_at - 1), false, longest), None);
            let step = leaving.look(start + seconds(drains_at), false, longest);
            assert_eq!((step, leaving.is_draining()), (Some(Step::Drain(Reason::TimeLimit)), true));
            assert_eq!(leaving.look(start + seconds(99), false, longest), None);
            assert_eq!(leaving.look(start + seconds(100), false, longest), Some(Step::Stop));
        }
    }

    #[test]
    fn what_ends_first_ends_it() {
        let start = Instant::now();
        let mut leaving = Leaving::new(None, Some(seconds(100)), start);
        leaving.told(start, None);
        leaving.told(start, Some(seconds(30)));
        leaving.told(start + seconds(1), Some(seconds(50)));
        assert_eq!(leaving.look(start + seconds(29), false, seconds(0)), None);
        assert_eq!(leaving.look(start + seconds(30), false, seconds(0)), Some(Step::Stop));
    }
}
