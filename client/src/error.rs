//! What can go wrong between a client and its coordinator.

use bytesize::ByteSize;
use tonic::{Code, Status};

/// A request to the coordinator failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The coordinator went away while it was in use, and did not come back in time.
    #[error("lost the coordinator: {0}")]
    Lost(String),
    /// The coordinator refused the request.
    #[error("the coordinator refused: {0}")]
    Refused(String),
    /// What was asked for is not there: it never was, or was dropped.
    #[error("{0}")]
    NotFound(String),
    /// No message can carry what was sent; nothing of it has arrived.
    #[error(
        "{what} takes {}, and the coordinator does not take messages that large{}\n\
         Make it smaller, or start the coordinator with a larger --max-message-size",
        size(*bytes),
        limit.map_or_else(String::new, |limit| format!(" (at most {})", size(limit)))
    )]
    TooLarge {
        /// A task, a function, a job.
        what: String,
        /// How large it is.
        bytes: usize,
        /// The largest message that the coordinator takes, if it has said so.
        limit: Option<usize>,
    },
    /// The job takes no more tasks: it was cancelled, or could not run. Its outcomes tell.
    #[error("the job takes no more tasks")]
    JobClosed,
}

fn size(bytes: usize) -> impl std::fmt::Display {
    ByteSize(bytes as u64).display().iec()
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            _ if is_lost(&status) => Self::Lost(message),
            Code::NotFound => Self::NotFound(message),
            _ => Self::Refused(message),
        }
    }
}

/// Whether a status says that the connection is lost rather than what was asked for. No coordinator says any of these of a request.
pub(crate) fn is_lost(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Internal
    )
}
