//! What can go wrong between a client and its coordinator.

use tonic::{Code, Status};

/// A request to the coordinator failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The coordinator went away while it was in use.
    #[error("lost the coordinator: {0}")]
    Lost(String),
    /// The coordinator refused the request.
    #[error("the coordinator refused: {0}")]
    Refused(String),
    /// The job takes no more tasks: it was cancelled, or could not run. Its outcomes tell.
    #[error("the job takes no more tasks")]
    JobClosed,
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => {
                Self::Lost(message)
            }
            Code::FailedPrecondition | Code::NotFound => Self::JobClosed,
            _ => Self::Refused(message),
        }
    }
}
