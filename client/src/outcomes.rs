//! The stream of a job's outcomes.

use std::collections::VecDeque;

use poolmap_proto::v1::{JobEnd, OutcomeRun, OutcomesRequest, OutcomesResponse};
use tonic::Streaming;

use crate::error::ClientError;
use crate::job::Stub;

/// Outcomes in order of completion, as runs of consecutive tasks.
#[derive(Debug)]
pub struct OutcomeStream {
    job_id: u64,
    stub: Stub,
    stream: Option<Streaming<OutcomesResponse>>,
    cursor: u64,
    runs: VecDeque<OutcomeRun>,
    end: Option<JobEnd>,
}

impl OutcomeStream {
    pub(crate) fn new(job_id: u64, stub: Stub) -> Self {
        Self { job_id, stub, stream: None, cursor: 0, runs: VecDeque::new(), end: None }
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
        if self.stream.is_none() {
            let request = OutcomesRequest { job_id: self.job_id, cursor: self.cursor };
            self.stream = Some(self.stub.outcomes(request).await?.into_inner());
        }
        let Some(stream) = &mut self.stream else { return Err(early_end()) };
        stream.message().await?.ok_or_else(early_end)
    }
}

fn early_end() -> ClientError {
    ClientError::Lost("the stream of outcomes ended before the job did".to_owned())
}
