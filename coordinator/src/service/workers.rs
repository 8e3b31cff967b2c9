//! What workers attach to.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use poolmap_proto::v1::worker_message::Kind;
use poolmap_proto::v1::workers_server::Workers;
use poolmap_proto::v1::{CoordinatorMessage, Hello, WorkerMessage};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming};

use super::ask;
use crate::command::Command;
use crate::workers::{Attachment, unread_max};

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
    type AttachStream = Outgoing;

    async fn attach(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut messages = request.into_inner();
        let hello = introduction(&mut messages, self.hello_timeout).await?;
        // The welcome comes before all others.
        let (outbox, inbox) = mpsc::channel(1 + unread_max(hello.slots));
        let stream = ask(&self.commands, |reply| Command::WorkerAttached { hello, outbox, reply }).await?;
        let (dismiss, dismissed) = oneshot::channel();
        tokio::spawn(listen(stream, messages, dismissed, self.commands.clone()));
        Ok(Response::new(Outgoing { inbox, dismissed: Some(dismiss) }))
    }
}

/// What the core says to one worker. Its end ends the listening, too: a worker that was dismissed may hang on for ever.
#[derive(Debug)]
pub struct Outgoing {
    inbox: mpsc::Receiver<Result<CoordinatorMessage, Status>>,
    /// Told when the core has ended the stream. A peer that drops it ends its own side, too, after what it has said.
    dismissed: Option<oneshot::Sender<()>>,
}

impl Stream for Outgoing {
    type Item = Result<CoordinatorMessage, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inbox.poll_recv(context);
        if let Poll::Ready(None | Some(Err(_))) = next
            && let Some(dismissed) = self.dismissed.take()
        {
            let _gone = dismissed.send(());
        }
        next
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
    dismissed: oneshot::Receiver<()>,
    commands: mpsc::Sender<Command>,
) {
    let mut dismissed = pin!(async {
        if dismissed.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    loop {
        let said = tokio::select! {
            said = messages.message() => said,
            () = &mut dismissed => Ok(None),
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
