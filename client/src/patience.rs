//! How long to try again after the connection was lost, and when next.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;
use tonic::Status;

use crate::error::{ClientError, is_lost};

/// About the first pause: most losses are over by then.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is left of a client's patience.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// When the connection was lost, unless there is one.
    lost_at: Option<Instant>,
    /// Nothing came through since the last loss.
    is_shaken: bool,
    pauses: ExponentialBackoff,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, lost_at: None, is_shaken: false, pauses: pauses() }
    }

    /// There is a connection again. It has yet to prove worth something.
    pub(crate) fn connected(&mut self) {
        self.lost_at = None;
    }

    /// Something came through.
    pub(crate) fn progressed(&mut self) {
        self.lost_at = None;
        if std::mem::take(&mut self.is_shaken) {
            self.pauses = pauses();
        }
    }

    /// When to try again after a call that failed, or why not.
    pub(crate) fn retry_at(&mut self, status: Status) -> Result<Instant, ClientError> {
        if !is_lost(&status) {
            return Err(status.into());
        }
        self.is_shaken = true;
        let now = Instant::now();
        let deadline = *self.lost_at.get_or_insert(now) + self.limit;
        let pause = self.pauses.next().unwrap_or(LONGEST_PAUSE);
        if now + pause < deadline { Ok(now + pause) } else { Err(status.into()) }
    }
}

/// Pauses that double, each longer by a random part of itself, so that clients that were cut off together do not come back together.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn patience_ends_some_time_after_the_loss() {
        let mut patience = Patience::new(Duration::from_secs(5));
        let begun = Instant::now();
        let mut tries = 0;
        while let Ok(at) = patience.retry_at(Status::unavailable("gone")) {
            tokio::time::sleep_until(at).await;
            tries += 1;
        }
        assert!((3..50).contains(&tries) && begun.elapsed() <= Duration::from_secs(5), "{tries} tries");
        patience.progressed();
        assert!(patience.retry_at(Status::unavailable("gone")).is_ok(), "a new loss");
    }

    #[tokio::test]
    async fn a_refusal_is_final() {
        let mut patience = Patience::new(Duration::from_secs(5));
        let error = patience.retry_at(Status::invalid_argument("no"));
        assert!(matches!(error, Err(ClientError::Refused(reason)) if reason == "no"));
    }
}
