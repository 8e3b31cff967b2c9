//! From a stream of outcomes to written results. Writing blocks, so it has a thread; the queue to it is short, so that whoever
//! reads results slowly slows down the stream.

use std::sync::Arc;

use poolmap_client::{JobEnd, OutcomeRun, OutcomeStream};
use tokio::sync::{mpsc, oneshot, watch};

use super::plan::Output;
use crate::exit::Failure;
use crate::output::{Counts, OutputError, Progress, Writer};

/// Runs of outcomes that may wait to be written.
const RUNS_AHEAD: usize = 16;

/// The thread that writes results.
pub(crate) struct Sink {
    runs: mpsc::Sender<OutcomeRun>,
    written: oneshot::Receiver<Result<Counts, OutputError>>,
    held_bytes: watch::Receiver<usize>,
}

impl Sink {
    pub(crate) fn start(output: Output, progress: Arc<Progress>) -> Self {
        let writer = Writer::new(output.destination, output.style, output.keeps_order, progress);
        let (runs, receiver) = mpsc::channel(RUNS_AHEAD);
        let (held, held_bytes) = watch::channel(0);
        let (sender, written) = oneshot::channel();
        std::thread::spawn(move || sender.send(write_all(writer, receiver, &held)));
        Self { runs, written, held_bytes }
    }

    /// Bytes of outcomes that wait for those of earlier tasks.
    pub(super) fn held_bytes(&self) -> watch::Receiver<usize> {
        self.held_bytes.clone()
    }

    /// Passes outcomes on until the job has ended; why it cannot, where results cannot be written. This may be dropped while it waits
    /// without losing anything.
    pub(crate) async fn take_all(&mut self, outcomes: &mut OutcomeStream) -> Result<Option<JobEnd>, Failure> {
        let collect = async {
            loop {
                let Ok(room) = self.runs.reserve().await else {
                    // The writer has failed and says why.
                    std::future::pending::<()>().await;
                    continue;
                };
                match outcomes.next().await? {
                    Some(run) => room.send(run),
                    None => return Ok(outcomes.end().cloned()),
                }
            }
        };
        tokio::select! {
            end = collect => end,
            written = &mut self.written => Err(early_end(written)),
        }
    }

    /// Writes what is left; returns what was written in all.
    pub(crate) async fn finish(self) -> Result<Counts, Failure> {
        drop(self.runs);
        match self.written.await {
            Ok(written) => Ok(written?),
            Err(_panicked) => Err(broken()),
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

fn early_end(written: Result<Result<Counts, OutputError>, oneshot::error::RecvError>) -> Failure {
    match written {
        Ok(Err(error)) => error.into(),
        Ok(Ok(_)) | Err(_) => broken(),
    }
}

fn broken() -> Failure {
    Failure::Lost("the thread that writes results ended early".to_owned())
}
