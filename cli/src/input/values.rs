//! Tasks of commands: payloads are values, each followed by a NUL.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytes::Bytes;
use regex::bytes::Regex;

use super::error::{InputError, Problem};
use super::lists::{Combinations, List, ListOrigin, ValueList};
use super::records::Records;
use super::source::MAX_LINE_BYTES;
use super::table::Rows;
use super::{Draft, Form, TaskReader, header, json, source};

/// Where the values of a command come from.
#[derive(Clone, Debug)]
pub enum ValueInput {
    /// A file; `-` is standard input.
    Path(PathBuf),
    /// Lists after the command. One list from a file alone is the same as that file.
    Lists(Vec<ValueList>),
}

/// How the values of a command are written.
#[derive(Clone, Debug)]
pub struct ValueForm {
    /// What a row is, and how it is split into values.
    pub rows: RowForm,
    /// The first row names the columns; of lists, the first value of each.
    pub has_header: bool,
    /// Rows whose values, one after another, make a task. The last task may have fewer.
    pub rows_per_task: NonZeroUsize,
}

/// What a row is, and how it is split into values.
#[derive(Clone, Debug)]
pub enum RowForm {
    /// A line, or with `is_nul_separated` what stands before a NUL.
    Records {
        /// NUL ends a row, and a line end is an ordinary byte.
        is_nul_separated: bool,
        /// How the row is split.
        split: Split,
    },
    /// A row of CSV or the like; all have as many columns as the first.
    Table {
        /// The byte between columns.
        separator: u8,
    },
}

/// How a record is split into values.
#[derive(Clone, Debug)]
pub enum Split {
    /// The record is the one value.
    Whole,
    /// Values stand between matches.
    Columns(Regex),
    /// A JSON array of strings and numbers, or an object with such `args`. Blank lines are no rows.
    Json,
}

impl Split {
    /// Appends the values of a record, each followed by a NUL. Whether it is a row at all.
    pub(super) fn append(&self, record: &[u8], out: &mut Vec<u8>) -> Result<bool, Problem> {
        match self {
            Self::Whole => append_value(record, out)?,
            Self::Columns(separator) => {
                separator.split(record).try_for_each(|value| append_value(value, out))?;
            }
            Self::Json => return json::append_values(record, out),
        }
        Ok(true)
    }
}

fn append_value(value: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    if memchr::memchr(0, value).is_some() {
        return Err(Problem::Nul);
    }
    out.extend_from_slice(value);
    out.push(0);
    Ok(())
}

/// Reads the tasks of a command. With a header this waits for the first row, so that the names of the columns are known.
pub fn command_tasks(form: &ValueForm, input: ValueInput) -> Result<TaskReader, InputError> {
    let mut rows = ValueRows::new(form, input)?;
    let columns = if form.has_header { rows.take_header()? } else { Vec::new() };
    Ok(TaskReader::new(ValueTasks::new(rows, form.rows_per_task), columns))
}

/// Tasks of so many rows each.
pub(super) struct ValueTasks {
    rows: ValueRows,
    rows_per_task: NonZeroUsize,
    /// Values of the task that is being gathered, and its rows so far.
    values: Vec<u8>,
    rows_gathered: usize,
}

impl ValueTasks {
    pub(super) fn new(rows: ValueRows, rows_per_task: NonZeroUsize) -> Self {
        Self { rows, rows_per_task, values: Vec::new(), rows_gathered: 0 }
    }

    fn hand_out(&mut self, draft: &mut Draft) {
        draft.push(&self.values);
        self.values.clear();
        self.rows_gathered = 0;
    }
}

impl Form for ValueTasks {
    fn fill(&mut self, draft: &mut Draft) -> Result<(), InputError> {
        while !draft.is_full() {
            let may_wait = draft.is_empty();
            if self.rows.append_next(may_wait, &mut self.values)? {
                self.rows_gathered += 1;
                if self.values.len() > MAX_LINE_BYTES {
                    return Err(self.rows.error(Problem::TooLong));
                }
            } else {
                if may_wait && self.rows_gathered > 0 {
                    self.hand_out(draft);
                }
                break;
            }
            if self.rows_gathered == self.rows_per_task.get() {
                self.hand_out(draft);
            }
        }
        Ok(())
    }
}

/// Rows of values, wherever they come from.
pub(super) enum ValueRows {
    Records { records: Records, split: Split },
    Table(Rows),
    Lists { combinations: Combinations, names: Vec<u8> },
}

impl ValueRows {
    fn new(form: &ValueForm, input: ValueInput) -> Result<Self, InputError> {
        let path = match input {
            ValueInput::Path(path) => path,
            ValueInput::Lists(mut lists) => match lists.as_mut_slice() {
                [ValueList { origin: ListOrigin::File(path), .. }] => std::mem::take(path),
                _ => return Self::of_lists(form, lists),
            },
        };
        let paths = vec![path];
        source::check(&paths)?;
        Ok(match &form.rows {
            RowForm::Table { separator } => Self::Table(Rows::new(paths, *separator)),
            RowForm::Records { is_nul_separated, split } => {
                let records = Records::new(paths, if *is_nul_separated { 0 } else { b'\n' });
                Self::Records { records, split: split.clone() }
            }
        })
    }

    fn of_lists(form: &ValueForm, lists: Vec<ValueList>) -> Result<Self, InputError> {
        let RowForm::Records { is_nul_separated, split } = &form.rows else {
            return Err(InputError::ListsAsTable);
        };
        let delimiter = if *is_nul_separated { 0 } else { b'\n' };
        let mut lists = lists
            .into_iter()
            .enumerate()
            .map(|(place, list)| list.read(place + 1, delimiter, split))
            .collect::<Result<Vec<_>, _>>()?;
        let names =
            if form.has_header { lists.iter_mut().flat_map(List::take_first).collect() } else { Vec::new() };
        Ok(Self::Lists { combinations: Combinations::new(lists), names })
    }

    /// Appends the values of the next row. False is the end, or, where waiting is not allowed, that no whole row is at hand.
    fn append_next(&mut self, may_wait: bool, out: &mut Vec<u8>) -> Result<bool, InputError> {
        match self {
            Self::Records { records, split } => loop {
                let Some(record) = records.next(may_wait)? else { return Ok(false) };
                if split.append(record, out).map_err(|problem| records.error(problem))? {
                    return Ok(true);
                }
            },
            Self::Table(rows) => {
                let Some(row) = rows.next(may_wait)? else { return Ok(false) };
                let appended = row.fields().try_for_each(|field| append_value(field, out));
                appended.map(|()| true).map_err(|problem| rows.error(problem))
            }
            Self::Lists { combinations, .. } => Ok(combinations.append_next(out)),
        }
    }

    /// Takes the names of the columns off the beginning; an empty input has none.
    fn take_header(&mut self) -> Result<Vec<Bytes>, InputError> {
        let mut values = Vec::new();
        if let Self::Lists { names, .. } = self {
            values.append(names);
        } else if !self.append_next(true, &mut values)? {
            return Ok(Vec::new());
        }
        header::names(&values).map_err(|problem| self.error(problem))
    }

    fn error(&self, problem: Problem) -> InputError {
        match self {
            Self::Records { records, .. } => records.error(problem),
            Self::Table(rows) => rows.error(problem),
            Self::Lists { .. } => InputError::Lists { problem },
        }
    }
}
