//! Chunks of tasks, and the draft in which one is put together.

use bytes::Bytes;

/// Tasks a chunk may hold.
const MAX_TASKS: usize = 16_384;
/// Bytes of payload from which a chunk takes no further task.
const FULL_BYTES: usize = 256 << 10;

/// Consecutive tasks, in input order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of each payload.
    pub lengths: Vec<u32>,
    /// The payloads, end to end.
    pub payloads: Bytes,
}

/// A chunk while it grows.
#[derive(Default)]
pub(super) struct Draft {
    lengths: Vec<u32>,
    payloads: Vec<u8>,
}

impl Draft {
    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.lengths.len() >= MAX_TASKS || self.payloads.len() >= FULL_BYTES
    }

    /// Adds a task with this payload.
    pub(super) fn push(&mut self, payload: &[u8]) {
        self.payloads.extend_from_slice(payload);
        self.lengths.push(payload.len() as u32);
    }

    /// Adds a task whose payload is what `write` appends.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.payloads.len();
        write(&mut self.payloads);
        self.lengths.push((self.payloads.len() - begin) as u32);
    }

    /// Adds a task whose payload is what `write` appends; adds nothing if that fails.
    pub(super) fn try_push_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = self.payloads.len();
        write(&mut self.payloads).inspect_err(|_| self.payloads.truncate(begin))?;
        self.lengths.push((self.payloads.len() - begin) as u32);
        Ok(())
    }

    /// The chunk, if there is any task in it.
    pub(super) fn finish(self) -> Option<Chunk> {
        (!self.is_empty()).then(|| Chunk { lengths: self.lengths, payloads: Bytes::from(self.payloads) })
    }
}
