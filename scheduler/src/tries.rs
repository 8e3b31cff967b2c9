//! How often a task has been tried, how those attempts ended, and when the next one is due.

use crate::config::Config;
use crate::event::JobId;
use crate::options::JobOptions;

/// How an attempt ended that is not the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its child or worker died, and it may be the reason.
    Crashed,
    /// It failed, and may be tried again.
    Failed,
    /// It was killed because memory ran short.
    Evicted,
    /// Its worker was taken away.
    Lost,
}

/// How often the tasks of a batch have been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Number of this attempt, from 1.
    pub(crate) attempt: u32,
    /// Earlier attempts by how they ended.
    pub(crate) crashes: u32,
    pub(crate) failures: u32,
    pub(crate) evictions: u32,
}

impl Tries {
    pub(crate) const FIRST: Self = Self { attempt: 1, crashes: 0, failures: 0, evictions: 0 };

    /// The same attempt, with one more that has ended so.
    pub(crate) fn with(mut self, end: End) -> Self {
        let ends = match end {
            End::Crashed => &mut self.crashes,
            End::Failed => &mut self.failures,
            End::Evicted => &mut self.evictions,
            End::Lost => return self,
        };
        *ends = ends.saturating_add(1);
        self
    }

    /// Whether the task needs a worker to itself: it was evicted before.
    pub(crate) fn is_alone(self) -> bool {
        self.evictions > 0
    }
}

/// A task that was tried before and waits to run again, in a batch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) index: u64,
    pub(crate) tries: Tries,
}

impl Retry {
    /// How long it has to wait after a failure, in nanoseconds.
    pub(crate) fn delay_ns(self, job: JobId, options: &JobOptions, config: &Config) -> u64 {
        let first_ns = options.retry_delay_ns;
        let doublings = self.tries.failures.saturating_sub(1);
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        let delay_ns = first_ns.saturating_mul(factor).min(config.retry_delay_max_ns.max(first_ns));
        let spread_ns = delay_ns / 2;
        let part = mix(mix(mix(job.0) ^ self.index) ^ u64::from(self.tries.attempt)) >> 32;
        let jitter_ns = (u128::from(spread_ns) * u128::from(part)) >> 32;
        (delay_ns - spread_ns / 2).saturating_add(jitter_ns as u64)
    }
}

/// Turns a number into one that looks random: the last steps of `SplitMix64`.
fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn delay_ns(index: u64, failures: u32, first_ns: u64) -> u64 {
        let tries = Tries { attempt: failures + 1, failures, ..Tries::FIRST };
        let options = JobOptions { retry_delay_ns: first_ns, ..JobOptions::default() };
        Retry { index, tries }.delay_ns(JobId(1), &options, &Config::default())
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute_and_varies_by_a_quarter() {
        for index in 0..1_000 {
            for (failures, typical) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (200, 60)] {
                let quarters = delay_ns(index, failures, SECOND) * 4 / SECOND;
                assert!((3 * typical..=5 * typical).contains(&quarters), "{failures}: {quarters} quarters");
            }
        }
    }

    #[test]
    fn tasks_that_failed_together_come_back_apart() {
        let mut delays: Vec<_> =
            (0..1_000).map(|index| delay_ns(index, 1, SECOND) / (SECOND / 100)).collect();
        delays.sort_unstable();
        delays.dedup();
        assert_eq!(delays.len(), 50, "every hundredth from 0.75 s to 1.25 s");
    }

    #[test]
    fn a_first_delay_beyond_a_minute_stays_as_it_is() {
        assert!(delay_ns(0, 3, 100 * SECOND) >= 75 * SECOND);
        assert!(delay_ns(0, 3, u64::MAX) >= u64::MAX / 2);
    }

    #[test]
    fn no_delay_is_none() {
        assert_eq!(delay_ns(0, 9, 0), 0);
    }

    #[test]
    fn a_task_that_waits_to_run_again_is_a_small_object() {
        assert_eq!(size_of::<Retry>(), 24);
    }
}
