//! Streams that workers open, offered to a test one by one.

use poolmap_proto::transport::Transport;
use poolmap_proto::v1::function::Kind as FunctionKind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::workers_server::{Workers, WorkersServer};
use poolmap_proto::v1::{
    Backend, ChildOptions, CoordinatorMessage, Function, Hello, JobStarted, NativeFunction, WorkerMessage,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::model::soon;

/// Both directions of one stream, as the coordinator has them.
pub(crate) struct Stream {
    pub(crate) reports: Streaming<WorkerMessage>,
    pub(crate) messages: mpsc::Sender<Result<CoordinatorMessage, Status>>,
}

impl Stream {
    /// What a worker says first.
    pub(crate) async fn hello(&mut self) -> Hello {
        let first = soon(self.reports.message()).await.unwrap().unwrap();
        let Some(Report::Hello(hello)) = first.kind else {
            panic!("a worker says hello first, not {first:?}")
        };
        hello
    }
}

/// A way for workers to open streams, and the streams they open; with a refusal there are none.
pub(crate) fn offers(refusal: Option<Code>) -> (Transport, mpsc::Receiver<Stream>) {
    let (streams, offered) = mpsc::channel(16);
    let service = WorkersServer::new(Service { streams, refusal }).max_decoding_message_size(1 << 30);
    (Transport::in_process(service), offered)
}

/// Passes on the streams that are opened, or refuses them.
struct Service {
    streams: mpsc::Sender<Stream>,
    refusal: Option<Code>,
}

#[tonic::async_trait]
impl Workers for Service {
    type AttachStream = ReceiverStream<Result<CoordinatorMessage, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<WorkerMessage>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        if let Some(code) = self.refusal {
            return Err(Status::new(code, "not you"));
        }
        let (messages, outgoing) = mpsc::channel(1024);
        let _over = self.streams.send(Stream { reports: request.into_inner(), messages }).await;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// The announcement of a native function's job, for the thread backend.
pub(crate) fn native_job(job_id: u64, name: &str) -> JobStarted {
    let native = NativeFunction { name: name.to_owned() };
    let function = Some(Function { kind: Some(FunctionKind::Native(native)) });
    let child = Some(ChildOptions { backend: Backend::Thread.into(), ..ChildOptions::default() });
    JobStarted { job_id, function, child, ..JobStarted::default() }
}
