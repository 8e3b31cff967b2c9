//! The payloads of a job's tasks, kept until each task has its outcome.

use std::collections::BTreeMap;

use bytes::Bytes;
use poolmap_proto::v1::TaskChunk;

/// The chunks of a job that still have tasks without an outcome, by the index of their first task.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    by_first: BTreeMap<u64, Chunk>,
    next_index: u64,
    bytes: usize,
}

/// Consecutive tasks in one buffer: the payload of the `i`-th lies before `ends[i]` and after the one before.
#[derive(Debug)]
struct Chunk {
    ends: Vec<u32>,
    payloads: Bytes,
    undone: usize,
}

/// Why a chunk was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ChunkError {
    #[error("a chunk begins at task {got} where task {wanted} follows")]
    NotContiguous { wanted: u64, got: u64 },
    #[error("the lengths of a chunk add up to {lengths} bytes, its payloads have {payloads}")]
    LengthsDisagree { lengths: u64, payloads: usize },
}

impl Chunks {
    /// Tasks received so far.
    pub(crate) fn tasks(&self) -> u64 {
        self.next_index
    }

    /// Memory held for tasks without an outcome, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all tasks of a chunk were received before.
    pub(crate) fn has(&self, chunk: &TaskChunk) -> bool {
        chunk.first_index.saturating_add(chunk.lengths.len() as u64) <= self.next_index
    }

    /// Appends what is new of a chunk; returns how many tasks that is. Tasks that were received before are ignored: their client
    /// was not sure.
    pub(crate) fn append(&mut self, mut chunk: TaskChunk) -> Result<u32, ChunkError> {
        let lengths: u64 = chunk.lengths.iter().map(|length| u64::from(*length)).sum();
        if lengths != chunk.payloads.len() as u64 || u32::try_from(lengths).is_err() {
            return Err(ChunkError::LengthsDisagree { lengths, payloads: chunk.payloads.len() });
        }
        let Some(known) = self.next_index.checked_sub(chunk.first_index) else {
            return Err(ChunkError::NotContiguous { wanted: self.next_index, got: chunk.first_index });
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(chunk.lengths.len());
        let known_bytes: u64 = chunk.lengths.drain(..known).map(u64::from).sum();
        chunk.payloads = chunk.payloads.slice(known_bytes as usize..);
        let mut ends = chunk.lengths;
        let mut end = 0;
        for length in &mut ends {
            end += *length;
            *length = end;
        }
        let tasks = ends.len();
        if tasks > 0 {
            let chunk = Chunk { ends, payloads: chunk.payloads, undone: tasks };
            self.bytes += chunk.bytes();
            self.by_first.insert(self.next_index, chunk);
            self.next_index += tasks as u64;
        }
        Ok(tasks as u32)
    }

    /// The tasks `first..first + count`, sharing the buffer they came in. `None` if they do not lie in one chunk.
    pub(crate) fn slice(&self, first: u64, count: u32) -> Option<TaskChunk> {
        let (start, chunk) = self.by_first.range(..=first).next_back()?;
        let from = usize::try_from(first - start).ok()?;
        let ends = chunk.ends.get(from..from.checked_add(count as usize)?)?;
        let begin = if from == 0 { 0 } else { *chunk.ends.get(from - 1)? };
        let mut previous = begin;
        let lengths = ends.iter().map(|end| end - std::mem::replace(&mut previous, *end)).collect();
        let payloads = chunk.payloads.slice(begin as usize..previous as usize);
        Some(TaskChunk { first_index: first, lengths, payloads })
    }

    /// The tasks `first..first + count` have their outcomes; chunks that are done are freed.
    pub(crate) fn done(&mut self, mut first: u64, count: u64) {
        let end = first.saturating_add(count);
        while first < end {
            let Some((&start, chunk)) = self.by_first.range_mut(..=first).next_back() else { return };
            let chunk_end = start + chunk.ends.len() as u64;
            let here = end.min(chunk_end).saturating_sub(first);
            if here == 0 {
                return;
            }
            chunk.undone = chunk.undone.saturating_sub(usize::try_from(here).unwrap_or(usize::MAX));
            if chunk.undone == 0 {
                self.bytes -= chunk.bytes();
                self.by_first.remove(&start);
            }
            first += here;
        }
    }
}

impl Chunk {
    fn bytes(&self) -> usize {
        self.payloads.len() + self.ends.len() * size_of::<u32>() + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(first_index: u64, payloads: &[&str]) -> TaskChunk {
        let lengths = payloads.iter().map(|payload| payload.len() as u32).collect();
        TaskChunk { first_index, lengths, payloads: payloads.concat().into() }
    }

    #[test]
    fn a_slice_has_the_payloads_of_its_tasks() -> Result<(), ChunkError> {
        let mut chunks = Chunks::default();
        chunks.append(chunk(0, &["a", "bb"]))?;
        chunks.append(chunk(2, &["", "ccc", "d"]))?;
        assert_eq!(chunks.slice(0, 2), Some(chunk(0, &["a", "bb"])));
        assert_eq!(chunks.slice(3, 2), Some(chunk(3, &["ccc", "d"])));
        assert_eq!(chunks.slice(1, 2), None, "a batch never spans two chunks");
        assert_eq!(chunks.slice(4, 2), None);
        Ok(())
    }

    #[test]
    fn a_chunk_is_freed_when_all_its_tasks_are_done() -> Result<(), ChunkError> {
        let mut chunks = Chunks::default();
        chunks.append(chunk(0, &["a", "b"]))?;
        chunks.append(chunk(2, &["c"]))?;
        chunks.done(1, 1);
        assert!(chunks.slice(0, 1).is_some());
        chunks.done(0, 1);
        assert!(chunks.slice(0, 1).is_none());
        chunks.done(2, 1);
        assert_eq!((chunks.bytes(), chunks.tasks()), (0, 3));
        Ok(())
    }

    #[test]
    fn tasks_of_several_chunks_can_be_done_at_once() -> Result<(), ChunkError> {
        let mut chunks = Chunks::default();
        for first in 0..5 {
            chunks.append(chunk(first, &["x"]))?;
        }
        chunks.done(0, 5);
        assert_eq!(chunks.bytes(), 0);
        Ok(())
    }

    #[test]
    fn tasks_that_come_again_are_ignored() -> Result<(), ChunkError> {
        let mut chunks = Chunks::default();
        chunks.append(chunk(0, &["a", "bb"]))?;
        assert_eq!(chunks.append(chunk(0, &["a", "bb"])), Ok(0));
        assert_eq!(chunks.append(chunk(1, &["bb", "ccc", "d"])), Ok(2));
        assert_eq!((chunks.slice(2, 2), chunks.tasks()), (Some(chunk(2, &["ccc", "d"])), 4));
        assert!(chunks.has(&chunk(3, &["d"])) && !chunks.has(&chunk(3, &["d", "e"])));
        Ok(())
    }

    #[test]
    fn chunks_that_contradict_themselves_are_refused() {
        let mut chunks = Chunks::default();
        let gap = chunks.append(chunk(7, &["a"]));
        assert_eq!(gap, Err(ChunkError::NotContiguous { wanted: 0, got: 7 }));
        let short = TaskChunk { first_index: 0, lengths: vec![3], payloads: Bytes::from_static(b"a") };
        assert_eq!(chunks.append(short), Err(ChunkError::LengthsDisagree { lengths: 3, payloads: 1 }));
    }
}
