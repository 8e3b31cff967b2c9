//! Tasks of functions: JSON Lines, plain lines, and rows of tables, as JSON payloads.

use std::path::PathBuf;

use super::error::{InputError, Problem};
use super::records::Records;
use super::table::{Row, Rows};
use super::{Draft, Form, TaskReader, header, json, source};

/// How the tasks of a function are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionForm {
    /// One JSON array or object per line.
    JsonLines,
    /// The line is the one argument, a string.
    Lines,
    /// Rows of CSV or the like; every value is a string.
    Table {
        /// The byte between columns.
        separator: u8,
        /// The first row of each input names the columns; they become keyword arguments.
        header: bool,
    },
}

/// Reads the tasks of a function from inputs one after another; `-` is standard input.
///
/// Every input is checked here; it is opened when its turn comes.
pub fn function_tasks(form: FunctionForm, inputs: Vec<PathBuf>) -> Result<TaskReader, InputError> {
    source::check(&inputs)?;
    let lines = |inputs| Records::new(inputs, b'\n');
    Ok(match form {
        FunctionForm::JsonLines => TaskReader::new(JsonTasks { lines: lines(inputs) }, Vec::new()),
        FunctionForm::Lines => TaskReader::new(LineTasks { lines: lines(inputs) }, Vec::new()),
        FunctionForm::Table { separator, header } => {
            let names = header.then(Vec::new);
            TaskReader::new(RowTasks { rows: Rows::new(inputs, separator), names }, Vec::new())
        }
    })
}

/// Each line is a payload as it stands.
pub(super) struct JsonTasks {
    pub(super) lines: Records,
}

impl Form for JsonTasks {
    fn fill(&mut self, draft: &mut Draft) -> Result<(), InputError> {
        while !draft.is_full() {
            let Some(line) = self.lines.next(draft.is_empty())? else { break };
            match json::check_task(line) {
                Ok(Some(task)) => draft.push(task.as_bytes()),
                Ok(None) => {}
                Err(problem) => return Err(self.lines.error(problem)),
            }
        }
        Ok(())
    }
}

/// Each line is the one argument.
pub(super) struct LineTasks {
    pub(super) lines: Records,
}

impl Form for LineTasks {
    fn fill(&mut self, draft: &mut Draft) -> Result<(), InputError> {
        while !draft.is_full() {
            let Some(line) = self.lines.next(draft.is_empty())? else { break };
            match json::text_of(line.strip_suffix(b"\r").unwrap_or(line)) {
                Ok(text) => draft.push_with(|payload| {
                    payload.push(b'[');
                    json::append_string(text, payload);
                    payload.push(b']');
                }),
                Err(problem) => return Err(self.lines.error(problem)),
            }
        }
        Ok(())
    }
}

/// Each row is the positional arguments, or the keyword arguments under the header's names.
pub(super) struct RowTasks {
    pub(super) rows: Rows,
    /// Names of the columns as JSON strings; `None` if there is no header.
    pub(super) names: Option<Vec<Vec<u8>>>,
}

impl Form for RowTasks {
    fn fill(&mut self, draft: &mut Draft) -> Result<(), InputError> {
        while !draft.is_full() {
            let Some(row) = self.rows.next(draft.is_empty())? else { break };
            let result = match &mut self.names {
                Some(names) if row.is_first => json_names(&row).map(|found| *names = found),
                Some(names) => push_row(draft, &row, b"{\"kwargs\":{", b"}}", names),
                None => push_row(draft, &row, b"[", b"]", &[]),
            };
            result.map_err(|problem| self.rows.error(problem))?;
        }
        Ok(())
    }
}

/// The header's names as they stand in a JSON object.
fn json_names(row: &Row<'_>) -> Result<Vec<Vec<u8>>, Problem> {
    header::check(row.fields())?;
    let json_name = |field| {
        let mut name = Vec::new();
        json::append_string(json::text_of(field)?, &mut name);
        name.push(b':');
        Ok(name)
    };
    row.fields().map(json_name).collect()
}

fn push_row(
    draft: &mut Draft,
    row: &Row<'_>,
    open: &[u8],
    close: &[u8],
    names: &[Vec<u8>],
) -> Result<(), Problem> {
    draft.try_push_with(|payload| {
        payload.extend_from_slice(open);
        for (column, field) in row.fields().enumerate() {
            if column > 0 {
                payload.push(b',');
            }
            payload.extend_from_slice(names.get(column).map(Vec::as_slice).unwrap_or_default());
            json::append_string(json::text_of(field)?, payload);
        }
        payload.extend_from_slice(close);
        Ok(())
    })
}
