//! A client's stream of outcomes: answers as fast as the transport takes them, and confirmations whenever they come.

use futures_util::Stream;
use futures_util::stream::try_unfold;
use poolmap_proto::v1::{OutcomesRequest, OutcomesResponse};
use poolmap_scheduler::JobId;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use super::{ask, stopping, unanswered};
use crate::command::{Command, Outcomes, Presence, Role};

type Answer = oneshot::Receiver<Result<Outcomes, Status>>;

/// A client that reads a job.
struct Reading {
    job: JobId,
    commands: mpsc::Sender<Command>,
    requests: Streaming<OutcomesRequest>,
    /// Whether it may still confirm anything.
    is_confirming: bool,
    /// Outcomes sent, counted from the job's start.
    position: u64,
    has_ended: bool,
    _presence: Presence,
}

/// Streams the outcomes of the job that the first request names.
pub(super) async fn stream(
    commands: mpsc::Sender<Command>,
    mut requests: Streaming<OutcomesRequest>,
) -> Result<impl Stream<Item = Result<OutcomesResponse, Status>>, Status> {
    let first = requests.message().await?;
    let OutcomesRequest { job_id, cursor } =
        first.ok_or_else(|| Status::invalid_argument("a stream of outcomes begins with a request"))?;
    let job = JobId(job_id);
    let presence = ask(&commands, |reply| Command::Attach { job, role: Role::Reader, reply }).await?;
    let reading = Reading {
        job,
        commands,
        requests,
        is_confirming: true,
        position: cursor,
        has_ended: false,
        _presence: presence,
    };
    reading.confirm(cursor).await?;
    Ok(try_unfold(reading, Reading::next))
}

impl Reading {
    async fn next(mut self) -> Result<Option<(OutcomesResponse, Self)>, Status> {
        if self.has_ended {
            self.hear_out().await?;
            return Ok(None);
        }
        let (reply, answer) = oneshot::channel();
        let (job, position) = (self.job, self.position);
        self.send(Command::Outcomes { job, position, reply }).await?;
        let answer = match self.wait_for(answer).await? {
            Outcomes::Here(answer) => answer,
            Outcomes::Stored(frame) => {
                let read = tokio::task::spawn_blocking(move || frame.read()).await;
                let read = read.map_err(|error| Status::internal(error.to_string()))?;
                read.map_err(|error| Status::data_loss(format!("the file of the job's outcomes: {error}")))?
            }
        };
        self.position = answer.cursor;
        self.has_ended = answer.end.is_some();
        Ok(Some((answer, self)))
    }

    /// Waits for the core, and passes on what is confirmed meanwhile.
    async fn wait_for(&mut self, mut answer: Answer) -> Result<Outcomes, Status> {
        loop {
            tokio::select! {
                biased;
                request = self.requests.message(), if self.is_confirming => match request? {
                    Some(OutcomesRequest { cursor, .. }) => self.confirm(cursor).await?,
                    None => self.is_confirming = false,
                },
                answer = &mut answer => {
                    return answer.unwrap_or_else(|_dropped| Err(unanswered(&self.commands)));
                }
            }
        }
    }

    /// After the last answer, waits until all is confirmed or nothing more will be.
    async fn hear_out(&mut self) -> Result<(), Status> {
        while let Some(OutcomesRequest { cursor, .. }) = self.requests.message().await? {
            self.confirm(cursor).await?;
            if cursor == self.position {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn confirm(&self, cursor: u64) -> Result<(), Status> {
        self.send(Command::Confirm { job: self.job, cursor, has_end: self.has_ended }).await
    }

    async fn send(&self, command: Command) -> Result<(), Status> {
        self.commands.send(command).await.map_err(|_closed| stopping())
    }
}
