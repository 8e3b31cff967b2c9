//! What can be wrong with input, in words for users.

use std::io;
use std::path::Path;

use super::source::MAX_LINE_BYTES;
use crate::reason::reason;

/// Why no further task can be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// An input does not exist or may not be read.
    #[error("cannot open the input {name}: {}", reason(.source))]
    Open {
        /// The file as the user wrote it.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Reading stopped half-way.
    #[error("reading {name}, after line {line}: {}", reason(.source))]
    Read {
        /// The file, or `stdin`.
        name: String,
        /// The last line that was read.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A line does not hold what it should.
    #[error("{name}:{line}: {problem}")]
    Line {
        /// The file, or `stdin`.
        name: String,
        /// Counted from 1; with `-0`, the number of the value.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A value of a `:::` list does not hold what it should.
    #[error("value {number} of list {list} after the command: {problem}")]
    ListValue {
        /// Number of the list, from 1.
        list: usize,
        /// Number of the value in its list, from 1.
        number: usize,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The lists after the command together are no task.
    #[error("the lists of values after the command: {problem}")]
    Lists {
        /// What is wrong with them.
        problem: Problem,
    },
    /// Tables come from files only.
    #[error(
        "values after the command are not rows of a table: \
         give the table with --input FILE, or split the values with --colsep"
    )]
    ListsAsTable,
}

/// What is wrong with one line or value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Text was expected.
    #[error("not UTF-8 text; convert the input first, for example with iconv")]
    NotUtf8,
    /// A line of JSON Lines is not JSON.
    #[error("not JSON: {reason} at column {column}")]
    NotJson {
        /// What the parser expected.
        reason: String,
        /// Place in the line, in bytes from 1.
        column: usize,
    },
    /// JSON, but no call of a function.
    #[error(
        "a task is an array of arguments, or an object with args, kwargs, function; this line is {found}"
    )]
    NotATask {
        /// The kind of JSON value that was found.
        found: &'static str,
    },
    /// An object with a member that no task has.
    #[error(
        "a task's object has args (array), kwargs (object), function (string) and nothing else: {reason}"
    )]
    NotATaskObject {
        /// What the parser found.
        reason: String,
    },
    /// JSON, but not the values of a command.
    #[error(
        "a command's task is an array of strings and numbers, or an object with such args; found {found}"
    )]
    NotValues {
        /// The kind of JSON value that was found.
        found: &'static str,
    },
    /// Longer than memory is kept for.
    #[error("longer than {} MiB, the most that one task may have", MAX_LINE_BYTES >> 20)]
    TooLong,
    /// A row with more or fewer columns than the rows before it.
    #[error("{found} value{}, where the first row has {expected}", if *found == 1 { "" } else { "s" })]
    Ragged {
        /// Columns of the first row.
        expected: usize,
        /// Columns of this one.
        found: usize,
    },
    /// A header with a column that has no name.
    #[error("column {column} has no name")]
    UnnamedColumn {
        /// Counted from 1.
        column: usize,
    },
    /// A header that names two columns alike.
    #[error("two columns are named {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
    /// Arguments of a program cannot hold a NUL.
    #[error("a value has a NUL byte, which no argument of a command can hold")]
    Nul,
}

impl InputError {
    pub(super) fn open(path: &Path, source: io::Error) -> Self {
        Self::Open { name: path.display().to_string(), source }
    }
}
