//! What can go wrong with writing results.

use std::io;

use crate::reason::reason;

/// Why no further result can be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The results' file cannot be made.
    #[error("cannot create {name} for the results: {}", reason(.source))]
    Create {
        /// The file as the user wrote it.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever read the results has gone. That is no error of the job: end quietly.
    #[error("nobody reads the results any more")]
    Closed,
    /// The results could not be written.
    #[error("writing results to {name}: {}", reason(.source))]
    Write {
        /// The file, or `standard output`.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Outcomes came that cannot be.
    #[error(
        "the coordinator sent outcomes that make no sense: {what}, at task {index}; this is a defect of poolmap"
    )]
    Malformed {
        /// What is wrong with them.
        what: &'static str,
        /// First task of the run of outcomes.
        index: u64,
    },
}
