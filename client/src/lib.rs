//! What the command line, the Python package and Rust programs share: submit a job, append its tasks, stream its outcomes, and ask
//! about jobs and workers. Connections that are lost are made again.
//!
//! ```no_run
//! # async fn run(client: poolmap_client::Client, spec: poolmap_client::JobSpec) -> Result<(), poolmap_client::ClientError> {
//! let job = client.submit(spec).await?;
//! let mut tasks = job.add_tasks();
//! tasks.send(["[2,4,5]", "[2,5,0]"].into_iter().collect()).await?;
//! tasks.finish().await?;
//! let mut outcomes = job.outcomes();
//! while let Some(run) = outcomes.next().await? {
//!     println!("tasks from {} on: {} outcomes", run.first_index, run.lengths.len());
//! }
//! # Ok(())
//! # }
//! ```

mod chunk;
mod client;
mod error;
mod files;
mod job;
mod outcomes;
mod patience;
mod requests;
mod tasks;

pub use poolmap_proto::access::{AccessError, Role};
pub use poolmap_proto::transport::{InvalidRoute, Route, RouteError, Transport, Unreachable};
pub use poolmap_proto::v1::{
    Backend, ChildOptions, Command, Detail, EnvironmentVariable, Failure, FailureKind, Function, Halt,
    JobEnd, JobSpec, JobStatus, NativeFunction, OutcomeRun, PickledCalls, PythonFunction, ShippedFile,
    SourceFile, WorkerState, WorkerStatus, function, halt,
};

pub use crate::chunk::Chunk;
pub use crate::client::Client;
pub use crate::error::ClientError;
pub use crate::files::ShipError;
pub use crate::job::Job;
pub use crate::outcomes::OutcomeStream;
pub use crate::tasks::TaskSender;
