//! The thread that a pool lives in: its jobs, and the coordinator and workers that it holds or the connection to those of a
//! cluster, on one single-threaded runtime.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use poolmap_client::{Client, ClientError, JobSpec, Route, RouteError, Transport};
use poolmap_local::{Local, LocalError, Shape};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio_util::sync::CancellationToken;

use crate::delivery::News;
use crate::intake::Intake;
use crate::job;

/// How large a task's payload may be at most: what one task of the protocol carries.
const PAYLOAD_BYTES_MAX: usize = (1 << 30) - 1;
/// Jobs that may wait to be started; whoever opens one more waits for room.
const STARTS: usize = 16;
/// How long a coordinator that was reached may take to let us in.
const GREETING_PATIENCE: Duration = Duration::from_secs(5);

/// Where tasks run.
#[derive(Debug)]
pub(crate) enum Site {
    /// On this machine, in workers of our own.
    Here(Shape),
    /// In the workers of a cluster.
    Cluster {
        route: Route,
        /// Files and folders that travel with each job.
        ship: Vec<PathBuf>,
    },
}

/// A pool cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Local(#[from] LocalError),
    #[error(transparent)]
    Unreachable(#[from] RouteError),
    #[error(transparent)]
    Refused(#[from] ClientError),
}

impl StartError {
    fn system(doing: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Local(LocalError { doing: doing.to_owned(), source })
    }
}

/// A handle on the thread. The thread ends once it is told to, by [`close`](Self::close) or by the end of all handles.
#[derive(Debug)]
pub(crate) struct Engine {
    site: Connected,
    starts: mpsc::Sender<job::Start>,
    /// Why nothing runs any more.
    broken: watch::Sender<String>,
    /// The thread has the strong one, which ends with it.
    news: mpsc::WeakSender<News>,
    closing: CancellationToken,
}

impl Engine {
    /// Starts the thread and waits until its workers are being started, or the cluster's coordinator has let us in. Outcomes
    /// for futures go to `news`, which is closed when the engine has ended.
    pub(crate) fn start(site: Site, news: mpsc::Sender<News>) -> Result<Self, StartError> {
        let (broken, closing) = (watch::Sender::default(), CancellationToken::new());
        let (started, wait) = oneshot::channel();
        let (starts, receiver) = mpsc::channel(STARTS);
        let parts = Parts { starts: receiver, broken: broken.clone(), closing: closing.clone() };
        let weak = news.downgrade();
        let thread = thread::Builder::new().name("poolmap".to_owned());
        let spawned = thread.spawn(move || {
            run(site, started, parts);
            drop(news);
        });
        spawned.map_err(StartError::system("starting a thread"))?;
        let died = || Err(StartError::system("starting a pool")(io::Error::other("its thread has died")));
        let site = wait.blocking_recv().unwrap_or_else(|_gone| died())?;
        Ok(Self { site, starts, broken, news: weak, closing })
    }

    /// Tasks that the workers run at once; of a cluster, those that were attached at the start.
    pub(crate) fn slots(&self) -> u64 {
        self.site.slots
    }

    /// How large a task's payload may be.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        self.site.payload_bytes_max
    }

    /// Starts a job that runs what its intake is given. `stops_running`: a task that is cancelled is stopped if it runs.
    pub(crate) fn open(&self, spec: JobSpec, stops_running: bool) -> Arc<Intake> {
        let intake = Arc::new(Intake::new(self.site.slots));
        let Some(news) = self.news.upgrade() else {
            intake.close();
            return intake;
        };
        let start = job::Start {
            client: self.site.client.clone(),
            spec,
            ship: self.site.ship.clone(),
            slots: self.site.slots,
            stops_running,
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

/// What is known of the workers once they are there.
#[derive(Debug)]
struct Connected {
    client: Client,
    slots: u64,
    payload_bytes_max: usize,
    ship: Arc<[PathBuf]>,
}

type Started = oneshot::Sender<Result<Connected, StartError>>;

/// The thread's ends of what a handle has.
struct Parts {
    starts: mpsc::Receiver<job::Start>,
    broken: watch::Sender<String>,
    closing: CancellationToken,
}

fn run(site: Site, started: Started, parts: Parts) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _gone = started.send(Err(StartError::system("starting a pool")(error)));
            return;
        }
    };
    LocalSet::new().block_on(&runtime, async {
        match connect(site).await {
            Ok((local, connected)) => {
                let _gone = started.send(Ok(connected));
                serve(local, parts).await;
            }
            Err(error) => {
                let _gone = started.send(Err(error));
            }
        }
    });
}

/// Starts workers, or reaches those of a cluster.
async fn connect(site: Site) -> Result<(Option<Local>, Connected), StartError> {
    match site {
        Site::Here(shape) => {
            let slots = u64::from(shape.slots.get()) * u64::from(shape.workers.get());
            let local = Local::start(shape)?;
            let client = Client::new(Transport::in_process(local.coordinator().jobs()));
            let payload_bytes_max = PAYLOAD_BYTES_MAX;
            Ok((Some(local), Connected { client, slots, payload_bytes_max, ship: Arc::default() }))
        }
        Site::Cluster { route, ship } => {
            let client = Client::new(route.connect().await?);
            // Whoever is refused learns it from the first answer.
            let (workers, taken) = client.clone().with_patience(GREETING_PATIENCE).census().await?;
            let slots = workers.iter().map(|worker| u64::from(worker.slots)).sum();
            let payload_bytes_max = taken.min(PAYLOAD_BYTES_MAX);
            Ok((None, Connected { client, slots, payload_bytes_max, ship: ship.into() }))
        }
    }
}

/// Runs jobs until told to close and all have ended; then ends the workers, if they are ours.
async fn serve(mut local: Option<Local>, parts: Parts) {
    let Parts { mut starts, broken, closing } = parts;
    let mut jobs = JoinSet::new();
    let (mut is_closing, mut is_broken) = (false, false);
    while !is_closing || !jobs.is_empty() || !starts.is_empty() {
        tokio::select! {
            Some(start) = starts.recv() => drop(jobs.spawn_local(job::run(start))),
            Some(_ended) = jobs.join_next() => {}
            () = closing.cancelled(), if !is_closing => is_closing = true,
            how = all_ended(&mut local), if !is_broken => {
                broken.send_replace(format!("all workers are gone: {how}"));
                is_broken = true;
            }
        }
    }
    if let Some(local) = local {
        local.stop().await;
    }
}

/// How the last of our workers ended. Those of a cluster may come back, or others.
async fn all_ended(local: &mut Option<Local>) -> String {
    match local {
        Some(local) => local.all_ended().await,
        None => pending().await,
    }
}
