//! What a worker has to say, and the streams that carry it.
//!
//! A [`Line`] lasts as long as the worker is attached; a stream may break before, and another then goes on where it stopped.
//! The stream takes reports from their queue itself, when it has room for one: no task stands between a slot and the wire.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use poolmap_proto::v1::WorkerMessage;
use poolmap_proto::window::{Contradiction, Receipts, Window};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;

/// What is shared by the session and the streams of one attachment.
#[derive(Clone, Debug)]
pub(super) struct Line(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    queue: mpsc::Receiver<WorkerMessage>,
    /// What was sent and not confirmed; `None` if the attachment cannot be resumed, so that nothing need be kept.
    window: Option<Window<WorkerMessage>>,
    receipts: Receipts,
    /// The stream that sends; any older one says nothing more.
    stream: u64,
    /// Messages that it has taken on, and those before it.
    carried: u64,
    /// Wakes the stream when it waits for a report.
    waiting: Option<Waker>,
}

impl Line {
    /// A line that says what comes out of a queue.
    pub(super) fn new(queue: mpsc::Receiver<WorkerMessage>, is_resumable: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            queue,
            window: is_resumable.then(Window::default),
            receipts: Receipts::default(),
            stream: 0,
            carried: 0,
            waiting: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a new stream go on after the messages that have arrived. The one before it falls silent.
    pub(super) fn open(&self, arrived: u64) -> Result<Lease, Contradiction> {
        let mut state = self.state();
        state.window.as_mut().map_or(Ok(()), |window| window.resume(arrived))?;
        state.stream += 1;
        state.carried = arrived;
        Ok(Lease { line: self.clone(), stream: state.stream })
    }

    /// Counts a message of the coordinator, with so many bytes of payloads, which says that so many of ours have arrived.
    /// Returns whether it is time to confirm.
    pub(super) fn heard(&self, bytes: usize, arrived: u64) -> Result<bool, Contradiction> {
        let mut state = self.state();
        let Some(window) = state.window.as_mut() else { return Ok(false) };
        window.confirm(arrived)?;
        Ok(state.receipts.count(bytes))
    }

    /// Messages of the coordinator that have arrived.
    pub(super) fn received(&self) -> u64 {
        self.state().receipts.received()
    }

    /// Keeps what is reported while no stream takes it, so that no slot has to wait. How much that is, is bounded by what
    /// the slots have been given.
    pub(super) async fn keep_reports(&self) -> Infallible {
        std::future::poll_fn(|context| self.state().poll_keep(context)).await
    }

    /// Says nothing more: what is reported from now on is dropped.
    pub(super) fn hang_up(&self) {
        let mut state = self.state();
        state.queue.close();
        while state.queue.try_recv().is_ok() {}
        state.window = None;
        state.wake();
    }
}

impl State {
    fn poll_keep(&mut self, context: &mut Context<'_>) -> Poll<Infallible> {
        while let Poll::Ready(Some(message)) = self.queue.poll_recv(context) {
            if let Some(window) = &mut self.window {
                window.push(message);
            }
            // A stream that was thought dead may still be alive.
            self.wake();
        }
        Poll::Pending
    }

    fn poll_next(&mut self, stream: u64, context: &mut Context<'_>) -> Poll<Option<WorkerMessage>> {
        if stream != self.stream {
            return Poll::Pending;
        }
        let kept = self.window.as_ref().and_then(|window| window.get(self.carried + 1));
        let mut message = match kept {
            Some(kept) => kept.clone(),
            None => match ready!(self.poll_queue(context)) {
                Some(message) => message,
                None => return Poll::Ready(None),
            },
        };
        self.carried += 1;
        message.received = self.receipts.tell();
        Poll::Ready(Some(message))
    }

    fn poll_queue(&mut self, context: &mut Context<'_>) -> Poll<Option<WorkerMessage>> {
        let polled = self.queue.poll_recv(context);
        match &polled {
            Poll::Ready(Some(message)) => {
                if let Some(window) = &mut self.window {
                    window.push(message.clone());
                }
            }
            Poll::Ready(None) => {}
            Poll::Pending => self.waiting = Some(context.waker().clone()),
        }
        polled
    }

    fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// A stream's right to send what the line has to say, until another stream gets it.
#[derive(Debug)]
pub(super) struct Lease {
    line: Line,
    stream: u64,
}

/// The messages on one stream: a hello and, once that was welcomed, what the line has to say.
///
/// It ends when nobody will report anything any more: to the coordinator that means that the worker has left. A stream that was
/// given up, or that another has taken the place of, says nothing until it is dropped.
#[derive(Debug)]
pub(super) struct Outgoing {
    hello: Option<WorkerMessage>,
    /// Absent once there is a lease, or there will be none.
    welcomed: Option<oneshot::Receiver<Lease>>,
    lease: Option<Lease>,
}

impl Outgoing {
    /// The messages, and where to send the lease once the hello was welcomed.
    pub(super) fn new(hello: WorkerMessage) -> (Self, oneshot::Sender<Lease>) {
        let (welcome, welcomed) = oneshot::channel();
        (Self { hello: Some(hello), welcomed: Some(welcomed), lease: None }, welcome)
    }
}

impl Stream for Outgoing {
    type Item = WorkerMessage;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WorkerMessage>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(hello));
        }
        if let Some(welcomed) = &mut self.welcomed {
            self.lease = ready!(Pin::new(welcomed).poll(context)).ok();
            self.welcomed = None;
        }
        match &self.lease {
            Some(lease) => lease.line.state().poll_next(lease.stream, context),
            None => Poll::Pending,
        }
    }
}
