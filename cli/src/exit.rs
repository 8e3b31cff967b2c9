//! How poolmap exits: the statuses that scripts rely on, and the last words on standard error.

use std::io::{self, Write as _};
use std::process::ExitCode;

use poolmap_client::{ClientError, ShipError};
use poolmap_local::LocalError;

use crate::input::InputError;
use crate::output::OutputError;

/// Some task failed.
pub(crate) const TASK_FAILED: u8 = 1;
/// Usage or bad input: nothing ran, or the message says from which line on.
pub(crate) const USAGE: u8 = 2;
/// The coordinator or all workers could not be reached or were lost.
pub(crate) const LOST: u8 = 3;
/// Interrupted from the keyboard.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The job could not run at all.
    #[error("cannot run {function}: {reason}")]
    Job {
        /// As the user named it.
        function: String,
        /// What the worker said.
        reason: String,
    },
    /// Something the job needs went away.
    #[error("{0}")]
    Lost(String),
    /// The system refused something that poolmap itself needs.
    #[error("{doing}: {}", crate::reason::reason(.source))]
    System {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure {
    /// For `map_err`: the system refused while poolmap was `doing` something.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { doing: doing.into(), source }
    }

    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Input(_) | Self::Job { .. } | Self::Output(OutputError::Create { .. }) => {
                USAGE
            }
            Self::Output(OutputError::Closed) => 0,
            Self::Output(_) => TASK_FAILED,
            Self::Lost(_) | Self::System { .. } => LOST,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Lost(_) | ClientError::JobClosed => Self::Lost(error.to_string()),
            ClientError::Refused(_) | ClientError::NotFound(_) | ClientError::TooLarge { .. } => {
                Self::Usage(error.to_string())
            }
        }
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        Self::System { doing: error.doing, source: error.source }
    }
}

impl From<ShipError> for Failure {
    fn from(error: ShipError) -> Self {
        match error {
            ShipError::Client(error) => error.into(),
            error => Self::Usage(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    /// Writing the answer of a command failed; whoever does not want it all is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Output(OutputError::Closed),
            _ => Self::Output(OutputError::Write { name: "standard output".to_owned(), source: error }),
        }
    }
}

/// The exit status of a command, after its last words.
pub(crate) fn report(ended: Result<ExitCode, Failure>) -> ExitCode {
    match ended {
        Ok(status) => status,
        Err(Failure::Output(OutputError::Closed)) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::from(failure.status())
        }
    }
}

/// The answer to a command line that clap does not take, or that asks for help.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Nobody can be told that the terminal is gone.
    let _gone = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// A line of poolmap's own on standard error.
pub(crate) fn say(text: &str) {
    // Nobody can be told that standard error is gone.
    let _gone = writeln!(io::stderr(), "poolmap: {text}");
}
