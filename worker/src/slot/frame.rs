//! Frames on a slot's socket: a fixed header of 48 bytes, little-endian, and a body.
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..4 | kind | see [`Kind`] |
//! | 4..8 | function | number of the function, given by the pool |
//! | 8..12 | count | tasks in a batch |
//! | 12..16 | attempt | attempt number of all tasks of a batch |
//! | 16..24 | sequence | first task of a batch; the task after the last one run; the record's task |
//! | 24..32 | index | index in its job of a batch's first task; number of a function; peak memory of a child that has ended, in bytes |
//! | 32..40 | value | done: nanoseconds since the batch frame was taken up |
//! | 40..48 | length | bytes of the body that follows |

use bytes::{Buf as _, BufMut as _};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 48;

/// What a frame says. To the runner: the first four and `Define`; from the runner: the five between; the last three are for the prepared
/// parent of Python children, on a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Load a function. The body is the runner's own business: JSON for Python, an encoded `JobStarted` else.
    /// Answered by `Ready` or `Refused`.
    Function = 1,
    /// Run tasks. The body is `count` lengths (u32 each), then the payloads: joined by commas for Python (so
    /// that a batch is one JSON text), end to end for the others. The lengths do not count the commas.
    Batch = 2,
    /// The area has been read: write from its beginning again.
    Drained = 3,
    /// Exit after the frames before this one. The end of the stream means the same.
    Exit = 4,
    /// The function is loaded. The body is empty but for Python: JSON with `executable` and `version`.
    Ready = 5,
    /// The function cannot be loaded; the body says why, in UTF-8, for the user.
    Refused = 6,
    /// All tasks of a batch frame below `sequence` have ended, and no other of this frame will begin.
    Done = 7,
    /// The area is full: the record of task `sequence` does not fit.
    Full = 8,
    /// The body is the record of task `sequence`, too large for the area.
    Large = 9,
    /// One more function of a job of pickled calls: `index` is its number in the job's list, the body is the runner's own
    /// business. Not answered.
    Define = 10,
    /// To a prepared parent: fork a child that serves `count` slots; the end of its pipe for what it prints, and their sockets
    /// and maps, come with the header.
    Fork = 16,
    /// From a prepared parent: the child asked for is process `sequence`.
    Forked = 17,
    /// From a prepared parent: its child `sequence` has ended, with `value` as its raw wait status and `index` as the most
    /// memory it ever had resident, in bytes.
    Exited = 18,
}

impl Kind {
    fn from_u32(value: u32) -> Option<Self> {
        use Kind::{
            Batch, Define, Done, Drained, Exit, Exited, Fork, Forked, Full, Function, Large, Ready, Refused,
        };
        [Function, Batch, Drained, Exit, Ready, Refused, Done, Full, Large, Define, Fork, Forked, Exited]
            .into_iter()
            .find(|kind| *kind as u32 == value)
    }
}

/// A frame's header; fields that a kind does not use are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame says.
    pub kind: Kind,
    /// Number of the function, given by the pool.
    pub function: u32,
    /// Tasks in a batch.
    pub count: u32,
    /// Attempt number of all tasks of a batch.
    pub attempt: u32,
    /// See the table above.
    pub sequence: u64,
    /// See the table above.
    pub index: u64,
    /// See the table above.
    pub value: u64,
    /// Bytes of the body.
    pub length: u64,
}

/// A header that no end of the protocol writes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a frame of unknown kind {0}")]
pub struct UnknownKind(pub u32);

impl Header {
    /// A header of `kind` with everything else 0.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, function: 0, count: 0, attempt: 0, sequence: 0, index: 0, value: 0, length: 0 }
    }

    /// The header as it travels.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = bytes.as_mut_slice();
        out.put_u32_le(self.kind as u32);
        out.put_u32_le(self.function);
        out.put_u32_le(self.count);
        out.put_u32_le(self.attempt);
        out.put_u64_le(self.sequence);
        out.put_u64_le(self.index);
        out.put_u64_le(self.value);
        out.put_u64_le(self.length);
        bytes
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, UnknownKind> {
        let mut bytes = bytes.as_slice();
        let kind = bytes.get_u32_le();
        Ok(Self {
            kind: Kind::from_u32(kind).ok_or(UnknownKind(kind))?,
            function: bytes.get_u32_le(),
            count: bytes.get_u32_le(),
            attempt: bytes.get_u32_le(),
            sequence: bytes.get_u64_le(),
            index: bytes.get_u64_le(),
            value: bytes.get_u64_le(),
            length: bytes.get_u64_le(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_survives_its_journey(
            kind in prop_oneof![1_u32..=10, 16_u32..=18], function: u32, count: u32, attempt: u32,
            sequence: u64, index: u64, value: u64, length: u64,
        ) {
            let header = Header {
                kind: Kind::from_u32(kind).ok_or_else(|| TestCaseError::fail("kind"))?,
                function, count, attempt, sequence, index, value, length,
            };
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes: [u8; HEADER_BYTES]) {
            let kind = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            match Header::decode(&bytes) {
                Ok(header) => prop_assert_eq!(header.encode(), bytes),
                Err(UnknownKind(unknown)) => prop_assert_eq!(unknown, kind),
            }
        }
    }
}
