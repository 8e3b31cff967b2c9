//! The thread that a pool lives in: a coordinator, its workers, and the pool's jobs, on one single-threaded runtime.

use std::io;
use std::sync::Arc;
use std::thread;

use poolmap_client::{Client, JobSpec, Transport};
use poolmap_local::{Local, LocalError, Shape};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::delivery::News;
use crate::intake::Intake;
use crate::job;

/// A handle on the thread. The thread ends once it is told to, by [`close`](Self::close) or by the end of all handles.
#[derive(Debug)]
pub(crate) struct Engine {
    handle: Handle,
    client: Client,
    slots: u64,
    jobs: TaskTracker,
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
        let (broken, jobs, closing) =
            (watch::Sender::default(), TaskTracker::new(), CancellationToken::new());
        let (started, wait) = oneshot::channel();
        let parts = (broken.clone(), jobs.clone(), closing.clone());
        let weak = news.downgrade();
        let thread = thread::Builder::new().name("poolmap".to_owned());
        let spawned = thread.spawn(move || {
            let (broken, jobs, closing) = parts;
            run(shape, started, &broken, &jobs, &closing);
            drop(news);
        });
        spawned.map_err(|source| LocalError { doing: "starting a thread".to_owned(), source })?;
        let (handle, client) = wait.blocking_recv().unwrap_or_else(|_gone| {
            let source = io::Error::other("its thread has died");
            Err(LocalError { doing: "starting a pool".to_owned(), source })
        })?;
        Ok(Self { handle, client, slots, jobs, broken, news: weak, closing })
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
        self.jobs.spawn_on(job::run(start), &self.handle);
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

type Started = oneshot::Sender<Result<(Handle, Client), LocalError>>;

fn run(
    shape: Shape,
    started: Started,
    broken: &watch::Sender<String>,
    jobs: &TaskTracker,
    closing: &CancellationToken,
) {
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
    let mut local = match local {
        Ok(local) => local,
        Err(error) => {
            let _gone = started.send(Err(error));
            return;
        }
    };
    let client = Client::new(Transport::in_process(local.coordinator().jobs()));
    let _gone = started.send(Ok((runtime.handle().clone(), client)));
    runtime.block_on(async {
        tokio::select! {
            () = closing.cancelled() => {}
            how = local.all_ended() => {
                broken.send_replace(format!("all workers are gone: {how}"));
                closing.cancelled().await;
            }
        }
        jobs.close();
        tokio::select! {
            () = jobs.wait() => {}
            how = local.all_ended() => {
                broken.send_replace(format!("all workers are gone: {how}"));
                jobs.wait().await;
            }
        }
        local.stop().await;
    });
}
