//! One line in the log for each peer that is refused, unless there are so many that the log itself would be the harm.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in one interval; further refusals are counted.
const LINES_MAX: u32 = 50;
const INTERVAL: Duration = Duration::from_secs(10);

/// Tells of refused peers; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    tally: Arc<Mutex<Tally>>,
}

#[derive(Debug)]
struct Tally {
    since: Instant,
    told: u32,
    untold: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self { tally: Arc::new(Mutex::new(Tally { since: Instant::now(), told: 0, untold: 0 })) }
    }
}

impl Refusals {
    pub(super) fn log(&self, address: SocketAddr, why: &dyn Display) {
        if let Some(untold) = self.take_turn(Instant::now()) {
            if untold > 0 {
                tracing::warn!("{untold} more peers were refused");
            }
            tracing::warn!("refused {address}: {why}");
        }
    }

    /// How many were refused without a word before the line that may be written now; `None` if none may.
    fn take_turn(&self, now: Instant) -> Option<u64> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(tally.since) >= INTERVAL {
            (tally.since, tally.told) = (now, 0);
        }
        if tally.told == LINES_MAX {
            tally.untold += 1;
            return None;
        }
        tally.told += 1;
        Some(std::mem::take(&mut tally.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_few_lines_and_counted() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let turns: Vec<_> = (0..1000).filter_map(|_| refusals.take_turn(now)).collect();
        assert_eq!(turns, vec![0; LINES_MAX as usize]);
        assert_eq!(refusals.take_turn(now + INTERVAL), Some(1000 - u64::from(LINES_MAX)));
        assert_eq!(refusals.take_turn(now + INTERVAL), Some(0));
    }
}
