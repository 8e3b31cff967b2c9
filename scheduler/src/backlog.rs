//! The un-begun tasks of one job: a few ranges, and one small object for each task that was tried before.
//!
//! A range never spans two chunks (two `TasksAdded` events), and neither does what is carved from it.

use std::collections::{BTreeMap, VecDeque};

use crate::event::Time;
use crate::ranges::Range;
use crate::tries::{Retry, Tries};

/// The un-begun tasks of one job, in the order in which they will be handed out: those that were tried
/// before, then those that came back, then those that are new. Two kinds have an order of their own: tasks
/// that need a worker to themselves, and tasks whose time has not come.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    ranges: VecDeque<Range>,
    retries: VecDeque<Retry>,
    alone: VecDeque<Retry>,
    delayed: BTreeMap<(Time, u64), Tries>,
    chunks: u32,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_next() && self.alone.is_empty() && self.delayed.is_empty()
    }

    /// Whether there is anything to hand out to whoever has room.
    pub(crate) fn has_next(&self) -> bool {
        !self.ranges.is_empty() || !self.retries.is_empty()
    }

    /// Tasks that may be handed out but need a worker to themselves.
    pub(crate) fn alone(&self) -> usize {
        self.alone.len()
    }

    /// Tasks whose time has not come.
    pub(crate) fn delayed(&self) -> usize {
        self.delayed.len()
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

    /// Queues a task that was tried before.
    pub(crate) fn retry(&mut self, retry: Retry) {
        if retry.tries.is_alone() { self.alone.push_back(retry) } else { self.retries.push_back(retry) }
    }

    /// Queues a task that was tried before, from a certain moment on.
    pub(crate) fn retry_at(&mut self, at: Time, retry: Retry) {
        self.delayed.insert((at, retry.index), retry.tries);
    }

    /// When the next delayed task is due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.delayed.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Queues the delayed tasks that are due.
    pub(crate) fn wake(&mut self, now: Time) {
        while let Some(first) = self.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, index), tries) = first.remove_entry();
            self.retry(Retry { index, tries });
        }
    }

    /// Most tasks that the next batch can hold: one for a retry, else what is left of the first range.
    pub(crate) fn next_count(&self) -> u32 {
        if self.retries.is_empty() { self.ranges.front().map_or(0, |front| front.count) } else { 1 }
    }

    /// Carves off the next batch of at most `count` tasks.
    pub(crate) fn take(&mut self, count: u32) -> Option<(Range, Tries)> {
        if let Some(retry) = self.retries.pop_front() {
            return Some((Range::of_retry(retry), retry.tries));
        }
        let front = self.ranges.front_mut()?;
        let taken = front.until(count);
        *front = front.after(count);
        if front.count == 0 {
            self.ranges.pop_front();
        }
        Some((taken, Tries::FIRST))
    }

    /// Takes the next task that needs a worker to itself.
    pub(crate) fn take_alone(&mut self) -> Option<(Range, Tries)> {
        self.alone.pop_front().map(|retry| (Range::of_retry(retry), retry.tries))
    }

    /// Everything that waits, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> {
        let delayed = self.delayed.iter().map(|(&(_, index), &tries)| Retry { index, tries });
        let single = self.alone.iter().chain(&self.retries).copied().chain(delayed).map(Range::of_retry);
        single.chain(self.ranges.iter().copied())
    }

    /// Takes out the tasks `first..end` that wait, in order of their kinds.
    pub(crate) fn remove(&mut self, first: u64, end: u64) -> Vec<Range> {
        let mut removed = Vec::new();
        let mut is_among = |index: u64| {
            let is_among = (first..end).contains(&index);
            removed.extend(is_among.then_some(Range { first: index, count: 1, chunk: 0 }));
            is_among
        };
        self.alone.retain(|retry| !is_among(retry.index));
        self.retries.retain(|retry| !is_among(retry.index));
        self.delayed.retain(|&(_, index), _| !is_among(index));
        let mut kept = VecDeque::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            let from = first.clamp(range.first, range.end()) - range.first;
            let to = end.clamp(range.first, range.end()) - range.first;
            let before = range.until(if from < to { from as u32 } else { range.count });
            let inside = range.until(to as u32).after(from as u32);
            let after = if from < to { range.after(to as u32) } else { range.until(0) };
            kept.extend([before, after].into_iter().filter(|part| part.count > 0));
            removed.extend((from < to).then_some(inside));
        }
        self.ranges = kept;
        removed
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.retries.clear();
        self.alone.clear();
        self.delayed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tries::End;

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

    fn second(index: u64, end: End) -> Retry {
        Retry { index, tries: Tries { attempt: 2, ..Tries::FIRST.with(end) } }
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
    fn a_task_that_was_tried_runs_by_itself_and_keeps_its_count_when_it_comes_back() {
        let mut backlog = backlog(&[5]);
        let Retry { index, tries } = second(7, End::Crashed);
        backlog.give_back(Range { first: index, count: 1, chunk: 0 }, tries);
        assert_eq!(backlog.next_count(), 1);
        assert_eq!(
            backlog.take(5).map(|(range, tries)| (range.first, range.count, tries)),
            Some((7, 1, tries))
        );
    }

    #[test]
    fn a_task_that_was_evicted_waits_for_a_worker_of_its_own() {
        let mut backlog = backlog(&[]);
        backlog.retry(second(7, End::Evicted));
        assert!(!backlog.has_next() && !backlog.is_empty());
        assert_eq!(backlog.take_alone().map(|(range, _)| range.first), Some(7));
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_delayed_task_is_queued_when_it_is_due() {
        let mut backlog = backlog(&[]);
        backlog.retry_at(Time(20), second(1, End::Failed));
        backlog.retry_at(Time(10), second(2, End::Failed));
        assert_eq!(
            (backlog.next_due(), backlog.has_next(), backlog.is_empty()),
            (Some(Time(10)), false, false)
        );
        backlog.wake(Time(19));
        assert_eq!((backlog.next_due(), take(&mut backlog, 9)), (Some(Time(20)), Some((2, 1, 2))));
        assert_eq!(take(&mut backlog, 9), None);
        backlog.wake(Time(20));
        assert_eq!(take(&mut backlog, 9), Some((1, 1, 2)));
    }

    #[test]
    fn tasks_are_taken_out_of_the_middle_of_what_waits() {
        let mut backlog = backlog(&[10, 10]);
        backlog.retry(second(30, End::Crashed));
        backlog.retry_at(Time(10), second(31, End::Failed));
        let removed: Vec<_> = backlog.remove(8, 12).iter().map(|range| (range.first, range.count)).collect();
        assert_eq!(removed, [(8, 2), (10, 2)]);
        assert_eq!(backlog.remove(30, 40).len(), 2);
        let left: Vec<_> = backlog.iter().map(|range| (range.first, range.count, range.chunk)).collect();
        assert_eq!(left, [(0, 8, 0), (12, 8, 1)]);
        assert_eq!(backlog.remove(3, 4).len(), 1);
        assert_eq!(
            backlog.iter().map(|range| (range.first, range.count)).collect::<Vec<_>>(),
            [(0, 3), (4, 4), (12, 8)]
        );
        assert!(backlog.remove(9, 12).is_empty());
    }

    #[test]
    fn ten_million_tasks_of_a_thousand_chunks_are_a_thousand_small_ranges() {
        let backlog = backlog(&[10_000; 1_000]);
        assert_eq!(backlog.ranges.len(), 1_000);
        assert_eq!(size_of::<Range>(), 16);
    }
}
