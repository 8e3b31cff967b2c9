//! Tasks on their way to the coordinator: payloads end to end in one buffer.

use bytes::Bytes;

/// Consecutive tasks. The payload of each is what its function reads: for functions a JSON array or object, for commands the
/// values, each followed by a NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of each payload.
    pub lengths: Vec<u32>,
    /// The payloads, end to end; at most 4 GiB in all.
    pub payloads: Bytes,
}

impl Chunk {
    /// Tasks in this chunk.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

impl<P: AsRef<[u8]>> FromIterator<P> for Chunk {
    fn from_iter<I: IntoIterator<Item = P>>(payloads: I) -> Self {
        let (mut lengths, mut buffer) = (Vec::new(), Vec::new());
        for payload in payloads {
            lengths.push(payload.as_ref().len() as u32);
            buffer.extend_from_slice(payload.as_ref());
        }
        Self { lengths, payloads: buffer.into() }
    }
}
