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

use super::form::{FORMS, Form};
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
        if let Some(which) = self.which(text).filter(|_| self.knows_whole(text)) {
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

    /// `{1}` is a form of `{}`, and gone when another string stands in its place; `{1.}` and named columns remain.
    fn knows_whole(&self, text: &[u8]) -> bool {
        self.replacement == DEFAULT_REPLACEMENT || self.columns.iter().any(|name| name == text)
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn command(words: &[Vec<u8>], columns: &[Vec<u8>], replacement: &[u8], shell: bool) -> Command {
        let all = |all: &[Vec<u8>]| all.iter().map(|one| Bytes::copy_from_slice(one)).collect();
        let replacement = Bytes::copy_from_slice(replacement);
        Command { words: all(words), shell, replacement, columns: all(columns) }
    }

    /// Bytes that are likely to be, or nearly be, replacement strings.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(
            prop_oneof![prop::sample::select(b"{}{}12-./#%x".as_slice()), any::<u8>()],
            0..12,
        )
    }

    proptest! {
        #[test]
        fn no_command_and_no_payload_are_too_odd(
            words in prop::collection::vec(text(), 0..4),
            columns in prop::collection::vec(text(), 0..3),
            replacement in text(), shell: bool, payload: Vec<u8>, task_number: u64, slot: usize,
        ) {
            if let Ok(template) = Template::new(&command(&words, &columns, &replacement, shell)) {
                let values = values(&payload);
                let _arguments = template.expand(&values, task_number, slot);
                let _line = template.dry_run_line(&values, task_number, slot);
            }
        }

        #[test]
        fn values_reach_the_program_as_they_are(values in prop::collection::vec(any::<Vec<u8>>(), 1..5)) {
            let template = Template::new(&command(&[b"program".to_vec()], &[], b"", false))?;
            let borrowed: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let arguments = template.expand(&borrowed, 1, 1);
            prop_assert_eq!(arguments.get(1..), Some(values.as_slice()));
        }
    }

    #[test]
    fn a_payload_is_values_that_each_end_with_a_nul() {
        assert_eq!(values(b""), Vec::<&[u8]>::new());
        assert_eq!(values(b"\0"), [b""]);
        assert_eq!(values(b"a\0\0"), [b"a".as_slice(), b""]);
        assert_eq!(values(b"a\0b"), [b"a", b"b"]);
    }

    #[test]
    fn a_command_needs_words_without_nul() {
        assert_eq!(Template::new(&Command::default()), Err(TemplateError::Empty));
        assert_eq!(Template::new(&command(&[b"a\0".to_vec()], &[], b"", false)), Err(TemplateError::Nul));
    }

    #[test]
    fn an_empty_word_stays_an_argument() -> Result<(), TemplateError> {
        let template =
            Template::new(&command(&[b"p".to_vec(), Vec::new(), b"{}".to_vec()], &[], b"", false))?;
        assert_eq!(template.expand(&[b"v"], 1, 1), [b"p".to_vec(), Vec::new(), b"v".to_vec()]);
        assert_eq!(template.dry_run_line(&[b"v w"], 1, 1), b"p '' 'v w'");
        Ok(())
    }
}
