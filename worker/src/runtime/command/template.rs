//! What a task's command is: words with replacement strings, filled in with the task's values.
//!
//! Replacement strings mean what they mean to GNU parallel. There, a shell reads the finished line and each value is quoted
//! for it; here there is no shell unless asked for, and the program gets the arguments that such a shell would have
//! made. So where `{}` stands for several values, each is an argument of its own: `pre{}post` with the values `a` and
//! `b` makes the arguments `prea` and `bpost`. And a word that consists of replacement strings only makes no argument
//! when there is no value for any of them. Two rarities differ: `{0}` stands for nothing and stays as it is, and
//! `{-N}` is empty, as `{N}` is, when there are fewer than N values.
//!
//! Nothing here does IO, and any bytes are values.

use std::ops::Range;

use poolmap_proto::v1::Command;

use super::quote::quote;

const DEFAULT_REPLACEMENT: &[u8] = b"{}";

/// Why a command makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// There are no words.
    #[error("the command is empty; give a program to run")]
    Empty,
    /// A word holds a byte that no argument of a program can hold.
    #[error("a word of the command holds a NUL byte, which no argument can")]
    Nul,
}

/// A command, ready to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    words: Vec<Vec<Part>>,
    shell: bool,
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Values(Which, Form),
    TaskNumber,
    Slot,
}

/// Which of a task's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    /// Counted from 0.
    FromFirst(usize),
    /// Counted from 0, the last.
    FromLast(usize),
}

impl Which {
    fn range(self, count: usize) -> Range<usize> {
        let one = |index: Option<usize>| index.map_or(0..0, |index| index..index + 1);
        match self {
            Which::All => 0..count,
            Which::FromFirst(index) => one((index < count).then_some(index)),
            Which::FromLast(index) => one((index < count).then(|| count - 1 - index)),
        }
    }
}

/// What of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    WithoutExtension,
    Name,
    Directory,
    NameWithoutExtension,
}

/// The endings of a replacement string and what they ask for; longer ones first.
const FORMS: [(&[u8], Form); 4] = [
    (b"/.", Form::NameWithoutExtension),
    (b"//", Form::Directory),
    (b"/", Form::Name),
    (b".", Form::WithoutExtension),
];

impl Form {
    fn of(self, value: &[u8]) -> &[u8] {
        match self {
            Form::Whole => value,
            Form::WithoutExtension => without_extension(value),
            Form::Name => name(value),
            Form::Directory => directory(value),
            Form::NameWithoutExtension => without_extension(name(value)),
        }
    }
}

impl Template {
    /// Understands a command.
    pub fn new(command: &Command) -> Result<Self, TemplateError> {
        if command.words.iter().all(bytes::Bytes::is_empty) {
            return Err(TemplateError::Empty);
        }
        if command.words.iter().any(|word| word.contains(&0)) {
            return Err(TemplateError::Nul);
        }
        let reader = Reader::new(command);
        let mut words: Vec<Vec<Part>> = command.words.iter().map(|word| reader.word(word)).collect();
        if words.iter().flatten().all(|part| matches!(part, Part::Literal(_))) {
            words.push(vec![Part::Values(Which::All, Form::Whole)]);
        }
        Ok(Self { words, shell: command.shell })
    }

    /// The program and its arguments for a task with these values; `task_number` and `slot` count from 1. Empty only if
    /// the command has nothing but replacement strings, and the task no values for them.
    #[must_use]
    pub fn expand(&self, values: &[&[u8]], task_number: u64, slot: usize) -> Vec<Vec<u8>> {
        let task = Task { values, number: task_number, slot };
        if self.shell {
            return vec![b"/bin/sh".to_vec(), b"-c".to_vec(), self.shell_line(&task)];
        }
        self.words.iter().flat_map(|word| task.arguments(word)).collect()
    }

    /// The task's command as one line that a shell would run to the same effect.
    #[must_use]
    pub fn dry_run_line(&self, values: &[&[u8]], task_number: u64, slot: usize) -> Vec<u8> {
        if self.shell {
            return self.shell_line(&Task { values, number: task_number, slot });
        }
        let mut line = Vec::new();
        for (index, argument) in self.expand(values, task_number, slot).iter().enumerate() {
            if index > 0 {
                line.push(b' ');
            }
            quote(argument, &mut line);
        }
        line
    }

    fn shell_line(&self, task: &Task<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        for (index, word) in self.words.iter().enumerate() {
            if index > 0 {
                line.push(b' ');
            }
            for part in word {
                task.append_quoted(part, &mut line);
            }
        }
        line
    }
}

/// The values of a payload: each is followed by a NUL, which may be missing after the last.
#[must_use]
pub fn values(payload: &[u8]) -> Vec<&[u8]> {
    if payload.is_empty() {
        return Vec::new();
    }
    payload.strip_suffix(b"\0").unwrap_or(payload).split(|byte| *byte == 0).collect()
}

/// What a template is filled in with.
struct Task<'a> {
    values: &'a [&'a [u8]],
    number: u64,
    slot: usize,
}

impl Task<'_> {
    fn select(&self, which: Which, form: Form) -> impl Iterator<Item = &[u8]> {
        let selected = self.values.get(which.range(self.values.len())).unwrap_or_default();
        selected.iter().map(move |value| form.of(value))
    }

    /// The arguments that a word makes: one, unless a part of it stands for no value or for several.
    fn arguments(&self, word: &[Part]) -> Vec<Vec<u8>> {
        let mut finished = Vec::new();
        let mut current: Option<Vec<u8>> = None;
        for part in word {
            match part {
                Part::Literal(text) => current.get_or_insert_default().extend_from_slice(text),
                Part::TaskNumber => append_number(&self.number, current.get_or_insert_default()),
                Part::Slot => append_number(&self.slot, current.get_or_insert_default()),
                Part::Values(which, form) => {
                    for (index, value) in self.select(*which, *form).enumerate() {
                        if index > 0 {
                            finished.extend(current.take());
                        }
                        current.get_or_insert_default().extend_from_slice(value);
                    }
                }
            }
        }
        finished.extend(current);
        finished
    }

    fn append_quoted(&self, part: &Part, line: &mut Vec<u8>) {
        match part {
            Part::Literal(text) => line.extend_from_slice(text),
            Part::TaskNumber => append_number(&self.number, line),
            Part::Slot => append_number(&self.slot, line),
            Part::Values(which, form) => {
                for (index, value) in self.select(*which, *form).enumerate() {
                    if index > 0 {
                        line.push(b' ');
                    }
                    quote(value, line);
                }
            }
        }
    }
}

fn append_number(number: &impl ToString, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Finds the replacement strings in words.
struct Reader<'a> {
    replacement: &'a [u8],
    columns: &'a [bytes::Bytes],
}

impl<'a> Reader<'a> {
    fn new(command: &'a Command) -> Self {
        let replacement =
            if command.replacement.is_empty() { DEFAULT_REPLACEMENT } else { &command.replacement };
        Self { replacement, columns: &command.columns }
    }

    fn word(&self, word: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = word;
        while let Some((first, after)) = rest.split_first() {
            if let Some((part, after)) = self.replacement_string(rest) {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
                rest = after;
            } else {
                literal.push(*first);
                rest = after;
            }
        }
        // An empty word is an argument too.
        if !literal.is_empty() || parts.is_empty() {
            parts.push(Part::Literal(literal));
        }
        parts
    }

    /// The replacement string that `text` begins with, if any, and what follows it.
    fn replacement_string<'t>(&self, text: &'t [u8]) -> Option<(Part, &'t [u8])> {
        if let Some(after) = text.strip_prefix(self.replacement) {
            return Some((Part::Values(Which::All, Form::Whole), after));
        }
        let inside = text.strip_prefix(b"{")?;
        let end = memchr::memchr(b'}', inside)?;
        let part = self.inside_braces(inside.get(..end)?)?;
        Some((part, inside.get(end + 1..)?))
    }

    fn inside_braces(&self, text: &[u8]) -> Option<Part> {
        match text {
            b"#" => return Some(Part::TaskNumber),
            b"%" => return Some(Part::Slot),
            _ => {}
        }
        if let Some(which) = self.which(text) {
            return Some(Part::Values(which, Form::Whole));
        }
        FORMS.into_iter().find_map(|(ending, form)| {
            let which = match text.strip_suffix(ending)? {
                b"" => Which::All,
                name => self.which(name)?,
            };
            Some(Part::Values(which, form))
        })
    }

    fn which(&self, text: &[u8]) -> Option<Which> {
        if text.is_empty() {
            return None;
        }
        if let Some(column) = self.columns.iter().position(|name| name == text) {
            return Some(Which::FromFirst(column));
        }
        match text.strip_prefix(b"-") {
            Some(digits) => Some(Which::FromLast(ordinal(digits)?)),
            None => Some(Which::FromFirst(ordinal(text)?)),
        }
    }
}

/// `1` is 0, `2` is 1 and so on.
fn ordinal(digits: &[u8]) -> Option<usize> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse::<usize>().ok()?.checked_sub(1)
}

/// Where the last part of a path begins.
fn name_start(path: &[u8]) -> usize {
    memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)
}

/// What follows the last slash: nothing for `trailing/`.
fn name(path: &[u8]) -> &[u8] {
    path.get(name_start(path)..).unwrap_or_default()
}

/// The path without the last dot of its last part and what follows it: nothing for `.hidden`.
fn without_extension(path: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'.', name(path)).map_or(path.len(), |dot| name_start(path) + dot);
    path.get(..end).unwrap_or_default()
}

/// The folder that holds the file or folder of this path, as `dirname` has it.
fn directory(path: &[u8]) -> &[u8] {
    let above = without_trailing_slashes(path);
    if above.is_empty() {
        return if path.is_empty() { b"." } else { b"/" };
    }
    match above.get(..name_start(above)).unwrap_or_default() {
        b"" => b".",
        parent => match without_trailing_slashes(parent) {
            b"" => b"/",
            parent => parent,
        },
    }
}

fn without_trailing_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}
