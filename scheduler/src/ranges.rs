//! The un-begun tasks of one job: a few ranges, and one small object for each task that crashed before.
//!
//! A range never spans two chunks (two `TasksAdded` events), and neither does what is carved from it.

use std::collections::VecDeque;

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

/// How often the tasks of a batch have been tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Number of this attempt, from 1.
    pub(crate) attempt: u32,
    /// Earlier attempts that ended with a dead child or worker.
    pub(crate) crashes: u32,
}

impl Tries {
    pub(crate) const FIRST: Self = Self { attempt: 1, crashes: 0 };

    /// The next attempt, after this one crashed.
    pub(crate) fn after_crash(self) -> Self {
        Self { attempt: self.attempt.saturating_add(1), crashes: self.crashes.saturating_add(1) }
    }
}

/// A task that crashed before and waits to run again, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) index: u64,
    pub(crate) tries: Tries,
}

impl Retry {
    fn range(self) -> Range {
        Range { first: self.index, count: 1, chunk: 0 }
    }
}

/// The un-begun tasks of one job, in the order in which they will be handed out: those that crashed before,
/// then those that came back, then those that are new.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    ranges: VecDeque<Range>,
    retries: VecDeque<Retry>,
    chunks: u32,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.retries.is_empty()
    }

    /// Appends a new chunk.
    pub(crate) fn append(&mut self, first: u64, count: u32) {
        if count > 0 {
            self.ranges.push_back(Range { first, count, chunk: self.chunks });
            self.chunks = self.chunks.wrapping_add(1);
        }
    }

    /// Puts back what was handed out and did not begin. It goes to the front, since its neighbours have been
    /// done.
    pub(crate) fn give_back(&mut self, range: Range, tries: Tries) {
        if range.count == 0 {
        } else if tries != Tries::FIRST {
            self.retry(Retry { index: range.first, tries });
        } else if let Some(front) =
            self.ranges.front_mut().filter(|front| front.chunk == range.chunk && front.first == range.end())
        {
            *front = Range { count: front.count + range.count, ..range };
        } else {
            self.ranges.push_front(range);
        }
    }

    /// Queues a task that crashed before.
    pub(crate) fn retry(&mut self, retry: Retry) {
        self.retries.push_back(retry);
    }

    /// Most tasks that the next batch can hold: one for a retry, else what is left of the first range.
    pub(crate) fn next_count(&self) -> u32 {
        if self.retries.is_empty() { self.ranges.front().map_or(0, |front| front.count) } else { 1 }
    }

    /// Carves off the next batch of at most `count` tasks.
    pub(crate) fn take(&mut self, count: u32) -> Option<(Range, Tries)> {
        if let Some(retry) = self.retries.pop_front() {
            return Some((retry.range(), retry.tries));
        }
        let front = self.ranges.front_mut()?;
        let taken = front.until(count);
        *front = front.after(count);
        if front.count == 0 {
            self.ranges.pop_front();
        }
        Some((taken, Tries::FIRST))
    }

    /// Everything that waits, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> {
        self.retries.iter().map(|retry| retry.range()).chain(self.ranges.iter().copied())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.retries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(chunks: &[u32]) -> Backlog {
        let mut backlog = Backlog::default();
        let mut first = 0;
        for &count in chunks {
            backlog.append(first, count);
            first += u64::from(count);
        }
        backlog
    }

    fn take(backlog: &mut Backlog, count: u32) -> Option<(u64, u32, u32)> {
        backlog.take(count).map(|(range, tries)| (range.first, range.count, tries.attempt))
    }

    #[test]
    fn a_batch_never_spans_two_chunks() {
        let mut backlog = backlog(&[3, 4]);
        assert_eq!(take(&mut backlog, 2), Some((0, 2, 1)));
        assert_eq!(take(&mut backlog, 2), Some((2, 1, 1)));
        assert_eq!(take(&mut backlog, 9), Some((3, 4, 1)));
        assert_eq!(take(&mut backlog, 1), None);
    }

    #[test]
    fn what_comes_back_goes_first() {
        let mut backlog = backlog(&[10]);
        let taken = backlog.take(4).map(|(range, _)| range);
        backlog.give_back(
            taken.map_or(Range { first: 9, count: 9, chunk: 9 }, |range| range.after(3).until(1)),
            Tries::FIRST,
        );
        assert_eq!(take(&mut backlog, 10), Some((3, 7, 1)), "neighbours of one chunk are one range again");
    }

    #[test]
    fn neighbours_of_different_chunks_stay_apart() {
        let mut backlog = backlog(&[2, 2]);
        let taken = backlog.take(2).map(|(range, _)| range);
        assert_eq!(taken.map(|range| range.count), Some(2));
        backlog.give_back(Range { first: 0, count: 2, chunk: 0 }, Tries::FIRST);
        assert_eq!(take(&mut backlog, 4), Some((0, 2, 1)));
    }

    #[test]
    fn a_task_that_crashed_runs_alone_and_keeps_its_count_when_it_comes_back() {
        let mut backlog = backlog(&[5]);
        let tries = Tries::FIRST.after_crash();
        backlog.give_back(Range { first: 7, count: 1, chunk: 0 }, tries);
        assert_eq!(backlog.next_count(), 1);
        assert_eq!(
            backlog.take(5).map(|(range, tries)| (range.first, range.count, tries)),
            Some((7, 1, tries))
        );
    }

    #[test]
    fn ten_million_tasks_of_a_thousand_chunks_are_a_thousand_small_ranges() {
        let backlog = backlog(&[10_000; 1_000]);
        assert_eq!(backlog.ranges.len(), 1_000);
        assert_eq!(size_of::<Range>(), 16);
        assert_eq!(size_of::<Retry>(), 16, "the only object there is per task");
    }
}
