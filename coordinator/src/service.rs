//! The gRPC services: requests become commands for the core, answers become responses.

mod cluster;
mod jobs;
mod outcomes;
mod workers;

use tokio::sync::{mpsc, oneshot};
use tonic::Status;

pub use self::cluster::ClusterService;
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
    answer.await.unwrap_or_else(|_dropped| Err(unanswered(commands)))
}

/// Why the core dropped a request: it has ended, or the request was replaced by a newer one, or its job is gone.
fn unanswered(commands: &mpsc::Sender<Command>) -> Status {
    if commands.is_closed() {
        return stopping();
    }
    Status::aborted("the job was forgotten, or another request took the place of this one")
}

fn stopping() -> Status {
    Status::unavailable("the coordinator is stopping")
}
