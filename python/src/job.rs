//! A job of the engine: carries what its intake is given to the coordinator, and outcomes to those who wait for them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poolmap_client::{Client, ClientError, Job, JobSpec, OutcomeRun, OutcomeStream, ShipError, TaskSender};
use tokio::sync::{OnceCell, mpsc, watch};

use crate::delivery::News;
use crate::intake::{Delivered, Intake, Parcel, Refusal, Sink, Stop};
use crate::piece::Piece;
use crate::sinks::{Delivery, Sinks};
use crate::waiters::Waiters;

/// While all slots are busy, tasks are sent at most so often: what comes in between travels together.
const PACE: Duration = Duration::from_micros(500);
/// Time that a coordinator has to hear that a job is of no interest any more. If it does not, it notices that we are gone.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// What a job needs to run.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) client: Client,
    pub(crate) spec: JobSpec,
    /// Files and folders that travel with it.
    pub(crate) ship: Arc<[PathBuf]>,
    pub(crate) slots: u64,
    /// A task that is cancelled is stopped if it runs.
    pub(crate) stops_running: bool,
    pub(crate) intake: Arc<Intake>,
    pub(crate) news: mpsc::Sender<News>,
    /// Why nothing runs any more; empty while all is well.
    pub(crate) broken: watch::Receiver<String>,
}

/// What the two directions share.
#[derive(Debug, Default)]
struct Traffic {
    /// Of the futures.
    waiters: Arc<Waiters>,
    sinks: Mutex<Sinks>,
    /// Tasks sent, and outcomes received.
    sent: AtomicU64,
    done: AtomicU64,
}

impl Traffic {
    fn in_flight(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).saturating_sub(self.done.load(Ordering::Relaxed))
    }
}

/// Runs a job until it is closed and has all its outcomes, or nothing runs any more.
pub(crate) async fn run(start: Start) {
    let Start { client, spec, ship, slots, stops_running, intake, news, mut broken } = start;
    let traffic = Traffic { waiters: intake.waiters.clone(), ..Traffic::default() };
    let opened = OnceCell::new();
    let carried = async {
        let job = opened.get_or_try_init(|| open(&client, spec, &ship)).await?;
        let (tasks, outcomes) = (job.add_tasks(), job.outcomes());
        let feeder = Feeder { job, intake: &intake, traffic: &traffic, news: &news, slots, stops_running };
        let feeding = feeder.feed(tasks);
        let fed = async {
            match feeding.await {
                // A job that was rejected or cancelled takes no tasks any more; its outcomes say why.
                Ok(()) | Err(ClientError::JobClosed) => std::future::pending().await,
                Err(error) => error,
            }
        };
        tokio::select! {
            end = receive(outcomes, &intake, &traffic, &news) => Ok(end?),
            error = fed => Err(error.into()),
        }
    };
    let end: Result<String, ShipError> = tokio::select! {
        end = carried => end,
        reason = reason(&mut broken) => {
            abandon(opened.get()).await;
            Ok(reason)
        }
    };
    let reason = end.unwrap_or_else(|error| error.to_string());
    let reason = (!reason.is_empty()).then_some(reason);
    let refusal = reason.clone().map_or(Refusal::Closed, Refusal::Broken);
    let unsent = intake.refuse(refusal);
    let waiting: Vec<_> =
        lock(&traffic.sinks).drain().chain(unsent.into_iter().map(|parcel| parcel.sink)).collect();
    for sink in waiting {
        never(sink, reason.clone(), &traffic, &news).await;
    }
}

/// Creates a job, whose files are with the coordinator by then.
async fn open(client: &Client, spec: JobSpec, ship: &[PathBuf]) -> Result<Job, ShipError> {
    let files = if ship.is_empty() { Vec::new() } else { client.ship(ship).await? };
    Ok(client.submit(JobSpec { files, ..spec }).await?)
}

/// Ends a job whose outcomes nobody waits for, whatever runs.
async fn abandon(job: Option<&Job>) {
    if let Some(job) = job {
        let _gone = tokio::time::timeout(CANCEL_TIMEOUT, job.cancel()).await;
    }
}

/// Tells a sink that tasks of it will never run: why, unless they were cancelled.
async fn never(sink: Sink, reason: Option<String>, traffic: &Traffic, news: &mpsc::Sender<News>) {
    match sink {
        Sink::Futures(futures) => {
            let waiting = futures.into_iter().flatten().map(Some).collect();
            News::never(waiting, reason, traffic.waiters.clone()).send(news).await;
        }
        Sink::Results { shared, .. } => {
            if let Some(done) = shared.refuse(reason) {
                News::complete(done, traffic.waiters.clone()).send(news).await;
            }
        }
    }
}

async fn reason(broken: &mut watch::Receiver<String>) -> String {
    let reason = broken.wait_for(|reason| !reason.is_empty()).await.map(|reason| reason.clone());
    match reason {
        Ok(reason) => reason,
        Err(_closed) => std::future::pending().await,
    }
}

fn lock(sinks: &Mutex<Sinks>) -> std::sync::MutexGuard<'_, Sinks> {
    sinks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What carries tasks and cancellations from the intake to the coordinator.
struct Feeder<'a> {
    job: &'a Job,
    intake: &'a Intake,
    traffic: &'a Traffic,
    news: &'a mpsc::Sender<News>,
    slots: u64,
    stops_running: bool,
}

impl Feeder<'_> {
    /// Carries both until the intake is closed, and then cancellations alone.
    async fn feed(&self, mut tasks: TaskSender) -> Result<(), ClientError> {
        let mut stops = Vec::new();
        loop {
            let confirmed = tasks.confirmed();
            let taken = tokio::select! {
                taken = self.intake.take() => taken,
                error = tasks.fails() => return Err(error),
                () = tasks.confirms_more_than(confirmed), if !stops.is_empty() => Delivered::default(),
            };
            let begun = self.intake.begun();
            tasks.add_functions(taken.functions);
            for parcel in taken.parcels {
                if taken.is_cancelled && parcel.first_index >= begun {
                    never(parcel.sink, None, self.traffic, self.news).await;
                } else {
                    send(&mut tasks, parcel, self.traffic).await?;
                }
            }
            stops.extend(taken.stops);
            let known;
            (known, stops) = split(stops, tasks.confirmed());
            self.stop(known).await?;
            if taken.is_cancelled {
                self.cancel_from(begun).await?;
            }
            if taken.is_closed {
                tasks.finish().await?;
                // Now all are known.
                self.stop(stops).await?;
                if taken.is_cancelled {
                    self.cancel_from(begun).await?;
                }
                return self.cancel_on().await;
            }
            if self.traffic.in_flight() > 2 * self.slots {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    /// Carries cancellations for as long as the job lives.
    async fn cancel_on(&self) -> Result<(), ClientError> {
        loop {
            let taken = self.intake.take().await;
            self.stop(taken.stops).await?;
            if taken.is_cancelled {
                self.cancel_from(self.intake.begun()).await?;
            }
        }
    }

    /// Cancels tasks, and stops those that run where that is wanted.
    async fn stop(&self, stops: Vec<Stop>) -> Result<(), ClientError> {
        for running in [false, true] {
            let alike = stops.iter().filter(|stop| (stop.running && self.stops_running) == running);
            let tasks: Vec<_> = alike.map(|stop| stop.tasks.clone()).collect();
            if !tasks.is_empty() {
                self.job.cancel_tasks(tasks, running).await?;
            }
        }
        Ok(())
    }

    /// Cancels what waits from an index on.
    async fn cancel_from(&self, first: u64) -> Result<(), ClientError> {
        self.job.cancel_tasks(std::iter::once(first..u64::MAX), false).await
    }
}

/// Those below an index, and those from it on.
fn split(stops: Vec<Stop>, index: u64) -> (Vec<Stop>, Vec<Stop>) {
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for Stop { tasks, running } in stops {
        let middle = index.clamp(tasks.start, tasks.end);
        for (part, side) in [(tasks.start..middle, &mut below), (middle..tasks.end, &mut above)] {
            if !part.is_empty() {
                side.push(Stop { tasks: part, running });
            }
        }
    }
    (below, above)
}

async fn send(tasks: &mut TaskSender, parcel: Parcel, traffic: &Traffic) -> Result<(), ClientError> {
    let count = parcel.chunk.len() as u64;
    traffic.sent.fetch_add(count, Ordering::Relaxed);
    lock(&traffic.sinks).add(parcel.first_index, count, parcel.sink);
    tasks.send(parcel.chunk).await
}

/// Delivers outcomes until there are no more; says why the job could not run, if it could not.
async fn receive(
    mut outcomes: OutcomeStream,
    intake: &Intake,
    traffic: &Traffic,
    news: &mpsc::Sender<News>,
) -> Result<String, ClientError> {
    while let Some(run) = outcomes.next().await? {
        let tasks = run.lengths.len() as u64 + run.cancelled;
        traffic.done.fetch_add(tasks, Ordering::Relaxed);
        intake.note_outcomes(tasks);
        for told in sort(run, traffic) {
            told.send(news).await;
        }
    }
    Ok(outcomes.end().map_or_else(String::new, |end| end.error.clone()))
}

/// Hands a run to the iterators that wait for it, and returns what is for others.
fn sort(run: OutcomeRun, traffic: &Traffic) -> Vec<News> {
    let mut told = Vec::new();
    lock(&traffic.sinks).take(run, |delivery| match delivery {
        Delivery::Futures(futures, run) => {
            told.push(News::outcomes(futures, run, traffic.waiters.clone()));
        }
        Delivery::Results(shared, place, run) => {
            let done = shared.push(place, Piece::new(run));
            told.extend(done.map(|call| News::complete(call, traffic.waiters.clone())));
        }
    });
    told
}
