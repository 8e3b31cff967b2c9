//! A worker's stream to its coordinator: says hello, then turns messages into calls of the pool.

use std::pin::pin;
use std::time::Duration;

use poolmap_proto::transport::Transport;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::workers_client::WorkersClient;
use poolmap_proto::v1::{CoordinatorMessage, Heartbeat, Hello, Welcome, WorkerMessage};
use poolmap_proto::{MAX_MESSAGE_BYTES, PROTOCOL_VERSION};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::launch::Ground;
use crate::pool::{GUARD_INTERVAL, Pool, SlotStuck};

/// Reports that may wait for the coordinator to read them. Slots wait when it is full.
const REPORT_QUEUE: usize = 64;
/// Time the coordinator has to answer a hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that children have to end after the last slot has stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The coordinator did not take this worker, or ended its stream with a reason.
    #[error("the coordinator ended the session: {}", .0.message())]
    Refused(#[from] Status),
    /// The coordinator did not answer.
    #[error("the coordinator did not answer within {} s", WELCOME_TIMEOUT.as_secs())]
    NoWelcome,
    /// A defect of this program.
    #[error(transparent)]
    Stuck(#[from] SlotStuck),
}

/// Serves one coordinator until it hangs up or `stop` completes, and leaves no child behind.
pub(crate) async fn serve(
    transport: Transport,
    name: String,
    ground: Ground,
    stop: impl Future<Output = ()>,
) -> Result<(), SessionError> {
    let tasks = ground.tasks.clone();
    // A child that is being started when the session ends still reads these before it notices.
    let _runner_files = ground.runner_files.clone();
    let served = run(transport, name, ground, stop).await;
    tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!("children were still ending after {} s", STOP_TIMEOUT.as_secs());
    }
    served
}

async fn run(
    transport: Transport,
    name: String,
    ground: Ground,
    stop: impl Future<Output = ()>,
) -> Result<(), SessionError> {
    let (reports, outgoing) = mpsc::channel(REPORT_QUEUE);
    let attached = attach(transport, hello(name, &ground), &reports, outgoing).await;
    let (mut messages, welcome) = match attached {
        // It was stopped before it could answer: no different from hanging up a moment later.
        Err(SessionError::Refused(status)) if status.code() == Code::Unavailable => return Ok(()),
        attached => attached?,
    };
    let mut heartbeat =
        tokio::time::interval(Duration::from_millis(welcome.heartbeat_interval_ms.max(1).into()));
    let (mut pool, mut departures) = Pool::start(ground, reports.clone());
    let mut guard = tokio::time::interval(GUARD_INTERVAL);
    guard.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            message = messages.message() => match message? {
                Some(message) => handle(&mut pool, message).await?,
                None => return Ok(()),
            },
            Some(left) = departures.recv() => pool.left(left)?,
            _ = guard.tick() => pool.guard()?,
            _ = heartbeat.tick() => {
                // A full queue says as much as a heartbeat.
                let _full = reports.try_send(WorkerMessage { received: 0, kind: Some(Report::Heartbeat(Heartbeat {})) });
            }
            () = &mut stop => return Ok(()),
        }
    }
}

fn hello(name: String, ground: &Ground) -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name,
        slots: ground.slots as u32,
        process_id: std::process::id(),
        ..Hello::default()
    }
}

async fn attach(
    transport: Transport,
    hello: Hello,
    reports: &mpsc::Sender<WorkerMessage>,
    outgoing: mpsc::Receiver<WorkerMessage>,
) -> Result<(Streaming<CoordinatorMessage>, Welcome), SessionError> {
    let mut stub = WorkersClient::new(transport.into_service())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let _sent = reports.try_send(WorkerMessage { received: 0, kind: Some(Report::Hello(hello)) });
    let welcome = async {
        let mut messages = stub.attach(ReceiverStream::new(outgoing)).await?.into_inner();
        match messages.message().await?.and_then(|message| message.kind) {
            Some(Kind::Welcome(welcome)) => Ok((messages, welcome)),
            _ => Err(Status::internal("its first message was no welcome")),
        }
    };
    let welcome =
        tokio::time::timeout(WELCOME_TIMEOUT, welcome).await.map_err(|_elapsed| SessionError::NoWelcome)?;
    Ok(welcome?)
}

async fn handle(pool: &mut Pool, message: CoordinatorMessage) -> Result<(), SlotStuck> {
    match message.kind {
        Some(Kind::JobStarted(announced)) => {
            pool.job_started(announced).await;
            Ok(())
        }
        Some(Kind::Batch(batch)) => pool.batch(batch),
        Some(Kind::TakeBack(asked)) => pool.take_back(asked).await,
        Some(Kind::Stop(stop)) => pool.stop_batch(stop.batch_id).await,
        Some(Kind::JobEnded(ended)) => pool.job_ended(ended.job_id),
        Some(Kind::Welcome(_) | Kind::Heartbeat(_) | Kind::Drain(_)) | None => Ok(()),
    }
}
