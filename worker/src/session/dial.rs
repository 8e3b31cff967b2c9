//! Dialling in: one connection, one hello, one welcome; and again until that has worked or is known to be of no use.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use poolmap_proto::MAX_MESSAGE_BYTES;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::workers_client::WorkersClient;
use poolmap_proto::v1::{CoordinatorMessage, Hello, Resumption, Welcome, WorkerMessage};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use super::SessionError;
use super::line::{Lease, Outgoing};
use crate::connect::{ConnectError, Connector};

/// Time a connection may take, all addresses of the coordinator together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time the coordinator has to answer a hello, and one that speaks of an attachment which it is about to give up.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
const RESUME_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two attempts, before the first jitter: a lost packet costs little, and a thousand workers are no storm.
const MIN_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(1);
/// How often somebody is told that the coordinator cannot be reached.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Dials the coordinator.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) connector: Connector,
    pub(super) hello: Hello,
}

/// A stream on which a hello was welcomed.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) welcome: Welcome,
    pub(super) messages: Streaming<CoordinatorMessage>,
    /// Where the stream waits for what it is to carry.
    pub(super) lease: oneshot::Sender<Lease>,
}

/// Why an attempt failed.
enum Failed {
    /// The next one may not.
    Now(String),
    /// So will all others.
    ForGood(SessionError),
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(reason) => Self::Now(reason),
            ConnectError::Refused(reason) => Self::ForGood(SessionError::NoWay(reason)),
        }
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        if is_final(&status) {
            Self::ForGood(SessionError::Refused(status))
        } else {
            Self::Now(status.message().to_owned())
        }
    }
}

/// Whether a status is the coordinator's own judgement, which it would come to again.
pub(super) fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    )
}

impl Dialer {
    /// Tries for so long, at least once. `resume`: the attachment to go on with.
    pub(super) async fn dial(
        self,
        resume: Option<Resumption>,
        patience: Duration,
    ) -> Result<Attached, SessionError> {
        let delays = ExponentialBuilder::default()
            .with_min_delay(MIN_DELAY)
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .without_max_times();
        let (started, mut told) = (Instant::now(), None::<Instant>);
        let mut delays = delays.build();
        loop {
            let reason = match self.attempt(resume.clone()).await {
                Ok(attached) => return Ok(attached),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::Now(reason)) => reason,
            };
            let delay = delays.next().unwrap_or(MAX_DELAY);
            if started.elapsed() + delay > patience {
                return Err(SessionError::Unreachable { tried_for: started.elapsed(), reason });
            }
            if told.is_none_or(|told| told.elapsed() >= LOG_INTERVAL) {
                tracing::warn!("cannot reach the coordinator: {reason}; trying again");
                told = Some(Instant::now());
            }
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&self, resume: Option<Resumption>) -> Result<Attached, Failed> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connector.connect()).await;
        let transport = connected.map_err(|_elapsed| Failed::Now(no_answer(CONNECT_TIMEOUT)))??;
        let mut stub = WorkersClient::new(transport.into_service())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let timeout = if resume.is_some() { RESUME_TIMEOUT } else { WELCOME_TIMEOUT };
        let hello = Hello { resume, ..self.hello.clone() };
        let (outgoing, lease) =
            Outgoing::new(WorkerMessage { received: 0, kind: Some(Report::Hello(hello)) });
        let welcome = async {
            let mut messages = stub.attach(outgoing).await?.into_inner();
            match messages.message().await?.and_then(|message| message.kind) {
                Some(Kind::Welcome(welcome)) => Ok(Attached { welcome, messages, lease }),
                _ => Err(Status::internal("its first message was no welcome")),
            }
        };
        let welcomed = tokio::time::timeout(timeout, welcome).await;
        Ok(welcomed.map_err(|_elapsed| Failed::Now(no_answer(timeout)))??)
    }
}

fn no_answer(timeout: Duration) -> String {
    format!("it did not answer within {} s", timeout.as_secs())
}
