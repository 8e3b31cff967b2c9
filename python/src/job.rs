//! A job of the engine: carries what its intake is given to the coordinator, and outcomes to those who wait for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poolmap_client::{Client, ClientError, Job, JobSpec, OutcomeRun, OutcomeStream, TaskSender};
use tokio::sync::{mpsc, watch};

use crate::delivery::News;
use crate::intake::{Intake, Refusal, Sink};
use crate::results::Piece;
use crate::sinks::{Delivery, Sinks};

/// While all slots are busy, tasks are sent at most so often: what comes in between travels together.
const PACE: Duration = Duration::from_micros(500);

/// What a job needs to run.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) client: Client,
    pub(crate) spec: JobSpec,
    pub(crate) slots: u64,
    pub(crate) intake: Arc<Intake>,
    pub(crate) news: mpsc::Sender<News>,
    /// Why nothing runs any more; empty while all is well.
    pub(crate) broken: watch::Receiver<String>,
}

/// What the two directions share.
#[derive(Debug, Default)]
struct Traffic {
    sinks: Mutex<Sinks>,
    /// Tasks sent that have no outcome yet.
    in_flight: AtomicU64,
}

/// Runs a job until it is closed and has all its outcomes, or nothing runs any more.
pub(crate) async fn run(start: Start) {
    let Start { client, spec, slots, intake, news, mut broken } = start;
    let traffic = Traffic::default();
    let carried = async {
        let job = client.submit(spec).await?;
        let (tasks, outcomes) = (job.add_tasks(), job.outcomes());
        let feeding = feed(&job, tasks, &intake, &traffic, slots);
        let (fed, received) = tokio::join!(feeding, receive(outcomes, &traffic, &news));
        let end = received?;
        // A job that was rejected or cancelled takes no tasks any more, which says nothing new.
        match fed {
            Err(ClientError::JobClosed) | Ok(()) => Ok(end),
            Err(error) => Err(error),
        }
    };
    let reason = tokio::select! {
        end = carried => end.unwrap_or_else(|error| error.to_string()),
        reason = reason(&mut broken) => reason,
    };
    let reason = (!reason.is_empty()).then_some(reason);
    let refusal = reason.clone().map_or(Refusal::Closed, Refusal::Broken);
    let unsent = intake.refuse(refusal);
    let waiting: Vec<_> =
        lock(&traffic.sinks).drain().chain(unsent.into_iter().map(|parcel| parcel.sink)).collect();
    for sink in waiting {
        match sink {
            Sink::Futures(futures) => {
                let _gone = news.send(News::Never(futures, reason.clone())).await;
            }
            Sink::Results { shared, .. } => shared.refuse(reason.clone()),
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

async fn feed(
    job: &Job,
    mut tasks: TaskSender,
    intake: &Intake,
    traffic: &Traffic,
    slots: u64,
) -> Result<(), ClientError> {
    loop {
        let taken = intake.take().await;
        tasks.add_functions(taken.functions);
        for parcel in taken.parcels {
            let count = parcel.chunk.len() as u64;
            traffic.in_flight.fetch_add(count, Ordering::Relaxed);
            lock(&traffic.sinks).add(parcel.first_index, count, parcel.sink);
            tasks.send(parcel.chunk).await?;
        }
        if taken.is_cancelled {
            return job.cancel().await;
        }
        if taken.is_closed {
            return tasks.finish().await.map(drop);
        }
        if traffic.in_flight.load(Ordering::Relaxed) > 2 * slots {
            tokio::time::sleep(PACE).await;
        }
    }
}

/// Delivers outcomes until there are no more; says why the job could not run, if it could not.
async fn receive(
    mut outcomes: OutcomeStream,
    traffic: &Traffic,
    news: &mpsc::Sender<News>,
) -> Result<String, ClientError> {
    while let Some(run) = outcomes.next().await? {
        let tasks = run.lengths.len() as u64 + run.cancelled;
        traffic.in_flight.fetch_sub(tasks, Ordering::Relaxed);
        for futures in sort(run, traffic) {
            // Waits while futures are settled more slowly than tasks end.
            let _gone = news.send(futures).await;
        }
    }
    Ok(outcomes.end().map_or_else(String::new, |end| end.error.clone()))
}

/// Hands a run to the iterators that wait for it, and returns what is for futures.
fn sort(run: OutcomeRun, traffic: &Traffic) -> Vec<News> {
    let mut for_futures = Vec::new();
    lock(&traffic.sinks).take(run, |delivery| match delivery {
        Delivery::Futures(futures, run) => for_futures.push(News::Outcomes(futures, run)),
        Delivery::Results(shared, place, run) => shared.push(place, Piece::new(run)),
    });
    for_futures
}
