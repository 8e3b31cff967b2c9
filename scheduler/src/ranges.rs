//! Consecutive tasks of a job.

use crate::tries::Retry;

/// Consecutive tasks of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Index of the first task.
    pub(crate) first: u64,
    /// How many tasks.
    pub(crate) count: u32,
    /// Which chunk of the job. The number may wrap around: it only tells neighbours apart.
    pub(crate) chunk: u32,
}

impl Range {
    /// One task that was tried before. It is a chunk of its own as far as it matters: it is never merged.
    pub(crate) fn of_retry(retry: Retry) -> Self {
        Self { first: retry.index, count: 1, chunk: 0 }
    }

    /// Index after the last task.
    pub(crate) fn end(self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// What is left behind the first `count` tasks.
    pub(crate) fn after(self, count: u32) -> Self {
        let count = count.min(self.count);
        Self { first: self.first + u64::from(count), count: self.count - count, chunk: self.chunk }
    }

    /// The first `count` tasks.
    pub(crate) fn until(self, count: u32) -> Self {
        Self { count: count.min(self.count), ..self }
    }
}
