//! The gRPC services: requests become commands for the core, answers become responses.

mod jobs;
mod workers;

use tokio::sync::{mpsc, oneshot};
use tonic::Status;

pub use self::jobs::JobsService;
pub use self::workers::{SLOTS_MAX, WorkersService};
use crate::command::{Command, Reply};

/// Asks the core and waits for its answer.
async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, Status> {
    let (reply, answer) = oneshot::channel();
    commands.send(command(reply)).await.map_err(|_closed| stopping())?;
    // A waiter that is dropped without an answer was replaced by a newer one, or its job is gone.
    answer.await.map_err(|_dropped| {
        Status::aborted("the job has ended, or another request took the place of this one")
    })?
}

fn stopping() -> Status {
    Status::unavailable("the coordinator is stopping")
}
