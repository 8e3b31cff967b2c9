//! A job as a worker knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::v1::{ChildOptions, FunctionList};

use crate::files::JobFolder;
use crate::launch::Launcher;

/// What a worker needs to run tasks of a job. Shared by all slots.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// Body of the frame that loads the function in a runner.
    pub(crate) function: Bytes,
    /// What its payloads may name, if they are pickled calls.
    pub(crate) functions: Functions,
    /// Payloads of a batch are joined by commas, so that they are one JSON text.
    pub(crate) joins_payloads: bool,
    /// Outcomes come with details.
    pub(crate) has_details: bool,
    pub(crate) max_tasks_per_child: Option<u64>,
    pub(crate) max_child_rss_bytes: Option<u64>,
    /// Time an attempt may take.
    pub(crate) timeout: Option<Duration>,
    /// What its children are started with, a time-out apart, where another job whose children are started alike may use them.
    pub(crate) shared_child: Option<ChildOptions>,
    /// Where the files are that travel with it; absent if none do.
    pub(crate) folder: Option<Arc<JobFolder>>,
    /// Starts runners for it.
    pub(crate) launcher: Launcher,
    pub(crate) task_time: TaskTime,
}

impl Job {
    /// Whether children of another job may run tasks of this one.
    pub(crate) fn shares_children_with(&self, other: &Self) -> bool {
        self.shared_child.is_some()
            && self.shared_child == other.shared_child
            && self.function == other.function
    }
}

/// The longest time that tasks have taken lately.
#[derive(Debug, Default)]
pub(crate) struct TaskTime(AtomicU64);

impl TaskTime {
    /// A longer time counts at once; with each shorter one a part of what is remembered fades.
    const FADING: u64 = 16;

    /// Notes what a task took, or several on the average.
    pub(crate) fn note(&self, time: Duration) {
        let before = self.0.load(Ordering::Relaxed);
        let noted = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(noted.max(before - before / Self::FADING), Ordering::Relaxed);
    }

    /// Zero as long as no task has ended.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// The functions of a job of pickled calls; it grows while the job runs.
#[derive(Debug, Default)]
pub(crate) struct Functions(Mutex<Vec<Bytes>>);

impl Functions {
    /// Appends those that are not there yet.
    pub(crate) fn add(&self, list: FunctionList) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = (known.len() as u64).checked_sub(list.first).and_then(|new| usize::try_from(new).ok());
        known.extend(list.functions.into_iter().skip(skipped.unwrap_or(usize::MAX)));
    }

    /// Those from a number on.
    pub(crate) fn from(&self, first: usize) -> Vec<Bytes> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(first..).unwrap_or_default().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_task_is_remembered_for_a_while() {
        let time = TaskTime::default();
        assert_eq!(time.longest(), Duration::ZERO);
        time.note(Duration::from_secs(16));
        time.note(Duration::from_secs(1));
        assert_eq!(time.longest(), Duration::from_secs(15));
        (0..100).for_each(|_| time.note(Duration::from_secs(1)));
        assert_eq!(time.longest(), Duration::from_secs(1));
        time.note(Duration::from_secs(2));
        assert_eq!(time.longest(), Duration::from_secs(2));
    }
}
