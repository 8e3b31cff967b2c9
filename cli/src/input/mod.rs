//! How `poolmap run` reads tasks: files, pipes and the command line become [`Chunk`]s.
//!
//! Reading is lazy and blocking; it belongs on a thread of its own. The rules that all forms keep:
//!
//! - A reader waits for input only while it holds no complete task. What one read brought is handed out before the
//!   next read, so a slow pipe is followed line by line and a file goes in large chunks.
//! - Memory is bounded: by one read ([`READ_BYTES`]) and by the longest line, at most [`MAX_LINE_BYTES`].
//! - Every task before a bad line is handed out before the error.
//!
//! Nothing here knows what a task does: payloads of functions are JSON, checked but never changed; payloads of commands
//! are values, each followed by a NUL.

mod chunk;
mod error;
mod function;
mod header;
mod json;
mod lists;
mod records;
mod source;
mod table;
mod values;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod values_tests;

use bytes::Bytes;

pub use self::chunk::Chunk;
pub use self::error::{InputError, Problem};
pub use self::function::{FunctionForm, function_tasks};
pub use self::lists::{ListOrigin, ValueList, split_command};
pub use self::source::{MAX_LINE_BYTES, READ_BYTES};
pub use self::values::{RowForm, Split, ValueForm, ValueInput, command_tasks};

use self::chunk::Draft;

/// The tasks of one job, in order.
pub struct TaskReader {
    form: Box<dyn Form>,
    columns: Vec<Bytes>,
    /// Met behind tasks that had to be handed out first.
    failure: Option<InputError>,
}

impl TaskReader {
    fn new(form: impl Form + 'static, columns: Vec<Bytes>) -> Self {
        Self { form: Box::new(form), columns, failure: None }
    }

    /// The next tasks, or `None` after the last one. Blocks while the input has none.
    ///
    /// After an error, what follows in the input is not to be read.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, InputError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut draft = Draft::default();
        if let Err(failure) = self.form.fill(&mut draft) {
            if draft.is_empty() {
                return Err(failure);
            }
            self.failure = Some(failure);
        }
        Ok(draft.finish())
    }

    /// Names of the columns of a command's values, if a header gave them; empty otherwise.
    #[must_use]
    pub fn columns(&self) -> &[Bytes] {
        &self.columns
    }
}

/// A form of input.
trait Form: Send {
    /// Appends tasks until the draft is full or no complete task is at hand. Waits for input only while the draft
    /// is empty: a draft left empty means the end of the input.
    fn fill(&mut self, draft: &mut Draft) -> Result<(), InputError>;
}
