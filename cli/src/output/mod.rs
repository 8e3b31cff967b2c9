//! How `poolmap run` writes results: runs of outcomes become bytes on standard output or in a file.
//!
//! Writing is blocking; it belongs on a thread of its own. Outcomes are put into one buffer and leave in large
//! writes, or at once when the caller says that nothing more is at hand ([`Writer::flush`]). Nothing here asks for outcomes
//! or decides how a job ends.

mod counts;
mod error;
mod json;
mod outcome;
mod pages;
mod progress;
mod reorder;
mod tags;
mod text;
mod writer;

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;

use std::sync::Arc;

pub use self::counts::Counts;
pub use self::error::OutputError;
pub use self::progress::{Progress, ProgressMode};
pub use self::tags::Tags;
pub use self::writer::{Destination, Writer};

/// What the results look like.
#[derive(Clone)]
pub struct Style {
    /// The form of each result.
    pub form: Form,
    /// Whether the job runs a function or a command.
    pub subject: Subject,
    /// JSON results tell attempts, worker, seconds, stdout and stderr, too.
    pub has_details: bool,
    /// Inputs of the tasks, put before each line of a command's output.
    pub tags: Option<Arc<Tags>>,
}

/// The form of each result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Json,
    /// Of functions: the bare values, one a line, strings unquoted. Of commands: what each task wrote, whole. Each failure
    /// is told on standard error.
    Value,
    /// As [`Form::Value`], but a command's non-zero exit status is left to the summary and the exit status.
    Text,
}

impl Form {
    /// The form of results where the user asks for none.
    #[must_use]
    pub fn usual(subject: Subject) -> Self {
        match subject {
            Subject::Function => Self::Json,
            Subject::Command => Self::Text,
        }
    }
}

/// Where results have their value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The value is JSON. What the function printed went to standard error already, unless details were asked for.
    Function,
    /// The value is what the command wrote to its standard output. In JSON, bytes that are not UTF-8 become U+FFFD.
    Command,
}
