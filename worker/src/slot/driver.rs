//! Drives one slot: feeds batches to its runner, reports outcomes, takes work back, and replaces the runner when it has run
//! its share, has grown too large, or has died.
//!
//! Each slot is one task. It tells the coordinator what happened to batches directly, and the pool when a batch has left.

mod death;
mod recycle;
mod take_back;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{BatchOutcomes, Begun, JobRejected, WorkerMessage};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use self::take_back::Fence;
use super::collect::{RunBuilder, Violation};
use super::frame::{Header, Kind};
use super::runner::{Progress, Runner};
use super::work::{Queue, Work};
use crate::job::Job;

/// Frames that lie with a runner at once: the one it runs and the next, so that it never waits for the pool.
const FRAMES_AHEAD: usize = 2;
/// How often the outcomes of a batch that still runs are looked for. Outcomes of its last task come at once.
const POLL: Duration = Duration::from_millis(5);
/// Commands that may wait for a slot: two batches, as many requests to take back, and jobs that end.
pub(crate) const COMMAND_QUEUE: usize = 64;

/// What the pool asks of a slot.
#[derive(Debug)]
pub(crate) enum SlotCommand {
    Run(Work),
    TakeBack {
        batch_id: u64,
        count: u32,
    },
    /// Nothing follows of this job, and what is left of it is of no interest.
    EndJob(u64),
}

/// A batch has left a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) slot: usize,
    pub(crate) batch_id: u64,
}

/// One slot.
pub(crate) struct Driver {
    /// From 0.
    slot: usize,
    commands: mpsc::Receiver<SlotCommand>,
    left: mpsc::Sender<Left>,
    reports: mpsc::Sender<WorkerMessage>,
    /// Owns what waits for retired children.
    tasks: TaskTracker,
    queue: Queue,
    runner: Option<Runner>,
    /// The job that the runner was started for.
    job: Option<Arc<Job>>,
    /// Started before the runner leaves, and not yet used.
    successor: Option<Runner>,
    /// The runner must go as soon as nothing lies with it: it has grown too large.
    is_bloated: bool,
    /// No task beyond it begins; nothing is sent until all that was sent has ended.
    fence: Option<Fence>,
    /// When the first task of the oldest frame was seen to run, and how much of the time since has been reported.
    front_since: Option<Instant>,
    front_reported: Duration,
    /// Mean time of a task, in nanoseconds.
    task_ns: Option<f64>,
    /// Runners that died in a row without having begun anything.
    false_starts: u32,
}

impl Driver {
    pub(crate) fn new(
        slot: usize,
        commands: mpsc::Receiver<SlotCommand>,
        left: mpsc::Sender<Left>,
        reports: mpsc::Sender<WorkerMessage>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            slot,
            commands,
            left,
            reports,
            tasks,
            queue: Queue::default(),
            runner: None,
            job: None,
            successor: None,
            is_bloated: false,
            fence: None,
            front_since: None,
            front_reported: Duration::ZERO,
            task_ns: None,
            false_starts: 0,
        }
    }

    /// Runs until the pool drops its end of the commands; then ends the runner.
    pub(crate) async fn run(mut self) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.fill().await;
            let is_busy = !self.queue.frames().is_empty();
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => break,
                },
                progress = progress(&mut self.runner) => self.runner_progressed(progress).await,
                begun = take_back::passed(&mut self.fence) => self.fence_stands(begun).await,
                _ = poll.tick(), if is_busy => self.poll().await,
            }
        }
        self.stop();
    }

    async fn command(&mut self, command: SlotCommand) {
        match command {
            SlotCommand::Run(work) => self.queue.push(work),
            SlotCommand::TakeBack { batch_id, count } => self.take_back(batch_id, count).await,
            SlotCommand::EndJob(job) => self.end_job(job).await,
        }
    }

    /// Sends work to the runner as long as it has room, starting or replacing it where needed. While a runner comes up nothing
    /// is sent to it, so that all can still be given back at once if it is slow.
    async fn fill(&mut self) {
        if self.queue.frames().is_empty() {
            self.lift_fence();
            self.retire_if_due();
        }
        while let Some(job) = self.queue.next_job().cloned() {
            let is_other_job = self.job.as_ref().is_some_and(|current| current.id != job.id);
            if is_other_job && self.queue.frames().is_empty() {
                self.retire();
            }
            if self.runner.is_none() && !self.start(&job).await {
                continue;
            }
            let must_wait = is_other_job || self.fence.is_some() || self.is_bloated;
            if self.queue.frames().len() >= FRAMES_AHEAD || (must_wait && !self.queue.frames().is_empty()) {
                return;
            }
            if !self.is_ready() || !self.send(&job) {
                return;
            }
        }
    }

    /// Starts a runner for a job; if that cannot be done, the job is rejected.
    async fn start(&mut self, job: &Arc<Job>) -> bool {
        let started = self.successor.take().map_or_else(|| job.launcher.start(self.slot), Ok);
        match started {
            Ok(mut runner) => {
                runner.load(job.id, &job.function);
                self.runner = Some(runner);
                self.job = Some(job.clone());
                true
            }
            Err(error) => {
                self.reject(job.id, error.to_string()).await;
                false
            }
        }
    }

    /// Sends the next tasks, as many as the runner may still run; `false` if it may run none.
    fn send(&mut self, job: &Arc<Job>) -> bool {
        let Some(runner) = &mut self.runner else { return false };
        let budget = job.max_tasks_per_child.map_or(u64::MAX, |max| max.saturating_sub(runner.tasks_sent));
        if budget == 0 {
            return false;
        }
        let sequence = runner.next_sequence();
        let limit = u32::try_from(budget).unwrap_or(u32::MAX);
        let sent = self.queue.send(limit, sequence, |tasks| runner.send(tasks)).is_some();
        self.warm_successor(job);
        sent
    }

    async fn runner_progressed(&mut self, progress: Progress) {
        if progress == Progress::Closed {
            return self.runner_died().await;
        }
        if let Err(violation) = self.take_frames().await {
            self.runner_broke(&violation).await;
        }
    }

    /// Takes up all frames that were received.
    async fn take_frames(&mut self) -> Result<(), Violation> {
        while let Some(runner) = &mut self.runner {
            let Some((header, body)) = runner.next_frame()? else { return Ok(()) };
            match header.kind {
                Kind::Ready => self.ready(&body),
                Kind::Refused => self.refused(&header, &body).await,
                Kind::Done => self.done(&header).await?,
                Kind::Full => self.full(&header).await?,
                Kind::Large => self.large(&header, body).await?,
                Kind::Function | Kind::Batch | Kind::Drained | Kind::Exit | Kind::Fork | Kind::Forked | Kind::Exited => {
                    return Err(Violation::OutOfTurn("a frame that no runner sends"));
                }
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.warm_up.is_some())
    }

    fn ready(&mut self, body: &[u8]) {
        if let (Some(runner), Some(job)) = (&mut self.runner, &self.job) {
            runner.ready();
            job.launcher.ready(body);
        }
    }

    async fn refused(&mut self, header: &Header, body: &[u8]) {
        let Some(job) = self.job.as_ref().filter(|job| job.id as u32 == header.function) else { return };
        self.reject(job.id, String::from_utf8_lossy(body).into_owned()).await;
    }

    async fn done(&mut self, header: &Header) -> Result<(), Violation> {
        let Some(front) = self.queue.frames().front().copied() else {
            return Err(Violation::OutOfTurn("the end of a batch"));
        };
        if header.sequence < front.sequence || header.sequence > front.sequence + u64::from(front.sent_count) {
            return Err(Violation::OutOfTurn("the end of another batch"));
        }
        let busy = Duration::from_nanos(header.value);
        self.learn_task_time(busy, header.sequence - front.sequence);
        self.report_until(header.sequence, Some(busy)).await?;
        self.queue.confirm(header.sequence);
        if let Some(runner) = &mut self.runner {
            runner.skip_outcomes(front.sequence + u64::from(front.sent_count));
        }
        self.front_since = None;
        self.front_reported = Duration::ZERO;
        self.false_starts = 0;
        self.check_size();
        Ok(())
    }

    async fn full(&mut self, header: &Header) -> Result<(), Violation> {
        self.report_claimed(header).await?;
        if let Some(runner) = &mut self.runner {
            runner.reset_area();
        }
        Ok(())
    }

    async fn large(&mut self, header: &Header, body: Bytes) -> Result<(), Violation> {
        self.report_claimed(header).await?;
        let Some(front) = self.queue.frames().front().copied() else { return Ok(()) };
        let mut run = RunBuilder::default();
        if let Some(runner) = &mut self.runner {
            runner.collect_large(body, &mut run)?;
        }
        self.report(front.batch_id, run, None).await;
        Ok(())
    }

    /// Reports all outcomes before that of a task that the runner says it has just run.
    async fn report_claimed(&mut self, header: &Header) -> Result<(), Violation> {
        let is_due = self.queue.frames().front().is_some_and(|front| {
            (front.sequence..front.sequence + u64::from(front.sent_count)).contains(&header.sequence)
        });
        if !is_due {
            return Err(Violation::OutOfTurn("an outcome of a task that it was not given"));
        }
        self.report_until(header.sequence, None).await
    }

    /// Looks for outcomes of the batch that runs.
    async fn poll(&mut self) {
        let (Some(runner), Some(front)) = (&self.runner, self.queue.frames().front()) else { return };
        let begun = runner.begun();
        if begun < front.sequence {
            return;
        }
        self.front_since.get_or_insert_with(Instant::now);
        // Behind a fence `begun` may name a task that did not run after all; only `Done` tells.
        let fence = self.fence.as_ref().map_or(u64::MAX, |fence| fence.sequence);
        let until = begun.min(front.end()).min(fence);
        if let Some(batch_id) = self.queue.newly_begun(begun) {
            self.tell(Report::Begun(Begun { batch_id })).await;
        }
        if let Err(violation) = self.report_until(until, None).await {
            self.runner_broke(&violation).await;
        }
        self.check_size();
    }

    /// Reports the outcomes of the oldest frame below `sequence`. `busy`: time the runner spent on the frame, if it said so.
    async fn report_until(&mut self, sequence: u64, busy: Option<Duration>) -> Result<(), Violation> {
        let (Some(runner), Some(front)) = (&mut self.runner, self.queue.frames().front()) else { return Ok(()) };
        let batch_id = front.batch_id;
        let mut run = RunBuilder::default();
        runner.collect(sequence, &mut run)?;
        self.report(batch_id, run, busy).await;
        Ok(())
    }

    async fn report(&mut self, batch_id: u64, run: RunBuilder, busy: Option<Duration>) {
        let count = run.count();
        if count == 0 {
            return;
        }
        let busy = busy.or_else(|| self.front_since.map(|since| since.elapsed())).unwrap_or_default();
        let busy_ns = u64::try_from(busy.saturating_sub(self.front_reported).as_nanos()).unwrap_or(u64::MAX);
        self.front_reported = self.front_reported.max(busy);
        let has_details = self.queue.get(batch_id).is_some_and(|work| work.job.has_details);
        let run = Some(run.finish(has_details));
        self.tell(Report::Outcomes(BatchOutcomes { batch_id, run, busy_ns })).await;
        self.queue.report(batch_id, count);
        self.let_go_if_finished(batch_id).await;
    }

    /// Forgets a batch once nothing of it is left to do.
    async fn let_go_if_finished(&mut self, batch_id: u64) {
        if self.queue.get(batch_id).is_some_and(Work::is_finished) {
            self.let_go(batch_id).await;
        }
    }

    async fn let_go(&mut self, batch_id: u64) {
        self.queue.remove(batch_id);
        // The pool outlives its slots, unless the whole worker is going away.
        let _stopping = self.left.send(Left { slot: self.slot, batch_id }).await;
    }

    /// Tells the coordinator that this worker cannot run a job, and drops what it has of it.
    async fn reject(&mut self, job_id: u64, error: String) {
        self.tell(Report::JobRejected(JobRejected { job_id, error })).await;
        self.end_job(job_id).await;
    }

    async fn end_job(&mut self, job_id: u64) {
        for batch_id in self.queue.batches_of(job_id) {
            self.let_go(batch_id).await;
        }
        if self.job.as_ref().is_some_and(|job| job.id == job_id) {
            self.stop();
        }
    }

    async fn tell(&self, report: Report) {
        // Without a session there is nobody to tell: the worker is going away.
        let _stopping = self.reports.send(WorkerMessage { kind: Some(report) }).await;
    }
}

/// Waits for something to happen on a runner's socket, for ever if there is no runner.
async fn progress(runner: &mut Option<Runner>) -> Progress {
    match runner {
        Some(runner) => runner.progress().await,
        None => std::future::pending().await,
    }
}
