//! Results as plain text: bare values of functions, and what commands wrote.

use std::borrow::Cow;

use poolmap_proto::v1::{Failure, FailureKind};

use super::outcome::Outcome;
use super::pages::{Pages, Stream};
use super::tags::Tags;

/// A JSON string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Appends the bare value of a function, or what went wrong.
pub(super) fn append_value(outcome: Outcome<'_>, pages: &mut Pages) {
    if let Some(failure) = outcome.failure {
        return append_failure(outcome.index, failure, pages.to(Stream::Notes));
    }
    let out = pages.to(Stream::Results);
    match serde_json::from_slice::<Text<'_>>(outcome.value) {
        Ok(Text(text)) => out.extend_from_slice(text.as_bytes()),
        Err(_not_a_string) => out.extend_from_slice(outcome.value),
    }
    out.push(b'\n');
}

/// Appends what a command wrote. Of failures only those are told that a reader of the output cannot guess:
/// `tells_exits` adds non-zero exit statuses to them.
pub(super) fn append_output(outcome: Outcome<'_>, tells_exits: bool, tags: Option<&Tags>, pages: &mut Pages) {
    let tag = tags.map(|tags| tags.take(outcome.index));
    if let Some(detail) = outcome.detail {
        for (stream, bytes) in [(Stream::Results, &detail.stdout), (Stream::Notes, &detail.stderr)] {
            if !bytes.is_empty() {
                append_lines(tag.as_deref(), bytes, pages.to(stream));
            }
        }
    }
    if let Some(failure) = outcome.failure
        && (tells_exits || failure.kind() != FailureKind::Exit || failure.exit_status.is_none())
    {
        append_failure(outcome.index, failure, pages.to(Stream::Notes));
    }
}

/// Appends bytes as they are, or with the tag and a tab before each line. A tagged last line is ended, lest the next
/// tag stands in it.
fn append_lines(tag: Option<&[u8]>, bytes: &[u8], out: &mut Vec<u8>) {
    let Some(tag) = tag else { return out.extend_from_slice(bytes) };
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        out.extend_from_slice(tag);
        out.push(b'\t');
        out.extend_from_slice(line);
    }
    if !bytes.ends_with(b"\n") {
        out.push(b'\n');
    }
}

/// Appends a failure for people: one line, and below it, indented, further lines of the message and the traceback.
fn append_failure(index: u64, failure: &Failure, out: &mut Vec<u8>) {
    let what = match (failure.r#type.as_str(), failure.message.trim_end()) {
        ("", "") => failure.kind().word().replace('_', " "),
        ("", message) => message.to_owned(),
        (name, "") => name.to_owned(),
        (name, message) if message.contains(name) => message.to_owned(),
        (name, message) => format!("{name}: {message}"),
    };
    out.extend_from_slice(format!("task {index} failed: ").as_bytes());
    for (place, line) in what.lines().chain(failure.traceback.lines()).enumerate() {
        out.extend_from_slice(if place == 0 { b"" } else { b"    " });
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}
