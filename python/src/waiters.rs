//! A thread that waits for the only outcome which is to come settles its future itself: nobody else must be woken first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::delivery::News;

/// While a thread waits, it looks so often whether a signal came.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// The futures of a job, counted, and who waits for one of them here.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Futures whose outcome has not come, and futures that are not settled.
    coming: AtomicU64,
    unsettled: AtomicU64,
    seat: Mutex<Option<Seat>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Seat {
    /// The address of the future, which the thread that waits keeps alive.
    future: usize,
    news: Option<News>,
    /// Its outcome has come with others, and another thread settles them all.
    is_over: bool,
}

impl Waiters {
    /// There is one future more.
    pub(crate) fn expect_one(&self) {
        self.coming.fetch_add(1, Ordering::SeqCst);
        self.unsettled.fetch_add(1, Ordering::SeqCst);
    }

    /// So many futures were settled, or dropped.
    pub(crate) fn settled(&self, count: usize) {
        self.unsettled.fetch_sub(count as u64, Ordering::SeqCst);
    }

    /// Takes what has come if somebody waits for just this; else gives it back, for the thread that settles futures.
    pub(crate) fn offer(&self, news: News) -> Option<News> {
        let count = news.futures().len();
        self.coming.fetch_sub(count as u64, Ordering::SeqCst);
        let mut seat = self.lock();
        let Some(waiting) = seat.as_mut() else { return Some(news) };
        if !news.futures().iter().flatten().any(|future| future.as_ptr() as usize == waiting.future) {
            return Some(news);
        }
        let mut news = Some(news);
        if count > 1 {
            waiting.is_over = true;
        } else {
            waiting.news = news.take();
        }
        // Whoever is woken needs the lock.
        drop(seat);
        self.changed.notify_all();
        news
    }

    /// Waits for the outcome of a future, unless others are to come, too. Returns it if this thread is to settle it; the
    /// future may also be settled by another one, or not at all by the deadline.
    pub(crate) fn wait(
        &self,
        future: &Bound<'_, PyAny>,
        deadline: Option<Instant>,
    ) -> PyResult<Option<News>> {
        if !self.sit(future) {
            return Ok(None);
        }
        let py = future.py();
        loop {
            let waited = py.detach(|| self.wait_a_moment(deadline));
            let is_late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            let checked = if waited { Ok(()) } else { py.check_signals() };
            if waited || is_late || checked.is_err() || is_done(future)? {
                // What came meanwhile is settled even if a signal has come, too.
                let news = self.lock().take().and_then(|seat| seat.news);
                return if news.is_some() { Ok(news) } else { checked.map(|()| None) };
            }
        }
    }

    fn sit(&self, future: &Bound<'_, PyAny>) -> bool {
        let mut seat = self.lock();
        // Whatever has come by now was counted before it could be offered.
        let is_only_one =
            self.coming.load(Ordering::SeqCst) == 1 && self.unsettled.load(Ordering::SeqCst) == 1;
        let may_sit = is_only_one && seat.is_none();
        if may_sit {
            *seat = Some(Seat { future: future.as_ptr() as usize, news: None, is_over: false });
        }
        may_sit
    }

    /// Returns whether the outcome has come.
    fn wait_a_moment(&self, deadline: Option<Instant>) -> bool {
        let left =
            deadline.map_or(SIGNAL_INTERVAL, |deadline| deadline.saturating_duration_since(Instant::now()));
        let has_come =
            |seat: &Option<Seat>| seat.as_ref().is_none_or(|seat| seat.is_over || seat.news.is_some());
        let waited =
            self.changed.wait_timeout_while(self.lock(), left.min(SIGNAL_INTERVAL), |seat| !has_come(seat));
        has_come(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seat>> {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    future.call_method0(pyo3::intern!(future.py(), "done"))?.is_truthy()
}
