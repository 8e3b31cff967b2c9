//! The one file of this crate that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use poolmap_scheduler::Time;

/// Time since this coordinator started.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Now, for the scheduler.
    pub(crate) fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The time of day, in milliseconds since 1970, for people.
    pub(crate) fn wall_ms() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Waits until a moment; for ever if there is none.
    pub(crate) async fn reach(&self, moment: Option<Time>) {
        match moment {
            Some(moment) => {
                tokio::time::sleep_until((self.started + Duration::from_nanos(moment.0)).into()).await;
            }
            None => std::future::pending().await,
        }
    }
}

/// A moment some milliseconds after another.
pub(crate) fn after_ms(moment: Time, ms: u64) -> Time {
    Time(moment.0.saturating_add(ms.saturating_mul(1_000_000)))
}

/// A moment some time after another.
pub(crate) fn after(moment: Time, time: Duration) -> Time {
    Time(moment.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

/// How much time lies between two readings.
pub(crate) fn between(earlier: Time, later: Time) -> Duration {
    Duration::from_nanos(later.0.saturating_sub(earlier.0))
}
