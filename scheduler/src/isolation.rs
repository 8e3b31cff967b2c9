//! Tasks that were evicted because memory ran short run again by themselves: on a worker that holds nothing
//! else and gets nothing else meanwhile. If no worker is empty, some are kept from new work until they are,
//! so that these tasks do not wait for ever behind those of others.

use std::cmp::Reverse;

use crate::action::Action;
use crate::classes::ClassId;
use crate::event::{JobId, Time};
use crate::lanes::{LaneId, Lanes};
use crate::scheduler::Scheduler;

/// Who wants a worker of its own: a lane, and the priority of its first such task.
type Claim = (LaneId, i32);

impl Scheduler {
    /// Hands such tasks to empty workers, and reserves workers for those that find none.
    pub(crate) fn isolate(&mut self, now: Time, actions: &mut Vec<Action>) {
        let mut claims = Vec::new();
        self.passed.clear();
        while let Some((lane, Reverse(priority), job)) = self.lanes.first_alone(&self.passed) {
            if self.assign_alone(now, (lane, priority), job, actions).is_none() {
                self.reserve((lane, priority), job, actions);
                self.passed.push(lane);
                claims.push((lane, priority));
            }
        }
        let is_claimed = |class| claims.iter().any(|&claim| may_claim(&self.lanes, claim, class));
        self.workers.open_reserved(is_claimed);
    }

    fn assign_alone(&mut self, now: Time, claim: Claim, id: JobId, actions: &mut Vec<Action>) -> Option<()> {
        let worker = self.workers.empty(|class| may_claim(&self.lanes, claim, class))?;
        let tasks = self.jobs.get_mut(&id)?.backlog.take_alone()?;
        let batch = self.new_batch(now, id, worker, tasks)?;
        self.hand_over(batch, actions);
        Some(())
    }

    fn reserve(&mut self, claim: Claim, id: JobId, actions: &mut Vec<Action>) {
        let waiting = self.jobs.get(&id).map_or(0, |job| job.backlog.alone() as u64);
        let may_claim = |class| may_claim(&self.lanes, claim, class);
        let share = self.workers.count(may_claim) / self.config.reserved_divisor.max(1);
        while let Some(worker) = self.workers.reserve(may_claim, waiting.min(share.max(1))) {
            for batch in self.workers.batches(worker).unwrap_or_default() {
                self.ask_for_all(batch, actions);
            }
        }
    }
}

/// Whether a worker of a class may be had: the job may run there, and no ordinary tasks of a higher priority wait for it. Those come
/// first, as they would before any other of its job.
pub(crate) fn may_claim(lanes: &Lanes, (lane, priority): Claim, class: ClassId) -> bool {
    lanes.include(lane, class) && !lanes.outrank(class, priority)
}
