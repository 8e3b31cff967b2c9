//! The thread that a pool lives in: a coordinator, its workers, and the pool's jobs, on one single-threaded runtime.

use std::io;
use std::sync::Arc;
use std::thread;

use poolmap_client::{Client, JobSpec, Transport};
use poolmap_local::{Local, LocalError, Shape};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::delivery::News;
use crate::intake::Intake;
use crate::job;

/// Jobs that may wait to be started; whoever opens one more waits for room.
const STARTS: usize = 16;

/// A handle on the thread. The thread ends once it is told to, by [`close`](Self::close) or by the end of all handles.
#[derive(Debug)]
pub(crate) struct Engine {
    client: Client,
    slots: u64,
    starts: mpsc::Sender<job::Start>,
    /// Why nothing runs any more.
    broken: watch::Sender<String>,
    /// The thread has the strong one, which ends with it.
    news: mpsc::WeakSender<News>,
    closing: CancellationToken,
}

impl Engine {
    /// Starts the thread and waits until its workers are being started. Outcomes for futures go to `news`, which is closed
    /// when the engine has ended.
    pub(crate) fn start(shape: Shape, news: mpsc::Sender<News>) -> Result<Self, LocalError> {
        let slots = u64::from(shape.slots.get()) * u64::from(shape.workers.get());
        let (broken, closing) = (watch::Sender::default(), CancellationToken::new());
        let (started, wait) = oneshot::channel();
        let (starts, receiver) = mpsc::channel(STARTS);
        let parts = Parts { starts: receiver, broken: broken.clone(), closing: closing.clone() };
        let weak = news.downgrade();
        let thread = thread::Builder::new().name("poolmap".to_owned());
        let spawned = thread.spawn(move || {
            run(shape, started, parts);
            drop(news);
        });
        spawned.map_err(|source| LocalError { doing: "starting a thread".to_owned(), source })?;
        let client = wait.blocking_recv().unwrap_or_else(|_gone| {
            let source = io::Error::other("its thread has died");
            Err(LocalError { doing: "starting a pool".to_owned(), source })
        })?;
        Ok(Self { client, slots, starts, broken, news: weak, closing })
    }

    /// Starts a job that runs what its intake is given.
    pub(crate) fn open(&self, spec: JobSpec) -> Arc<Intake> {
        let intake = Arc::new(Intake::new());
        let Some(news) = self.news.upgrade() else {
            intake.close();
            return intake;
        };
        let start = job::Start {
            client: self.client.clone(),
            spec,
            slots: self.slots,
            intake: intake.clone(),
            news,
            broken: self.broken.subscribe(),
        };
        if self.starts.blocking_send(start).is_err() {
            intake.close();
        }
        intake
    }

    /// Ends the thread once all jobs have ended.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// Ends all jobs at once, whatever runs.
    pub(crate) fn abandon(&self, reason: &str) {
        self.broken.send_if_modified(|broken| {
            let is_first = broken.is_empty();
            if is_first {
                reason.clone_into(broken);
            }
            is_first
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

type Started = oneshot::Sender<Result<Client, LocalError>>;

/// The thread's ends of what a handle has.
struct Parts {
    starts: mpsc::Receiver<job::Start>,
    broken: watch::Sender<String>,
    closing: CancellationToken,
}

fn run(shape: Shape, started: Started, parts: Parts) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let _gone = started.send(Err(LocalError { doing: "starting a pool".to_owned(), source }));
            return;
        }
    };
    let local = {
        let _within = runtime.enter();
        Local::start(shape)
    };
    let local = match local {
        Ok(local) => local,
        Err(error) => {
            let _gone = started.send(Err(error));
            return;
        }
    };
    let client = Client::new(Transport::in_process(local.coordinator().jobs()));
    let _gone = started.send(Ok(client));
    LocalSet::new().block_on(&runtime, serve(local, parts));
}

/// Runs jobs until told to close and all have ended; then ends the workers.
async fn serve(mut local: Local, parts: Parts) {
    let Parts { mut starts, broken, closing } = parts;
    let mut jobs = JoinSet::new();
    let (mut is_closing, mut is_broken) = (false, false);
    while !is_closing || !jobs.is_empty() || !starts.is_empty() {
        tokio::select! {
            Some(start) = starts.recv() => drop(jobs.spawn_local(job::run(start))),
            Some(_ended) = jobs.join_next() => {}
            () = closing.cancelled(), if !is_closing => is_closing = true,
            how = local.all_ended(), if !is_broken => {
                broken.send_replace(format!("all workers are gone: {how}"));
                is_broken = true;
            }
        }
    }
    local.stop().await;
}
