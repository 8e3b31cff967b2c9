//! A coordinator whose streams a test may break as it likes, and whose end of the attachment outlives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use poolmap_proto::transport::Transport;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Batch, CoordinatorMessage, Hello, TaskChunk, Welcome};
use poolmap_proto::window::{Receipts, Window};
use poolmap_worker::{Config, ConnectError, Connector, WorkerError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Code;

use crate::model::{Yard, python_job, soon};
use crate::offers::{Stream, native_job, offers};

/// An interval of heartbeats none of which is ever missed.
pub(crate) const NEVER: u32 = 3_600_000;

/// A way to the coordinator that can be closed.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) is_closed: Arc<AtomicBool>,
}

impl Way {
    pub(crate) fn connector(&self) -> Connector {
        let way = self.clone();
        Connector::new(move || {
            let is_closed = way.is_closed.load(Ordering::Relaxed);
            let unreachable = || ConnectError::Unreachable("the way is closed".to_owned());
            std::future::ready(if is_closed { Err(unreachable()) } else { Ok(way.transport.clone()) })
        })
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

/// A worker, and its coordinator's end of the attachment.
pub(crate) struct Coordinator {
    pub(crate) way: Way,
    pub(crate) streams: mpsc::Receiver<Stream>,
    pub(crate) stream: Option<Stream>,
    /// The worker has opened it while the one before was still there.
    pub(crate) newer: Option<Stream>,
    /// Streams that say nothing any more, and are still open.
    pub(crate) silent: Vec<Stream>,
    pub(crate) heartbeat_interval_ms: u32,
    pub(crate) worker_id: u64,
    pub(crate) sent: Window<CoordinatorMessage>,
    pub(crate) arrived: Receipts,
    pub(crate) worker: JoinHandle<Result<(), WorkerError>>,
}

impl Coordinator {
    pub(crate) fn refusing(refusal: Option<Code>) -> (Way, mpsc::Receiver<Stream>) {
        let (transport, offered) = offers(refusal);
        (Way { transport, is_closed: Arc::default() }, offered)
    }

    /// Starts a worker and welcomes it.
    pub(crate) async fn start(config: Config, heartbeat_interval_ms: u32) -> Self {
        let (way, streams) = Self::refusing(None);
        let worker = tokio::spawn(poolmap_worker::run(config, way.connector(), std::future::pending()));
        let mut new = Self {
            way,
            streams,
            stream: None,
            newer: None,
            silent: Vec::new(),
            heartbeat_interval_ms,
            worker_id: 0,
            sent: Window::default(),
            arrived: Receipts::default(),
            worker,
        };
        assert_eq!(new.offered().await.resume, None);
        new.attach_anew().await;
        new
    }

    /// Takes the next stream; returns its hello.
    pub(crate) async fn offered(&mut self) -> Hello {
        let mut stream = match self.newer.take() {
            Some(newer) => newer,
            None => soon(self.streams.recv()).await.unwrap(),
        };
        let hello = stream.hello().await;
        self.stream = Some(stream);
        hello
    }

    pub(crate) async fn welcome(&self, welcome: Welcome) {
        let welcome = Welcome {
            worker_id: self.worker_id,
            token: vec![7; 16].into(),
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            ..welcome
        };
        self.put(CoordinatorMessage { received: 0, kind: Some(Kind::Welcome(welcome)) }).await;
    }

    /// Welcomes the worker as a new one.
    pub(crate) async fn attach_anew(&mut self) {
        self.worker_id += 1;
        (self.sent, self.arrived) = (Window::default(), Receipts::default());
        self.welcome(Welcome::default()).await;
    }

    /// Takes the next stream and goes on with the attachment.
    pub(crate) async fn resume(&mut self) {
        let resume = self.offered().await.resume.unwrap();
        assert_eq!((resume.worker_id, &resume.token[..]), (self.worker_id, &[7; 16][..]));
        self.sent.resume(resume.received).unwrap();
        let received = self.arrived.tell();
        self.welcome(Welcome { resumed: true, received, ..Welcome::default() }).await;
        for number in resume.received + 1..=self.sent.sent() {
            self.put(self.sent.get(number).unwrap().clone()).await;
        }
    }

    pub(crate) async fn put(&self, message: CoordinatorMessage) {
        if let Some(stream) = &self.stream {
            // It may have been given up by the worker just now.
            let _broken = stream.messages.send(Ok(message)).await;
        }
    }

    pub(crate) async fn say(&mut self, kind: Kind) {
        let message = CoordinatorMessage { received: self.arrived.tell(), kind: Some(kind) };
        self.sent.push(message.clone());
        self.put(message).await;
    }

    /// The next report, or `None` if the stream has ended or there is a newer one.
    pub(crate) async fn listen(&mut self) -> Option<Report> {
        let reports = &mut self.stream.as_mut()?.reports;
        let message = soon(async {
            tokio::select! {
                message = reports.message() => message.ok().flatten(),
                newer = self.streams.recv() => {
                    self.newer = newer;
                    None
                }
            }
        });
        let message = message.await?;
        self.arrived.count(0);
        self.sent.confirm(message.received).unwrap();
        message.kind
    }

    pub(crate) async fn native(&mut self, job_id: u64, name: &str) {
        self.say(Kind::JobStarted(native_job(job_id, name))).await;
    }

    pub(crate) async fn batch(&mut self, batch_id: u64, first_index: u64, payloads: &[String]) {
        let lengths = payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect();
        let tasks = Some(TaskChunk { first_index, lengths, payloads: payloads.concat().into() });
        self.say(Kind::Batch(Batch { batch_id, job_id: 1, attempt: 1, tasks })).await;
    }

    /// A child that is stuck in a task.
    pub(crate) async fn stuck(&mut self, yard: &Yard) -> nix::unistd::Pid {
        self.say(Kind::JobStarted(python_job(1, "echo"))).await;
        self.batch(1, 0, &[yard.task("block", "stuck"), yard.task("mark", "next")]).await;
        yard.blocked("stuck").await
    }

    /// How the worker ends.
    pub(crate) async fn end(self) -> Result<(), WorkerError> {
        soon(self.worker).await.unwrap()
    }
}
