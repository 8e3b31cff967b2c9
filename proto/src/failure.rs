//! What kinds of failures are called wherever people or programs read of them.

use crate::v1::FailureKind;

impl FailureKind {
    /// One word, or several joined by `_`; `unknown` for a kind that nobody has said.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::Exception => "exception",
            Self::Exit => "exit",
            Self::Crashed => "crashed",
            Self::OutOfMemory => "out_of_memory",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}
