//! Results as JSON Lines.

use std::io::Write as _;

use poolmap_proto::v1::{Detail, Failure};

use super::Subject;
use super::outcome::Outcome;

/// Appends the line of one outcome; `worker` is given if details are to be told.
pub(super) fn append(outcome: Outcome<'_>, subject: Subject, worker: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"index\":");
    out.extend_from_slice(itoa::Buffer::new().format(outcome.index).as_bytes());
    match (outcome.failure, subject) {
        (Some(failure), _) => append_failure(failure, out),
        (None, Subject::Function) => {
            out.extend_from_slice(b",\"value\":");
            out.extend_from_slice(if outcome.value.is_empty() { b"null" } else { outcome.value });
        }
        (None, Subject::Command) => {
            append_lossy(
                ",\"value\":",
                outcome.detail.map(|detail| detail.stdout.as_ref()).unwrap_or_default(),
                out,
            );
        }
    }
    if let Some(worker) = worker {
        append_detail(outcome.detail.unwrap_or(&Detail::default()), worker, out);
    }
    out.extend_from_slice(b"}\n");
}

fn append_failure(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"error\":{\"kind\":\"");
    out.extend_from_slice(failure.kind().word().as_bytes());
    out.push(b'"');
    if !failure.r#type.is_empty() {
        append_text(",\"type\":", &failure.r#type, out);
    }
    append_text(",\"message\":", &failure.message, out);
    if !failure.traceback.is_empty() {
        append_text(",\"traceback\":", &failure.traceback, out);
    }
    if let Some(status) = failure.exit_status {
        out.extend_from_slice(b",\"status\":");
        out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    }
    out.push(b'}');
}

fn append_detail(detail: &Detail, worker: &str, out: &mut Vec<u8>) {
    // JSON has no infinity; a clock that gave one tells nothing.
    let seconds = if detail.seconds.is_finite() { detail.seconds } else { 0.0 };
    out.extend_from_slice(b",\"attempts\":");
    out.extend_from_slice(itoa::Buffer::new().format(detail.attempt).as_bytes());
    append_text(",\"worker\":", worker, out);
    let written = write!(out, ",\"seconds\":{seconds:.6}");
    debug_assert!(written.is_ok(), "a Vec takes every byte");
    append_lossy(",\"stdout\":", &detail.stdout, out);
    append_lossy(",\"stderr\":", &detail.stderr, out);
}

/// Appends bytes as text; what is no UTF-8 becomes U+FFFD.
fn append_lossy(key: &str, bytes: &[u8], out: &mut Vec<u8>) {
    append_text(key, &String::from_utf8_lossy(bytes), out);
}

fn append_text(key: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "a Vec takes every byte");
}
