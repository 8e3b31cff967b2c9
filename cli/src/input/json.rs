//! Checks lines of JSON Lines without building anything from them, and writes JSON strings.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::Problem;

/// Checks that a line is one task of a function, and gives it without the white space around it. `None` if that is all
/// there is.
pub(super) fn check_task(line: &[u8]) -> Result<Option<&str>, Problem> {
    let Some((text, offset)) = trimmed(line)? else { return Ok(None) };
    let checked = match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<IgnoredAny>(text).map(drop),
        Some(b'{') => serde_json::from_str::<TaskObject>(text).map(drop),
        _ => {
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error, offset))?;
            return Err(Problem::NotATask { found: kind_of(text) });
        }
    };
    match checked {
        Ok(()) => Ok(Some(text)),
        Err(error) if error.classify() == Category::Data => {
            Err(Problem::NotATaskObject { reason: at_column(&error, offset) })
        }
        Err(error) => Err(not_json(&error, offset)),
    }
}

/// Appends the values of a command that a line holds, each followed by a NUL.
///
/// False if there is nothing but white space.
pub(super) fn append_values(line: &[u8], out: &mut Vec<u8>) -> Result<bool, Problem> {
    let Some((text, offset)) = trimmed(line)? else { return Ok(false) };
    let parsed = match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text),
        Some(b'{') => serde_json::from_str::<ValuesObject<'_>>(text).map(|object| object.args),
        _ => {
            serde_json::from_str::<IgnoredAny>(text).map_err(|error| not_json(&error, offset))?;
            return Err(Problem::NotValues { found: kind_of(text) });
        }
    };
    let values = parsed.map_err(|error| match error.classify() {
        Category::Data => Problem::NotValues { found: "an object with other members" },
        _ => not_json(&error, offset),
    })?;
    values.into_iter().try_for_each(|value| append_value(value.get(), out))?;
    Ok(true)
}

/// Bytes as text.
pub(super) fn text_of(line: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(line).map_err(|_| Problem::NotUtf8)
}

/// Appends a JSON string that holds `text`.
pub(super) fn append_string(text: &str, out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}

/// The text of a line and where it begins in it.
fn trimmed(line: &[u8]) -> Result<Option<(&str, usize)>, Problem> {
    let from_start = line.trim_ascii_start();
    if from_start.is_empty() {
        return Ok(None);
    }
    Ok(Some((text_of(line)?.trim_ascii(), line.len() - from_start.len())))
}

fn append_value(json: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    match json.as_bytes().first() {
        Some(b'"') => {
            let text: Cow<'_, str> =
                serde_json::from_str::<Text<'_>>(json).map_err(|error| not_json(&error, 0))?.0;
            if text.contains('\0') {
                return Err(Problem::Nul);
            }
            out.extend_from_slice(text.as_bytes());
        }
        Some(b'-' | b'0'..=b'9') => out.extend_from_slice(json.as_bytes()),
        _ => return Err(Problem::NotValues { found: kind_of(json) }),
    }
    out.push(0);
    Ok(())
}

/// What a JSON text is, for people.
fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        Some(b't') => "true",
        Some(b'f') => "false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn not_json(error: &serde_json::Error, offset: usize) -> Problem {
    Problem::NotJson { reason: message_of(error), column: error.column() + offset }
}

fn at_column(error: &serde_json::Error, offset: usize) -> String {
    format!("{} at column {}", message_of(error), error.column() + offset)
}

/// The parser's message without the place, which it counts from the text's beginning.
fn message_of(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message);
    message
        .replace("EOF while parsing", "the line ends within")
        .replace("expected ident", "a word that JSON does not know")
        .replace("expected value", "no value begins")
}

/// The members of a task's object, looked at and dropped.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[expect(dead_code, reason = "only whether it can be read matters")]
struct TaskObject {
    #[serde(default)]
    args: Array,
    #[serde(default)]
    kwargs: Object,
    #[serde(default)]
    function: IgnoredText,
}

/// The object form of a command's task.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ValuesObject<'a> {
    #[serde(borrow)]
    args: Vec<&'a RawValue>,
}

/// A string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default)]
struct Array;

#[derive(Default)]
struct Object;

#[derive(Default)]
struct IgnoredText;

/// Accepts one kind of value, and names it in errors.
struct Accept<T>(&'static str, T);

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Accept("an array of positional arguments", Self))
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Accept("an object of keyword arguments", Self))
    }
}

impl<'de> Deserialize<'de> for IgnoredText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Accept("a function's name", Self))
    }
}

impl<'de> Visitor<'de> for Accept<Array> {
    type Value = Array;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Array, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(self.1)
    }
}

impl<'de> Visitor<'de> for Accept<Object> {
    type Value = Object;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.1)
    }
}

impl Visitor<'_> for Accept<IgnoredText> {
    type Value = IgnoredText;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<IgnoredText, E> {
        if text.is_empty() {
            return Err(E::custom("the function's name is empty"));
        }
        Ok(self.1)
    }
}
