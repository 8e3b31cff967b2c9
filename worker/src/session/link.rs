//! A worker's attachment to its coordinator: what the coordinator says, whatever becomes of the streams that carry it.
//!
//! It owns the stream, replaces one that breaks or falls silent, and knows when that has become hopeless. It does not know
//! what the messages mean.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::MAX_TAKEN_BYTES;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{CoordinatorMessage, Heartbeat, Resumption, Welcome, WorkerMessage};
use poolmap_proto::window::Contradiction;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

use super::SessionError;
use super::dial::{Attached, Dialer, is_final};
use super::line::Line;

/// Reports that may wait for the stream to take them. Slots wait when it is full.
const REPORT_QUEUE: usize = 64;
/// Heartbeats of the coordinator that may be missing before its stream is taken for dead.
const MISSED_HEARTBEATS: u32 = 2;
/// Time that the coordinator has to take what a worker that leaves has still to say, and to end its stream.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// An attachment.
pub(super) struct Link {
    dialer: Dialer,
    line: Line,
    /// Where heartbeats go; absent once the worker leaves.
    reports: Option<mpsc::Sender<WorkerMessage>>,
    /// What the coordinator says; absent while there is no stream.
    messages: Option<Streaming<CoordinatorMessage>>,
    /// The search for another stream.
    search: Option<AbortOnDropHandle<Result<Attached, SessionError>>>,
    worker_id: u64,
    /// Empty if the attachment cannot be resumed.
    token: Bytes,
    heartbeat_interval: Duration,
    max_message_bytes: usize,
    /// How long another stream is searched for.
    patience: Duration,
    last_heard: Instant,
    /// The coordinator has told the worker on this stream to leave: if it then ends the stream, it is stopping itself.
    is_dismissed: bool,
}

/// How an attachment ends.
#[derive(Debug)]
pub(super) enum End {
    /// The coordinator has ended it.
    HungUp,
    /// The coordinator cannot be reached any more.
    Lost,
    /// The coordinator does not know it any more, and has made a new one.
    Replaced(Box<Attached>),
    /// The coordinator has ended it with a reason, or has made no sense.
    Failed(SessionError),
}

impl From<Contradiction> for End {
    fn from(error: Contradiction) -> Self {
        Self::Failed(SessionError::Nonsense(error.to_string()))
    }
}

enum Event {
    Said(Result<Option<CoordinatorMessage>, Status>),
    Found(Result<Attached, SessionError>),
    /// The coordinator has missed its heartbeats.
    Silent,
}

impl Link {
    /// An attachment that begins, and where reports for the coordinator go.
    pub(super) fn new(
        dialer: Dialer,
        attached: Attached,
        patience: Duration,
    ) -> (Self, mpsc::Sender<WorkerMessage>) {
        let Attached { welcome, messages, lease } = attached;
        let (reports, queue) = mpsc::channel(REPORT_QUEUE);
        let Welcome { worker_id, token, heartbeat_interval_ms, max_message_bytes, .. } = welcome;
        let line = Line::new(queue, !token.is_empty());
        if let Ok(opened) = line.open(0) {
            let _broken = lease.send(opened);
        }
        let new = Self {
            dialer,
            line,
            reports: Some(reports.clone()),
            messages: Some(messages),
            search: None,
            worker_id,
            token,
            heartbeat_interval: Duration::from_millis(heartbeat_interval_ms.max(1).into()),
            max_message_bytes: match usize::try_from(max_message_bytes) {
                Ok(0) | Err(_) => MAX_TAKEN_BYTES,
                Ok(bytes) => bytes,
            },
            patience,
            last_heard: Instant::now(),
            is_dismissed: false,
        };
        (new, reports)
    }

    /// How often the coordinator wants to hear something, and says something.
    pub(super) fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    /// The largest message that the coordinator takes.
    pub(super) fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// Gives a sign of life, unless there is nobody to see it.
    pub(super) fn beat(&self) {
        if let (None, Some(reports)) = (&self.search, &self.reports) {
            // A full queue says as much.
            let _full =
                reports.try_send(WorkerMessage { received: 0, kind: Some(Report::Heartbeat(Heartbeat {})) });
        }
    }

    /// What the coordinator says next. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Result<Kind, End> {
        loop {
            match self.event().await {
                Event::Said(Ok(Some(message))) => {
                    if let Some(kind) = self.heard(message)? {
                        return Ok(kind);
                    }
                }
                Event::Said(Err(status)) if is_final(&status) || !self.is_resumable() => {
                    return Err(End::Failed(SessionError::Refused(status)));
                }
                Event::Said(Ok(None)) if self.is_over() => return Err(End::HungUp),
                Event::Said(broken) => {
                    tracing::debug!(?broken, "the stream to the coordinator is gone");
                    self.messages = None;
                    if self.search.is_none() {
                        self.search();
                    }
                }
                Event::Found(found) => self.found(found)?,
                Event::Silent => self.search(),
            }
        }
    }

    /// Waits until the coordinator has taken all that was reported, once nobody reports any more.
    pub(super) async fn leave(mut self) {
        self.reports = None;
        let left = async { while self.next().await.is_ok() {} };
        if tokio::time::timeout(LEAVE_TIMEOUT, left).await.is_err() {
            tracing::warn!("the coordinator could not be told how the last tasks ended: they run again");
        }
    }

    /// Says and hears nothing more; what was not said is dropped.
    pub(super) fn hang_up(&mut self) {
        self.line.hang_up();
        (self.reports, self.messages, self.search) = (None, None, None);
        // Nobody goes on with it.
        self.token.clear();
    }

    fn is_resumable(&self) -> bool {
        !self.token.is_empty()
    }

    /// Whether the end of the stream is that of the attachment.
    fn is_over(&self) -> bool {
        !self.is_resumable() || self.is_dismissed || self.reports.is_none()
    }

    async fn event(&mut self) -> Event {
        let is_searching = self.search.is_some();
        let is_watched = self.is_resumable() && !is_searching;
        let silent_at = is_watched.then(|| self.last_heard + self.heartbeat_interval * MISSED_HEARTBEATS);
        tokio::select! {
            said = said(&mut self.messages) => Event::Said(said),
            found = found(&mut self.search) => Event::Found(found),
            () = reach(silent_at) => Event::Silent,
            never = self.line.keep_reports(), if is_searching => match never {},
        }
    }

    fn heard(&mut self, message: CoordinatorMessage) -> Result<Option<Kind>, End> {
        self.last_heard = Instant::now();
        // It was only slow. Whatever a new stream brought now would be out of order.
        self.search = None;
        self.is_dismissed |= matches!(message.kind, Some(Kind::Drain(_)));
        let bytes = message.kind.as_ref().map_or(0, payload_bytes);
        if self.line.heard(bytes, message.received)? {
            self.beat();
        }
        Ok(message.kind)
    }

    /// Looks for a new stream. The old one, if there is one, is kept until that has been found.
    fn search(&mut self) {
        let resume = Resumption {
            worker_id: self.worker_id,
            token: self.token.clone(),
            received: self.line.received(),
        };
        let search = self.dialer.clone().dial(Some(resume), self.patience);
        self.search = Some(AbortOnDropHandle::new(tokio::spawn(search)));
    }

    fn found(&mut self, found: Result<Attached, SessionError>) -> Result<(), End> {
        self.search = None;
        let attached = match found {
            Ok(attached) => attached,
            Err(SessionError::Unreachable { .. }) => return Err(End::Lost),
            Err(error) => return Err(End::Failed(error)),
        };
        if !attached.welcome.resumed {
            return Err(End::Replaced(Box::new(attached)));
        }
        tracing::info!("attached to the coordinator again");
        let lease = self.line.open(attached.welcome.received)?;
        // A stream that breaks at once is noticed by the end of its messages.
        let _broken = attached.lease.send(lease);
        self.messages = Some(attached.messages);
        self.is_dismissed = false;
        self.last_heard = Instant::now();
        Ok(())
    }
}

/// Slots do not wait for a line that nobody takes reports from any more.
impl Drop for Link {
    fn drop(&mut self) {
        self.line.hang_up();
    }
}

/// The next message of a stream; none comes where there is no stream.
async fn said(
    messages: &mut Option<Streaming<CoordinatorMessage>>,
) -> Result<Option<CoordinatorMessage>, Status> {
    match messages {
        Some(messages) => messages.message().await,
        None => pending().await,
    }
}

/// How the search ends; never, if there is none.
async fn found(
    search: &mut Option<AbortOnDropHandle<Result<Attached, SessionError>>>,
) -> Result<Attached, SessionError> {
    match search {
        Some(search) => search.await.unwrap_or_else(|error| Err(SessionError::Nonsense(error.to_string()))),
        None => pending().await,
    }
}

async fn reach(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => pending().await,
    }
}

/// Bytes of a message that may be large.
fn payload_bytes(kind: &Kind) -> usize {
    match kind {
        Kind::Batch(batch) => batch.tasks.as_ref().map_or(0, |tasks| tasks.payloads.len()),
        Kind::FunctionsAdded(added) => {
            added.functions.iter().flat_map(|list| &list.functions).map(Bytes::len).sum()
        }
        Kind::JobStarted(_)
        | Kind::Welcome(_)
        | Kind::TakeBack(_)
        | Kind::JobEnded(_)
        | Kind::Heartbeat(_)
        | Kind::Stop(_)
        | Kind::Drain(_) => 0,
    }
}
