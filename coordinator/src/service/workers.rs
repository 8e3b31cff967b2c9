//! What workers attach to.

use std::time::Duration;

use poolmap_proto::v1::worker_message::Kind;
use poolmap_proto::v1::workers_server::Workers;
use poolmap_proto::v1::{CoordinatorMessage, Hello, WorkerMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::ask;
use crate::command::Command;
use crate::workers::{Attachment, Dismissed, Outbox, unread_max};

/// The most slots that one worker may offer: far above any machine, far below what its bookkeeping here could not bear.
pub const SLOTS_MAX: u32 = 65_536;

/// The `Workers` service.
#[derive(Clone, Debug)]
pub struct WorkersService {
    commands: mpsc::Sender<Command>,
    hello_timeout: Duration,
}

impl WorkersService {
    pub(crate) fn new(commands: mpsc::Sender<Command>, hello_timeout: Duration) -> Self {
        Self { commands, hello_timeout }
    }
}

#[tonic::async_trait]
impl Workers for WorkersService {
    type AttachStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut messages = request.into_inner();
        let hello = introduction(&mut messages, self.hello_timeout).await?;
        // The welcome comes before all others.
        let (outbox, inbox, dismissed) = Outbox::new(1 + unread_max(hello.slots));
        let stream = ask(&self.commands, |reply| Command::WorkerAttached { hello, outbox, reply }).await?;
        tokio::spawn(listen(stream, messages, dismissed, self.commands.clone()));
        Ok(Response::new(ReceiverStream::new(inbox)))
    }
}

async fn introduction(messages: &mut Streaming<WorkerMessage>, timeout: Duration) -> Result<Hello, Status> {
    let first = tokio::time::timeout(timeout, messages.message()).await;
    let first =
        first.map_err(|_elapsed| Status::deadline_exceeded("a worker attached but did not say hello"))??;
    match first.and_then(|message| message.kind) {
        Some(Kind::Hello(hello)) if hello.slots > SLOTS_MAX => Err(Status::invalid_argument(format!(
            "worker {} offers {} slots; one worker may have {SLOTS_MAX} at most",
            hello.name, hello.slots
        ))),
        Some(Kind::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("the first message of a worker is its hello")),
    }
}

/// Passes on what a worker says until its stream has ended, in whichever way, or the worker was dismissed.
async fn listen(
    stream: Attachment,
    mut messages: Streaming<WorkerMessage>,
    mut dismissed: Dismissed,
    commands: mpsc::Sender<Command>,
) {
    loop {
        let said = tokio::select! {
            said = messages.message() => said,
            _ = &mut dismissed => return,
        };
        let (command, is_last) = match said {
            Ok(Some(message)) => (Command::WorkerSaid { stream, message }, false),
            Ok(None) => (Command::WorkerLeft { stream }, true),
            Err(status) => {
                tracing::debug!(worker = stream.worker.0, %status, "a worker's stream broke");
                (Command::StreamBroke { stream }, true)
            }
        };
        if commands.send(command).await.is_err() || is_last {
            return;
        }
    }
}
