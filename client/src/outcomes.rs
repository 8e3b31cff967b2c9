//! The stream of a job's outcomes.

use std::collections::VecDeque;

use poolmap_proto::v1::{JobEnd, OutcomeRun, OutcomesRequest, OutcomesResponse};
use tokio::task::JoinHandle;
use tonic::{Status, Streaming};

use crate::error::ClientError;
use crate::job::Stub;

/// Outcomes in order of completion, as runs of consecutive tasks.
#[derive(Debug)]
pub struct OutcomeStream {
    job_id: u64,
    stub: Stub,
    /// The call that opens the stream. A task of its own, since a call that is dropped half-way may take answers along.
    call: Option<JoinHandle<Result<Streaming<OutcomesResponse>, Status>>>,
    stream: Option<Streaming<OutcomesResponse>>,
    cursor: u64,
    runs: VecDeque<OutcomeRun>,
    end: Option<JobEnd>,
}

impl OutcomeStream {
    pub(crate) fn new(job_id: u64, stub: Stub) -> Self {
        Self { job_id, stub, call: None, stream: None, cursor: 0, runs: VecDeque::new(), end: None }
    }

    /// The next run; `None` after the last one. This may be dropped while it waits without losing anything.
    pub async fn next(&mut self) -> Result<Option<OutcomeRun>, ClientError> {
        while self.runs.is_empty() && self.end.is_none() {
            let answer = self.receive().await?;
            self.cursor = answer.cursor;
            self.runs.extend(answer.runs);
            self.end = answer.end;
        }
        Ok(self.runs.pop_front())
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

    async fn receive(&mut self) -> Result<OutcomesResponse, ClientError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => self.open().await?,
        };
        stream.message().await?.ok_or_else(early_end)
    }

    async fn open(&mut self) -> Result<&mut Streaming<OutcomesResponse>, ClientError> {
        let request = OutcomesRequest { job_id: self.job_id, cursor: self.cursor };
        let stub = &self.stub;
        let call = self.call.get_or_insert_with(|| {
            let mut stub = stub.clone();
            tokio::spawn(async move { Ok(stub.outcomes(tokio_stream::once(request)).await?.into_inner()) })
        });
        let opened = call.await;
        self.call = None;
        let stream = opened.map_err(|error| ClientError::Lost(error.to_string()))??;
        Ok(self.stream.insert(stream))
    }
}

impl Drop for OutcomeStream {
    fn drop(&mut self) {
        self.call.iter().for_each(JoinHandle::abort);
    }
}

fn early_end() -> ClientError {
    ClientError::Lost("the stream of outcomes ended before the job did".to_owned())
}
