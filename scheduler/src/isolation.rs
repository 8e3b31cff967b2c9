//! Tasks that were evicted because memory ran short run again by themselves: on a worker that holds nothing
//! else and gets nothing else meanwhile. If no worker is empty, some are kept from new work until they are,
//! so that these tasks do not wait for ever behind those of others.

use std::cmp::Reverse;

use crate::action::Action;
use crate::event::{JobId, Time};
use crate::scheduler::Scheduler;

impl Scheduler {
    /// Hands such tasks to empty workers, and reserves workers for those that find none.
    pub(crate) fn isolate(&mut self, now: Time, actions: &mut Vec<Action>) {
        while let Some(job) = self.next_alone() {
            if self.assign_alone(now, job, actions).is_none() {
                self.reserve(job, actions);
                return;
            }
        }
        self.workers.open_reserved();
    }

    /// The job whose task comes next. Ordinary tasks of a higher priority come before it, as they would
    /// before any other of its job.
    fn next_alone(&self) -> Option<JobId> {
        let &(Reverse(priority), job) = self.alone.first()?;
        let is_outranked = self.fairness.first_priority().is_some_and(|first| first > priority);
        (!is_outranked).then_some(job)
    }

    fn assign_alone(&mut self, now: Time, id: JobId, actions: &mut Vec<Action>) -> Option<()> {
        let worker = self.workers.empty()?;
        let tasks = self.jobs.get_mut(&id)?.backlog.take_alone()?;
        let batch = self.new_batch(now, id, worker, tasks)?;
        self.hand_over(batch, actions);
        Some(())
    }

    fn reserve(&mut self, id: JobId, actions: &mut Vec<Action>) {
        let waiting = self.jobs.get(&id).map_or(0, |job| job.backlog.alone() as u64);
        let share = self.workers.len() as u64 / self.config.reserved_divisor.max(1);
        while let Some(worker) = self.workers.reserve(waiting.min(share.max(1))) {
            for batch in self.workers.batches(worker).unwrap_or_default() {
                self.ask_for_all(batch, actions);
            }
        }
    }
}
