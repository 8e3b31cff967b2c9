//! Carries tasks from input to coordinator and outcomes from coordinator to output. Input and output block, so each has a
//! thread; all queues between are short, so that whoever is slow slows down the one before.

use std::sync::Arc;
use std::time::Duration;

use poolmap_client::{Chunk, ClientError, Job, JobEnd, OutcomeRun, TaskSender};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::plan::Plan;
use crate::exit::Failure;
use crate::input::{InputError, TaskReader};
use crate::output::{Counts, OutputError, Progress, Tags, Writer};

/// Chunks that are read ahead of the coordinator.
const CHUNKS_AHEAD: usize = 2;
/// Runs of outcomes that may wait to be written.
const RUNS_AHEAD: usize = 16;
/// Bytes of outcomes that may wait for earlier tasks (`--keep-order`) before no more input is read.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Time that tasks have to end after the first Ctrl-C.
const INTERRUPT_GRACE: Duration = Duration::from_secs(3);

/// How a job ended, as far as this side knows.
pub(crate) struct Ended {
    pub(crate) counts: Counts,
    pub(crate) end: Option<JobEnd>,
    pub(crate) was_interrupted: bool,
    /// Whether all input could be read.
    pub(crate) input: Result<(), InputError>,
}

/// The two directions of a job.
pub(crate) struct Streams {
    feeder: JoinHandle<Result<Result<(), InputError>, ClientError>>,
    runs: mpsc::Sender<OutcomeRun>,
    written: oneshot::Receiver<Result<Counts, OutputError>>,
}

impl Streams {
    /// Starts both. Call this within a tokio runtime.
    pub(crate) fn start(plan: Plan, job: &Job, progress: Arc<Progress>) -> Self {
        let (held, is_held) = watch::channel(0);
        let tags = plan.style.tags.clone();
        let writer = Writer::new(plan.destination, plan.style, plan.keeps_order, progress.clone());
        let (runs, receiver) = mpsc::channel(RUNS_AHEAD);
        let (sender, written) = oneshot::channel();
        std::thread::spawn(move || sender.send(write_all(writer, receiver, &held)));
        let (chunks, read) = mpsc::channel(CHUNKS_AHEAD);
        std::thread::spawn(move || read_all(plan.tasks, &chunks));
        let feeder = tokio::spawn(feed(read, job.add_tasks(), is_held, tags, progress));
        Self { feeder, runs, written }
    }

    /// Runs until the job has ended, nobody wants its results, it was interrupted, or it cannot go on, which `lost` completes
    /// to say.
    pub(crate) async fn run(mut self, job: &Job, lost: impl Future<Output = String>) -> Result<Ended, Failure> {
        let mut interrupts =
            signal(SignalKind::interrupt()).map_err(Failure::system("listening for Ctrl-C"))?;
        let mut terminations =
            signal(SignalKind::terminate()).map_err(Failure::system("listening for signals"))?;
        let mut was_interrupted = false;
        let end = tokio::select! {
            end = collect(job, &self.runs) => end?,
            written = &mut self.written => return Err(early_end_of_output(written)),
            why = lost => return Err(Failure::Lost(why)),
            _ = interrupts.recv() => { was_interrupted = true; None }
            _ = terminations.recv() => { was_interrupted = true; None }
        };
        let second = async {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
        };
        let end = if was_interrupted { self.interrupted(job, second).await } else { end };
        drop(self.runs);
        let counts = match self.written.await {
            Ok(written) => written?,
            Err(_panicked) => {
                return Err(Failure::Lost("the thread that writes results ended early".to_owned()));
            }
        };
        // The reader may wait for input for ever, of which nothing is wanted any more.
        let is_stopped = end.as_ref().is_none_or(|end| !end.stopped.is_empty());
        let input = if is_stopped { Ok(()) } else { input_result(self.feeder).await? };
        Ok(Ended { counts, end, was_interrupted, input })
    }

    /// After the first Ctrl-C or SIGTERM: nothing begins any more, and what runs may end, until the second one.
    async fn interrupted(&self, job: &Job, second: impl Future<Output = ()>) -> Option<JobEnd> {
        self.feeder.abort();
        let rest = async {
            job.cancel().await?;
            collect(job, &self.runs).await
        };
        tokio::select! {
            end = tokio::time::timeout(INTERRUPT_GRACE, rest) => end.ok()?.ok()?,
            () = second => None,
        }
    }
}

/// Passes outcomes on until the job has ended. Ends early, without a word, when nobody writes them any more.
async fn collect(job: &Job, runs: &mpsc::Sender<OutcomeRun>) -> Result<Option<JobEnd>, Failure> {
    let mut outcomes = job.outcomes();
    while let Some(run) = outcomes.next().await? {
        if runs.send(run).await.is_err() {
            // The writer has failed and says why.
            std::future::pending::<()>().await;
        }
    }
    Ok(outcomes.end().cloned())
}

/// Appends what the reader has read, as fast as the coordinator takes it and results are written.
async fn feed(
    mut read: mpsc::Receiver<Result<Chunk, InputError>>,
    mut sender: TaskSender,
    mut held_bytes: watch::Receiver<usize>,
    tags: Option<Arc<Tags>>,
    progress: Arc<Progress>,
) -> Result<Result<(), InputError>, ClientError> {
    let (mut tasks, mut input) = (0, Ok(()));
    while let Some(chunk) = read.recv().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                input = Err(error);
                break;
            }
        };
        // The writer is gone: the job is about to be stopped.
        let _gone = held_bytes.wait_for(|held| *held <= HELD_BYTES_MAX).await.map(drop);
        if let Some(tags) = &tags {
            tags.insert(tasks, &chunk);
        }
        tasks += chunk.len() as u64;
        match sender.send(chunk).await {
            // Its outcomes tell why the job takes no more.
            Err(ClientError::JobClosed) => return Ok(input),
            sent => sent?,
        }
    }
    progress.set_total(tasks);
    match sender.finish().await {
        Ok(_) | Err(ClientError::JobClosed) => Ok(input),
        Err(error) => Err(error),
    }
}

/// Reads until the input ends, is bad, or nobody wants more. Runs on a thread of its own.
fn read_all(mut tasks: TaskReader, chunks: &mpsc::Sender<Result<Chunk, InputError>>) {
    loop {
        let read = match tasks.next_chunk() {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let is_last = read.is_err();
        if chunks.blocking_send(read).is_err() || is_last {
            return;
        }
    }
}

/// Writes until no more outcomes come. Runs on a thread of its own.
fn write_all(
    mut writer: Writer,
    mut runs: mpsc::Receiver<OutcomeRun>,
    held_bytes: &watch::Sender<usize>,
) -> Result<Counts, OutputError> {
    while let Some(run) = runs.blocking_recv() {
        writer.write(run)?;
        while let Ok(run) = runs.try_recv() {
            writer.write(run)?;
        }
        writer.flush()?;
        held_bytes.send_replace(writer.held_bytes());
    }
    writer.finish()?;
    Ok(writer.counts().clone())
}

async fn input_result(
    feeder: JoinHandle<Result<Result<(), InputError>, ClientError>>,
) -> Result<Result<(), InputError>, Failure> {
    feeder.await.map_err(|error| Failure::Lost(error.to_string()))?.map_err(Failure::from)
}

fn early_end_of_output(written: Result<Result<Counts, OutputError>, oneshot::error::RecvError>) -> Failure {
    match written {
        Ok(Err(error)) => error.into(),
        Ok(Ok(_)) | Err(_) => Failure::Lost("the thread that writes results ended early".to_owned()),
    }
}
