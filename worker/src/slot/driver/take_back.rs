//! Taking work back from a runner, even from one that is stuck in a task.

use poolmap_proto::v1::Returned;
use poolmap_proto::v1::worker_message::Kind as Report;
use tokio::task::JoinHandle;

use super::Driver;
use crate::os;
use crate::slot::runner::Runner;

/// A fence in the runner's map.
pub(super) struct Fence {
    /// No task from here on begins, unless it had begun before the fence stood.
    pub(super) sequence: u64,
    /// What is to be given back once the fence stands for sure; none if the runner is only to stop.
    request: Option<Request>,
}

struct Request {
    batch_id: u64,
    /// Tasks the batch shall keep, if the others have not begun.
    keep: u32,
    /// Gives the task begun last, once no processor can still hold an older view of the fence.
    barrier: JoinHandle<u64>,
}

/// Waits for the barrier of a fence; for ever where there is none.
pub(super) async fn passed(fence: &mut Option<Fence>) -> u64 {
    match fence.as_mut().and_then(|fence| fence.request.as_mut()) {
        // The barrier does not panic; were it so, a fence at the highest number returns nothing.
        Some(request) => (&mut request.barrier).await.unwrap_or(u64::MAX - 1),
        None => std::future::pending().await,
    }
}

impl Driver {
    /// Gives back at most `count` tasks from the end of a batch: at once what was not sent, the rest behind a fence.
    pub(super) async fn take_back(&mut self, batch_id: u64, count: u32) {
        let Some(work) = self.work.as_mut().filter(|work| work.batch_id == batch_id) else { return };
        let rest = work.give_back_unsent(count);
        let keep = work.length().saturating_sub(rest);
        match (work.sequence_of(keep), &self.runner) {
            (Some(sequence), Some(runner)) if rest > 0 && self.fence.is_none() => {
                runner.set_fence(sequence);
                let map = runner.map().clone();
                let barrier = tokio::task::spawn_blocking(move || {
                    os::barrier();
                    map.begun()
                });
                self.fence = Some(Fence { sequence, request: Some(Request { batch_id, keep, barrier }) });
            }
            _ => self.answer().await,
        }
    }

    /// The fence stands, and `begun` is the last task that slipped through.
    pub(super) async fn fence_stands(&mut self, begun: u64) {
        let Some(fence) = &mut self.fence else { return };
        let Some(request) = fence.request.take() else { return };
        let sequence = fence.sequence.max(begun.saturating_add(1));
        // The batch may have ended meanwhile, and another have taken its place.
        let asked = self.work.as_mut().filter(|work| work.batch_id == request.batch_id);
        let Some(work) = asked else { return };
        work.void_from(sequence);
        work.give_back_unsent(work.length().saturating_sub(request.keep));
        self.answer().await;
    }

    async fn answer(&mut self) {
        if let Some(work) = &self.work {
            let (batch_id, length) = (work.batch_id, work.length());
            self.tell(Report::Returned(Returned { batch_id, length })).await;
            self.let_go_if_finished().await;
        }
    }

    /// Lets the runner finish its task and begin no other.
    pub(super) fn stop_after_current(&mut self) {
        if let (None, Some(runner), Some(_)) = (&self.fence, &self.runner, self.frame()) {
            let sequence = runner.begun() + 1;
            runner.set_fence(sequence);
            self.fence = Some(Fence { sequence, request: None });
        }
    }

    /// With nothing in the runner's hands: takes the fence away, unless its barrier is still on its way.
    pub(super) fn lift_fence(&mut self) -> bool {
        if self.fence.as_ref().is_some_and(|fence| fence.request.is_some()) {
            return false;
        }
        if self.fence.take().is_some() {
            self.runner.iter().for_each(Runner::lift_fence);
        }
        true
    }
}
