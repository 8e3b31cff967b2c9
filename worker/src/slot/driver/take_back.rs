//! Taking work back from a runner, even from one that is stuck in a task.

use poolmap_proto::v1::Returned;
use poolmap_proto::v1::worker_message::Kind as Report;
use tokio::task::JoinHandle;

use super::Driver;
use crate::os;

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
        let Some(work) = self.queue.get_mut(batch_id) else { return };
        let rest = work.give_back_unsent(count);
        let keep = work.length().saturating_sub(rest);
        let sequence = self.queue.sequence_of(batch_id, keep);
        match (sequence, &self.runner) {
            (Some(sequence), Some(runner)) if rest > 0 && self.fence.is_none() => {
                runner.set_fence(sequence);
                let map = runner.map().clone();
                let barrier = tokio::task::spawn_blocking(move || {
                    os::barrier();
                    map.begun()
                });
                self.fence = Some(Fence { sequence, request: Some(Request { batch_id, keep, barrier }) });
            }
            _ => self.answer(batch_id).await,
        }
    }

    /// The fence stands, and `begun` is the last task that slipped through.
    pub(super) async fn fence_stands(&mut self, begun: u64) {
        let Some(fence) = &mut self.fence else { return };
        let Some(request) = fence.request.take() else { return };
        self.queue.void_from(fence.sequence.max(begun.saturating_add(1)));
        if let Some(work) = self.queue.get_mut(request.batch_id) {
            work.give_back_unsent(work.length().saturating_sub(request.keep));
        }
        self.answer(request.batch_id).await;
    }

    async fn answer(&mut self, batch_id: u64) {
        if let Some(work) = self.queue.get(batch_id) {
            let length = work.length();
            self.tell(Report::Returned(Returned { batch_id, length })).await;
            self.let_go_if_finished(batch_id).await;
        }
    }

    /// Lets the runner finish its task and begin no other.
    pub(super) fn stop_after_current(&mut self) {
        if let (None, Some(runner)) = (&self.fence, &self.runner)
            && !self.queue.frames().is_empty()
        {
            let sequence = runner.begun() + 1;
            runner.set_fence(sequence);
            self.fence = Some(Fence { sequence, request: None });
        }
    }

    /// With nothing in the runner's hands: takes the fence away.
    pub(super) fn lift_fence(&mut self) {
        let is_settled = self.fence.as_ref().is_some_and(|fence| fence.request.is_none());
        if is_settled {
            self.runner.iter().for_each(crate::slot::runner::Runner::lift_fence);
            self.fence = None;
        }
    }
}
