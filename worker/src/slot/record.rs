//! Outcome records: what a runner writes for each task, in the map's area or in a large frame.
//!
//! A record is a header word (u32, little-endian) and a body. The word's low 30 bits are the body's length
//! in bytes; bit 30 says that the task failed, bit 31 that the body begins with details.
//!
//! - the value: bytes that only the function's own side reads (JSON for functions, nothing for commands);
//! - a failure: JSON with `kind`, `type`, `message`, `traceback` and, for commands, `exit_status`; for pickled calls a NUL may
//!   follow, which no JSON holds, and then the exception, pickled;
//! - details, before either: bytes of stdout (u32), bytes of stderr (u32), seconds (f64), stdout, stderr.

use bytes::{Buf as _, BufMut as _, Bytes};

/// Bytes of a record's header word.
pub const WORD_BYTES: usize = 4;
/// What stands in the area where a record would, if that travels in a frame: no word of a record, whose body is at most
/// [`MAX_BODY_BYTES`] long and lies within the area.
pub const NO_RECORD: [u8; WORD_BYTES] = [0xff; WORD_BYTES];
/// The largest body of a record, in bytes.
pub const MAX_BODY_BYTES: usize = (1 << 30) - 1;

const FAILED: u32 = 1 << 30;
const DETAILED: u32 = 1 << 31;
const DETAIL_HEADER_BYTES: usize = 16;

/// The header word of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(u32);

impl Word {
    /// The word for a body of `length` bytes, at most [`MAX_BODY_BYTES`].
    #[must_use]
    pub fn new(length: usize, failed: bool, detailed: bool) -> Self {
        debug_assert!(length <= MAX_BODY_BYTES, "callers refuse larger values");
        let flag = |on, bit| if on { bit } else { 0 };
        Self(length as u32 | flag(failed, FAILED) | flag(detailed, DETAILED))
    }

    /// The word that stands in these bytes.
    #[must_use]
    pub fn decode(bytes: [u8; WORD_BYTES]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    /// The word as it is written.
    #[must_use]
    pub fn encode(self) -> [u8; WORD_BYTES] {
        self.0.to_le_bytes()
    }

    /// Bytes of the body that follows.
    #[must_use]
    pub fn length(self) -> usize {
        (self.0 & MAX_BODY_BYTES as u32) as usize
    }

    /// Whether the task failed.
    #[must_use]
    pub fn failed(self) -> bool {
        self.0 & FAILED != 0
    }

    /// Whether the body begins with details.
    #[must_use]
    pub fn detailed(self) -> bool {
        self.0 & DETAILED != 0
    }
}

/// What is told of a task beside its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// What the task wrote to its standard output.
    pub stdout: Bytes,
    /// What the task wrote to its standard error.
    pub stderr: Bytes,
    /// Wall-clock time of the attempt.
    pub seconds: f64,
}

impl Detail {
    /// Appends the details as they stand at the beginning of a body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32_le(self.stdout.len() as u32);
        out.put_u32_le(self.stderr.len() as u32);
        out.put_f64_le(self.seconds);
        out.put_slice(&self.stdout);
        out.put_slice(&self.stderr);
    }

    /// Bytes that [`encode`](Self::encode) appends.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        DETAIL_HEADER_BYTES + self.stdout.len() + self.stderr.len()
    }

    /// Takes the details off the beginning of a body; `None` if the body is too short for what it says.
    #[must_use]
    pub fn take(body: &mut Bytes) -> Option<Self> {
        if body.len() < DETAIL_HEADER_BYTES {
            return None;
        }
        let (stdout, stderr) = (body.get_u32_le() as usize, body.get_u32_le() as usize);
        let seconds = body.get_f64_le();
        if body.len() < stdout.checked_add(stderr)? {
            return None;
        }
        Some(Self { stdout: body.split_to(stdout), stderr: body.split_to(stderr), seconds })
    }
}

/// Why a task failed, as runners write it (JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// `exception`, `exit` or `crashed` (a command): what a runner can know.
    pub kind: String,
    /// The exception's type, or the name of the signal that killed a command.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind_type: String,
    /// What went wrong, for people.
    #[serde(default)]
    pub message: String,
    /// The traceback, if the language has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub traceback: String,
    /// Exit status of a command that exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_word_keeps_its_length_and_flags(length in 0..=MAX_BODY_BYTES, failed: bool, detailed: bool) {
            let word = Word::decode(Word::new(length, failed, detailed).encode());
            prop_assert_eq!((word.length(), word.failed(), word.detailed()), (length, failed, detailed));
        }

        #[test]
        fn details_come_off_a_body_and_leave_the_rest(stdout: Vec<u8>, stderr: Vec<u8>, rest: Vec<u8>) {
            let detail = Detail { stdout: stdout.into(), stderr: stderr.into(), seconds: 0.5 };
            let mut body = Vec::new();
            detail.encode(&mut body);
            body.extend_from_slice(&rest);
            let mut body = Bytes::from(body);
            prop_assert_eq!(Detail::take(&mut body), Some(detail));
            prop_assert_eq!(body, rest);
        }

        #[test]
        fn details_never_panic_on_any_bytes(body: Vec<u8>) {
            let _unread = Detail::take(&mut Bytes::from(body));
        }
    }
}
