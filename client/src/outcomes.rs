//! The stream of a job's outcomes.

use std::collections::VecDeque;
use std::time::Duration;

use poolmap_proto::memory_bytes;
use poolmap_proto::v1::{JobEnd, OutcomeRun, OutcomesRequest, OutcomesResponse};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::client::{Client, Stub};
use crate::error::ClientError;
use crate::patience::Patience;

/// Bytes of outcomes that are confirmed together: far less than a coordinator keeps for a reader, so that no job waits for that, and
/// far more than a confirmation costs.
const CONFIRMED_BYTES: usize = 1 << 20;
/// Fewer are confirmed when nothing has come for so long: a coordinator with little room may be waiting.
const CONFIRMED_AFTER: Duration = Duration::from_millis(20);
/// Confirmations on their way; what finds no room is confirmed by the next one.
const CONFIRMATIONS: usize = 2;

/// Outcomes in order of completion, as runs of consecutive tasks. A lost connection is made again and the stream goes on where it
/// was, unless that takes longer than the client's patience.
#[derive(Debug)]
pub struct OutcomeStream {
    job_id: u64,
    stub: Stub,
    /// The call that opens the stream. A task of its own, since a call that is dropped half-way may take answers along.
    call: Option<JoinHandle<Result<Stream, Status>>>,
    stream: Option<Stream>,
    patience: Patience,
    /// When to open the stream again after it broke.
    opens_at: Option<Instant>,
    /// Outcomes received, counted from the job's start.
    cursor: u64,
    runs: VecDeque<OutcomeRun>,
    /// Of outcomes that were received and not confirmed.
    unconfirmed_bytes: usize,
    received_at: Instant,
    end: Option<JobEnd>,
    /// The coordinator may still be waiting for the last confirmation.
    is_unconfirmed: bool,
}

/// An open stream, and the way to confirm what came.
#[derive(Debug)]
struct Stream {
    answers: Streaming<OutcomesResponse>,
    confirmations: mpsc::Sender<OutcomesRequest>,
}

impl OutcomeStream {
    pub(crate) fn new(job_id: u64, client: &Client, cursor: u64) -> Self {
        Self {
            job_id,
            stub: client.jobs.clone(),
            call: None,
            stream: None,
            patience: Patience::new(client.patience),
            opens_at: None,
            cursor,
            runs: VecDeque::new(),
            unconfirmed_bytes: 0,
            received_at: Instant::now(),
            end: None,
            is_unconfirmed: true,
        }
    }

    /// The next run; `None` after the last one. What earlier calls have returned is taken to be dealt with. This may be dropped while
    /// it waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<OutcomeRun>, ClientError> {
        while self.runs.is_empty() && self.end.is_none() {
            if self.unconfirmed_bytes >= CONFIRMED_BYTES {
                self.confirm();
            }
            let answer = self.receive().await?;
            self.unconfirmed_bytes += answer.runs.iter().map(memory_bytes).sum::<usize>();
            self.cursor = answer.cursor;
            self.runs.extend(answer.runs);
            self.end = answer.end;
        }
        let run = self.runs.pop_front();
        if run.is_none() {
            self.finish().await;
        }
        Ok(run)
    }

    /// A run that has already arrived, if any: what can be had without waiting.
    pub fn ready(&mut self) -> Option<OutcomeRun> {
        self.runs.pop_front()
    }

    /// How the job ended; known once [`next`](Self::next) has returned `None`.
    #[must_use]
    pub fn end(&self) -> Option<&JobEnd> {
        self.end.as_ref().filter(|_| self.runs.is_empty())
    }

    /// Outcomes that have been received, counted from the job's start: where another stream would go on.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The next answer, of the stream that is open or of one that is opened for it.
    async fn receive(&mut self) -> Result<OutcomesResponse, ClientError> {
        loop {
            match self.answer().await {
                Ok(answer) => {
                    self.patience.progressed();
                    self.received_at = Instant::now();
                    return Ok(answer);
                }
                Err(status) => {
                    self.stream = None;
                    self.opens_at = Some(self.patience.retry_at(status)?);
                }
            }
        }
    }

    async fn answer(&mut self) -> Result<OutcomesResponse, Status> {
        if self.stream.is_none() {
            self.open().await?;
        }
        if self.unconfirmed_bytes > 0 {
            let soon = self.received_at + CONFIRMED_AFTER;
            match tokio::time::timeout_at(soon, self.message()).await {
                Ok(answer) => return answer,
                Err(_elapsed) => self.confirm(),
            }
        }
        self.message().await
    }

    async fn message(&mut self) -> Result<OutcomesResponse, Status> {
        let early_end = || Status::unavailable("the stream of outcomes ended before the job did");
        let stream = self.stream.as_mut().ok_or_else(early_end)?;
        stream.answers.message().await?.ok_or_else(early_end)
    }

    async fn open(&mut self) -> Result<(), Status> {
        if let Some(at) = self.opens_at {
            tokio::time::sleep_until(at).await;
            self.opens_at = None;
        }
        let request = OutcomesRequest { job_id: self.job_id, cursor: self.cursor };
        let stub = &self.stub;
        let call = self.call.get_or_insert_with(|| tokio::spawn(open(stub.clone(), request)));
        let opened = call.await;
        self.call = None;
        self.stream = Some(opened.map_err(|error| Status::unavailable(error.to_string()))??);
        self.patience.connected();
        Ok(())
    }

    /// Tells the coordinator that all that was received may go.
    fn confirm(&mut self) {
        let request = OutcomesRequest { job_id: self.job_id, cursor: self.cursor };
        if let Some(stream) = &self.stream
            && stream.confirmations.try_send(request).is_ok()
        {
            self.unconfirmed_bytes = 0;
        }
    }

    /// Confirms everything, and waits until that is heard: the coordinator ends the stream then.
    async fn finish(&mut self) {
        if !self.is_unconfirmed {
            return;
        }
        let request = OutcomesRequest { job_id: self.job_id, cursor: self.cursor };
        if let Some(Stream { answers, confirmations }) = &mut self.stream
            && confirmations.send(request).await.is_ok()
        {
            // If the connection is lost, the coordinator forgets the job a while later.
            let _lost = answers.message().await;
        }
        self.is_unconfirmed = false;
        self.stream = None;
    }
}

impl Drop for OutcomeStream {
    fn drop(&mut self) {
        self.call.iter().for_each(JoinHandle::abort);
    }
}

async fn open(mut stub: Stub, request: OutcomesRequest) -> Result<Stream, Status> {
    let (confirmations, requests) = mpsc::channel(CONFIRMATIONS);
    // There is room for the first.
    let _sent = confirmations.try_send(request);
    let answers = stub.outcomes(ReceiverStream::new(requests)).await?.into_inner();
    Ok(Stream { answers, confirmations })
}
