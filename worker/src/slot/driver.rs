//! Drives one slot: feeds batches to its runner, reports outcomes, takes work back, and replaces the runner when it has run
//! its share, has grown too large, or has died.
//!
//! Each slot is one task. It tells the coordinator what happened to batches directly, and the pool when a batch has left.

mod death;
mod recycle;
mod stop;
mod take_back;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;

use std::sync::{Arc, Mutex};
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
use super::status::Status;
use super::work::{SentFrame, Work};
use crate::job::Job;
use crate::memory::oom::OomWatch;

/// How often the outcomes of a batch that still runs are looked for. Outcomes of its last task come at once.
const POLL: Duration = Duration::from_millis(5);
/// Bytes of a runner's reason for refusing a job that are told.
const REASON_BYTES_MAX: usize = 64 << 10;
/// Commands that may wait for a slot: a batch, requests to take some of it back, and jobs that end.
pub(crate) const COMMAND_QUEUE: usize = 64;

/// What the pool asks of a slot.
#[derive(Debug)]
pub(crate) enum SlotCommand {
    Run(Work),
    TakeBack {
        batch_id: u64,
        count: u32,
    },
    /// End a batch at once.
    Stop {
        batch_id: u64,
    },
    /// Kill the task that runs, and replace its child: memory runs out.
    Evict,
    /// Replace the child if it does nothing: memory is short.
    RecycleIdle,
    /// Nothing follows of this job, and what is left of it is of no interest.
    EndJob(u64),
}

/// A batch has left a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) slot: usize,
    pub(crate) batch_id: u64,
}

/// What a slot shares with its pool and the other slots.
pub(crate) struct Shared {
    /// Where batches go that have left.
    pub(crate) left: mpsc::Sender<Left>,
    /// What is told to the coordinator.
    pub(crate) reports: mpsc::Sender<WorkerMessage>,
    /// The largest message that the coordinator takes.
    pub(crate) max_message_bytes: usize,
    /// Owns what waits for retired children.
    pub(crate) tasks: TaskTracker,
    pub(crate) status: Status,
    /// Those of all slots.
    pub(crate) statuses: Arc<[Status]>,
    /// Tells whether it was the kernel that killed a child for its memory.
    pub(crate) oom: Arc<Mutex<OomWatch>>,
}

/// One slot.
pub(crate) struct Driver {
    /// From 0.
    slot: usize,
    commands: mpsc::Receiver<SlotCommand>,
    shared: Shared,
    work: Option<Work>,
    runner: Option<Runner>,
    /// The job that the runner is for.
    job: Option<Arc<Job>>,
    /// Started before the runner leaves, and not yet used.
    successor: Option<Runner>,
    /// The runner must go as soon as nothing lies with it: it has grown too large, or holds what was an ended job's.
    is_bloated: bool,
    /// No task beyond it begins; nothing is sent until all that was sent has ended.
    fence: Option<Fence>,
    /// When the first task of the frame was seen to run, and how much of the time since has been reported.
    frame_since: Option<Instant>,
    frame_reported: Duration,
    /// The task that was seen to run last, and since when.
    current: Option<(u64, Instant)>,
    /// Mean time of a task, in nanoseconds.
    task_ns: Option<f64>,
    /// Time a runner takes to be ready: the least seen, since a successor is asked only when its turn comes.
    warm_up: Option<Duration>,
    /// Runners that died in a row without having begun anything.
    false_starts: u32,
}

impl Driver {
    pub(crate) fn new(slot: usize, commands: mpsc::Receiver<SlotCommand>, shared: Shared) -> Self {
        Self {
            slot,
            commands,
            shared,
            work: None,
            runner: None,
            job: None,
            successor: None,
            is_bloated: false,
            fence: None,
            frame_since: None,
            frame_reported: Duration::ZERO,
            current: None,
            task_ns: None,
            warm_up: None,
            false_starts: 0,
        }
    }

    /// Runs until the pool drops its end of the commands; then ends the runner.
    pub(crate) async fn run(mut self) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.fill().await;
            let is_busy = self.frame().is_some();
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
            SlotCommand::Run(work) => self.work = Some(work),
            SlotCommand::TakeBack { batch_id, count } => self.take_back(batch_id, count).await,
            SlotCommand::Stop { batch_id } => self.stop_batch(batch_id).await,
            SlotCommand::Evict => self.evict().await,
            SlotCommand::RecycleIdle => self.recycle_idle(),
            SlotCommand::EndJob(job) => self.end_job(job).await,
        }
    }

    /// What lies with the runner.
    fn frame(&self) -> Option<SentFrame> {
        self.work.as_ref().and_then(Work::frame)
    }

    /// With nothing in the runner's hands: sends it what is unsent, starting or replacing it where needed. While a runner
    /// comes up nothing is sent to it, so that all can still be given back at once if it is slow.
    async fn fill(&mut self) {
        if self.frame().is_some() || !self.lift_fence() {
            return;
        }
        self.retire_if_due();
        let Some(job) = self.work.as_ref().filter(|work| work.has_unsent()).map(|work| work.job.clone())
        else {
            return;
        };
        if self.job.as_ref().is_some_and(|current| current.id != job.id) {
            self.change_to(&job);
        }
        if (self.runner.is_some() || self.start(&job).await) && self.is_ready() {
            self.send(&job);
        }
    }

    /// Gives the runner to another job, or lets it go if that needs one of its own.
    fn change_to(&mut self, job: &Arc<Job>) {
        if !self.job.as_ref().is_some_and(|current| job.shares_children_with(current)) {
            return self.retire();
        }
        self.runner.iter_mut().for_each(|runner| runner.load(job));
        self.job = Some(job.clone());
    }

    /// Starts a runner for a job; if that cannot be done, the job is rejected.
    async fn start(&mut self, job: &Arc<Job>) -> bool {
        let started = self.successor.take().map_or_else(|| job.launcher.start(self.slot), Ok);
        match started {
            Ok(mut runner) => {
                runner.load(job);
                self.shared.status.set_child(Some(runner.child.clone()));
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

    /// Sends the next tasks, as many as the runner may still run.
    fn send(&mut self, job: &Arc<Job>) {
        let (Some(runner), Some(work)) = (&mut self.runner, &mut self.work) else { return };
        let budget = job.max_tasks_per_child.map_or(u64::MAX, |max| max.saturating_sub(runner.tasks_sent));
        let limit = u32::try_from(budget).unwrap_or(u32::MAX);
        if let Some(tasks) = work.send(limit, runner.next_sequence()) {
            runner.send(&tasks);
        }
        self.shared.status.set_attempt(Some(Instant::now()));
        self.warm_successor(job);
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
                Kind::Function
                | Kind::Batch
                | Kind::Drained
                | Kind::Exit
                | Kind::Define
                | Kind::Fork
                | Kind::Forked
                | Kind::Exited => {
                    return Err(Violation::OutOfTurn("a frame that no runner sends"));
                }
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.is_ready)
    }

    fn ready(&mut self, body: &[u8]) {
        if let (Some(runner), Some(job)) = (&mut self.runner, &self.job) {
            if let Some(warm_up) = runner.ready() {
                self.warm_up = Some(self.warm_up.map_or(warm_up, |least| least.min(warm_up)));
            }
            job.launcher.ready(body);
        }
    }

    async fn refused(&mut self, header: &Header, body: &[u8]) {
        let Some(job) = self.job.as_ref().filter(|job| job.id as u32 == header.function) else { return };
        let reason = body.get(..REASON_BYTES_MAX).unwrap_or(body);
        self.reject(job.id, String::from_utf8_lossy(reason).into_owned()).await;
    }

    async fn done(&mut self, header: &Header) -> Result<(), Violation> {
        let (Some(frame), Some(runner)) = (self.frame(), &self.runner) else {
            return Err(Violation::OutOfTurn("the end of a batch"));
        };
        if header.sequence < runner.next_outcome() || header.sequence > frame.end.min(runner.begun() + 1) {
            return Err(Violation::OutOfTurn("the end of another batch"));
        }
        let busy = Duration::from_nanos(header.value);
        self.learn_task_time(busy, header.sequence - frame.sequence);
        self.report_until(header.sequence, Some(busy)).await?;
        if let Some(runner) = &mut self.runner {
            runner.skip_outcomes(frame.sent_end);
            runner.uncount(frame.sent_end - header.sequence);
        }
        if let Some(work) = &mut self.work {
            work.confirm(header.sequence);
        }
        self.forget_frame();
        self.false_starts = 0;
        self.let_go_if_finished().await;
        self.check_size();
        Ok(())
    }

    fn forget_frame(&mut self) {
        self.frame_since = None;
        self.frame_reported = Duration::ZERO;
        self.current = None;
        self.shared.status.set_attempt(None);
    }

    async fn full(&mut self, header: &Header) -> Result<(), Violation> {
        self.report_claimed(header).await?;
        self.runner.as_mut().map_or(Ok(()), |runner| runner.reset_area(header.sequence))
    }

    async fn large(&mut self, header: &Header, body: Bytes) -> Result<(), Violation> {
        self.report_claimed(header).await?;
        let mut run = RunBuilder::default();
        if let Some(runner) = &mut self.runner {
            runner.collect_large(body, self.shared.max_message_bytes, &mut run)?;
        }
        self.report(run, None).await;
        Ok(())
    }

    /// Reports all outcomes before that of a task that the runner says it has just run.
    async fn report_claimed(&mut self, header: &Header) -> Result<(), Violation> {
        if !self.is_due(header.sequence) {
            return Err(Violation::OutOfTurn("an outcome of a task that it was not given"));
        }
        self.report_until(header.sequence, None).await
    }

    /// Whether the runner has begun a task that it was given, and not told its outcome.
    fn is_due(&self, sequence: u64) -> bool {
        let (Some(runner), Some(frame)) = (&self.runner, self.frame()) else { return false };
        sequence < frame.end && (runner.next_outcome()..=runner.begun()).contains(&sequence)
    }

    /// Looks for outcomes of the batch that runs.
    async fn poll(&mut self) {
        let (Some(runner), Some(work)) = (&self.runner, &mut self.work) else { return };
        if runner.is_stalled() {
            return self.runner_broke(&Violation::HalfFrame).await;
        }
        let (begun, batch_id) = (runner.begun(), work.batch_id);
        if work.frame().is_none_or(|frame| begun < frame.sequence) {
            return;
        }
        self.frame_since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut work.is_begun, true) {
            self.tell(Report::Begun(Begun { batch_id })).await;
        }
        if let Some(until) = self.written_until()
            && let Err(violation) = self.report_until(until, None).await
        {
            self.runner_broke(&violation).await;
        }
        self.check_size();
        self.check_time(begun).await;
    }

    /// Up to where the outcomes of the frame are complete in the map, if there are new ones.
    fn written_until(&self) -> Option<u64> {
        let (runner, frame) = (self.runner.as_ref()?, self.frame()?);
        // Behind a fence `begun` may name a task that did not run after all, but those before it have run.
        let until = runner.begun().min(frame.end);
        (until > runner.next_outcome() && !runner.next_comes_in_a_frame()).then_some(until)
    }

    /// Reports the outcomes below `sequence`, or those before the first that is nonsense. `busy`: time the runner spent on
    /// the frame, if it said so.
    async fn report_until(&mut self, sequence: u64, busy: Option<Duration>) -> Result<(), Violation> {
        let mut run = RunBuilder::default();
        let collected = self.runner.as_mut().map_or(Ok(()), |runner| runner.collect(sequence, &mut run));
        self.report(run, busy).await;
        collected
    }

    async fn report(&mut self, run: RunBuilder, busy: Option<Duration>) {
        let count = run.count();
        let Some(work) = self.work.as_mut().filter(|_| count > 0) else { return };
        work.report(count);
        let (batch_id, run) = (work.batch_id, Some(run.finish(work.job.has_details)));
        let busy = busy.or_else(|| self.frame_since.map(|since| since.elapsed())).unwrap_or_default();
        let newly_busy = busy.saturating_sub(self.frame_reported);
        let busy_ns = u64::try_from(newly_busy.as_nanos()).unwrap_or(u64::MAX);
        work.job.task_time.note(newly_busy / count);
        self.frame_reported = self.frame_reported.max(busy);
        self.tell(Report::Outcomes(BatchOutcomes { batch_id, run, busy_ns })).await;
    }

    /// Forgets the batch once nothing of it is left to do, in this slot and in its runner.
    async fn let_go_if_finished(&mut self) {
        if self.work.as_ref().is_some_and(|work| work.is_finished() && work.frame().is_none()) {
            self.let_go().await;
        }
    }

    async fn let_go(&mut self) {
        if let Some(work) = self.work.take() {
            // The pool outlives its slots, unless the whole worker is going away.
            let _stopping = self.shared.left.send(Left { slot: self.slot, batch_id: work.batch_id }).await;
        }
    }

    /// Tells the coordinator that this worker cannot run a job, and drops what it has of it.
    async fn reject(&mut self, job_id: u64, error: String) {
        self.tell(Report::JobRejected(JobRejected { job_id, error })).await;
        self.end_job(job_id).await;
    }

    async fn end_job(&mut self, job_id: u64) {
        if self.job.as_ref().is_some_and(|job| job.id == job_id) {
            self.stop();
        }
        self.is_bloated |= self.runner.as_ref().is_some_and(|runner| runner.has_loaded(job_id));
        if self.work.as_ref().is_some_and(|work| work.job.id == job_id) {
            self.let_go().await;
        }
    }

    async fn tell(&self, report: Report) {
        // Without a session there is nobody to tell: the worker is going away.
        let _stopping = self.shared.reports.send(WorkerMessage { received: 0, kind: Some(report) }).await;
    }
}

/// Waits for something to happen on a runner's socket, for ever if there is no runner.
async fn progress(runner: &mut Option<Runner>) -> Progress {
    match runner {
        Some(runner) => runner.progress().await,
        None => std::future::pending().await,
    }
}
