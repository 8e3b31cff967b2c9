//! Replacing runners: after their share of tasks, or when they have grown too large; the successor is started first.

use std::sync::Arc;
use std::time::Duration;

use super::Driver;
use crate::job::Job;
use crate::slot::runner::Runner;

/// A successor is started when the runner has work left for less than so many times the time it takes to be ready.
const WARM_UP_MARGIN: f64 = 2.0;
/// Weight of the newest batch in the mean time of a task.
const TASK_TIME_WEIGHT: f64 = 0.3;

impl Driver {
    /// Starts the successor of a runner that will soon have run its share.
    pub(super) fn warm_successor(&mut self, job: &Arc<Job>) {
        let (Some(runner), Some(max)) = (&self.runner, job.max_tasks_per_child) else { return };
        let left = max.saturating_sub(runner.tasks_sent);
        let is_near = match (self.task_ns, self.warm_up) {
            (Some(task_ns), Some(warm_up)) => {
                left as f64 * task_ns < WARM_UP_MARGIN * warm_up.as_nanos() as f64
            }
            _ => left == 0,
        };
        let has_more = self.work.as_ref().is_some_and(|work| work.has_followers || work.has_unsent());
        if is_near && has_more && self.successor.is_none() {
            // If it cannot be started now, that is told when its turn comes.
            if let Ok(mut successor) = job.launcher.start(self.slot) {
                successor.load(job);
                successor.send_now();
                self.successor = Some(successor);
            }
        }
    }

    pub(super) fn learn_task_time(&mut self, busy: Duration, tasks: u64) {
        if tasks > 0 {
            let newest = busy.as_nanos() as f64 / tasks as f64;
            let mean = self.task_ns.map_or(newest, |mean| mean + TASK_TIME_WEIGHT * (newest - mean));
            self.task_ns = Some(mean);
        }
    }

    /// Stops a runner that has grown past its limit after the task it runs.
    pub(super) fn check_size(&mut self) {
        let (Some(runner), Some(job)) = (&self.runner, &self.job) else { return };
        let Some(limit) = job.max_child_rss_bytes else { return };
        if !self.is_bloated && runner.child.rss_bytes().is_some_and(|rss| rss > limit) {
            self.is_bloated = true;
            self.stop_after_current();
        }
    }

    /// With nothing in the runner's hands: lets it go if it has run its share or grown too large.
    pub(super) fn retire_if_due(&mut self) {
        let (Some(runner), Some(job)) = (&self.runner, &self.job) else { return };
        let has_run_its_share = job.max_tasks_per_child.is_some_and(|max| runner.tasks_sent >= max);
        if has_run_its_share || self.is_bloated {
            self.retire_runner();
        }
    }

    /// Lets the runner end by itself, and kills a successor that nobody waits for any more.
    pub(super) fn retire(&mut self) {
        self.retire_runner();
        if let Some(successor) = self.successor.take() {
            successor.kill();
            self.see_off(successor.into_child().end());
        }
        self.job = None;
    }

    fn retire_runner(&mut self) {
        self.is_bloated = false;
        self.shared.status.set_child(None);
        if let Some(runner) = self.runner.take() {
            self.see_off(runner.into_child().end());
        }
    }

    /// Waits for the end of a child, which may use the files of its job until then.
    pub(super) fn see_off(&self, end: impl Future<Output: Send> + Send + 'static) {
        let folder = self.job.as_ref().and_then(|job| job.folder.clone());
        self.shared.tasks.spawn(async move {
            end.await;
            drop(folder);
        });
    }

    /// Ends the runner: at once if it is in the middle of something.
    pub(super) fn stop(&mut self) {
        if self.frame().is_some() {
            // A thread cannot be killed, but what it has not begun it need not begin.
            self.runner.iter().for_each(|runner| runner.set_fence(0));
            self.runner.iter().for_each(Runner::kill);
        }
        self.fence = None;
        self.forget_frame();
        self.retire();
    }
}
