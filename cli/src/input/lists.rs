//! Lists of values after the command: `:::` and its kin, and their combinations.
//!
//! The meaning is GNU parallel's: lists are combined, the last varying fastest; `+` links a list to the one before it, and
//! linked lists advance together until the shortest ends. An empty list beside others is one empty value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::error::InputError;
use super::records::Records;
use super::source;
use super::values::Split;

/// A list of values after the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueList {
    /// Where its values stand.
    pub origin: ListOrigin,
    /// It advances together with the list before it.
    pub is_linked: bool,
}

/// Where the values of a list stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListOrigin {
    /// On the command line, after `:::` or `:::+`.
    Words(Vec<OsString>),
    /// In a file, one a line, after `::::` or `::::+`; `-` is standard input.
    File(PathBuf),
}

/// Splits the words after `--` into the command and the lists of values that follow it.
#[must_use]
pub fn split_command(words: &[OsString]) -> (Vec<OsString>, Vec<ValueList>) {
    let begin = words.iter().position(|word| Marker::of(word).is_some()).unwrap_or(words.len());
    let (command, mut rest) = words.split_at(begin);
    let mut lists = Vec::new();
    while let Some((marker, after)) =
        rest.split_first().and_then(|(word, after)| Some((Marker::of(word)?, after)))
    {
        let length = after.iter().position(|word| Marker::of(word).is_some()).unwrap_or(after.len());
        let (values, following) = after.split_at(length);
        lists.extend(marker.lists(values));
        rest = following;
    }
    (command.to_vec(), lists)
}

/// A word that begins a list.
#[derive(Clone, Copy)]
struct Marker {
    names_files: bool,
    is_linked: bool,
}

impl Marker {
    fn of(word: &OsStr) -> Option<Self> {
        let (names_files, is_linked) = match word.as_bytes() {
            b":::" => (false, false),
            b":::+" => (false, true),
            b"::::" => (true, false),
            b"::::+" => (true, true),
            _ => return None,
        };
        Some(Self { names_files, is_linked })
    }

    fn lists(self, values: &[OsString]) -> Vec<ValueList> {
        let list = |origin| ValueList { origin, is_linked: self.is_linked };
        if self.names_files {
            values.iter().map(|path| list(ListOrigin::File(path.into()))).collect()
        } else {
            vec![list(ListOrigin::Words(values.to_vec()))]
        }
    }
}

impl ValueList {
    /// Reads the whole list; `number` is its place after the command, from 1.
    pub(super) fn read(self, number: usize, delimiter: u8, split: &Split) -> Result<List, InputError> {
        let values = match self.origin {
            ListOrigin::Words(words) => read_words(&words, number, split)?,
            ListOrigin::File(path) => read_file(path, delimiter, split)?,
        };
        Ok(List { values, is_linked: self.is_linked })
    }
}

fn read_words(words: &[OsString], list: usize, split: &Split) -> Result<Vec<Vec<u8>>, InputError> {
    let mut values = Vec::with_capacity(words.len());
    for (place, word) in words.iter().enumerate() {
        let mut value = Vec::with_capacity(word.len() + 1);
        let is_row = split.append(word.as_bytes(), &mut value).map_err(|problem| InputError::ListValue {
            list,
            number: place + 1,
            problem,
        })?;
        if is_row {
            values.push(value);
        }
    }
    Ok(values)
}

fn read_file(path: PathBuf, delimiter: u8, split: &Split) -> Result<Vec<Vec<u8>>, InputError> {
    let paths = vec![path];
    source::check(&paths)?;
    let mut records = Records::new(paths, delimiter);
    let mut values = Vec::new();
    while let Some(record) = records.next(true)? {
        let mut value = Vec::with_capacity(record.len() + 1);
        if split.append(record, &mut value).map_err(|problem| records.error(problem))? {
            values.push(value);
        }
    }
    Ok(values)
}

/// A list in memory. Each value stands as it does in a payload: with `--colsep` it may be several, each followed by a NUL.
pub(super) struct List {
    values: Vec<Vec<u8>>,
    is_linked: bool,
}

impl List {
    /// Takes the first value off the list; an empty list has an empty one.
    pub(super) fn take_first(&mut self) -> Vec<u8> {
        if self.values.is_empty() { vec![0] } else { self.values.remove(0) }
    }
}

/// All combinations of lists, made one by one.
pub(super) struct Combinations {
    groups: Vec<Group>,
    is_done: bool,
}

/// Lists that advance together.
struct Group {
    lists: Vec<List>,
    length: usize,
    position: usize,
}

impl Combinations {
    pub(super) fn new(lists: Vec<List>) -> Self {
        let is_done = lists.iter().all(|list| list.values.is_empty());
        let mut groups: Vec<Group> = Vec::new();
        for mut list in lists {
            if list.values.is_empty() {
                list.values.push(vec![0]);
            }
            match groups.last_mut() {
                Some(group) if list.is_linked => group.link(list),
                _ => groups.push(Group { length: list.values.len(), lists: vec![list], position: 0 }),
            }
        }
        Self { groups, is_done }
    }

    /// Appends the values of the next combination; false after the last.
    pub(super) fn append_next(&mut self, out: &mut Vec<u8>) -> bool {
        if self.is_done {
            return false;
        }
        for group in &self.groups {
            group.append(out);
        }
        self.is_done = !self.groups.iter_mut().rev().any(Group::advance);
        true
    }
}

impl Group {
    fn link(&mut self, list: List) {
        self.length = self.length.min(list.values.len());
        self.lists.push(list);
    }

    fn append(&self, out: &mut Vec<u8>) {
        for value in self.lists.iter().filter_map(|list| list.values.get(self.position)) {
            out.extend_from_slice(value);
        }
    }

    /// Moves on to the next value; false if it starts again with the first.
    fn advance(&mut self) -> bool {
        self.position += 1;
        if self.position == self.length {
            self.position = 0;
        }
        self.position != 0
    }
}
