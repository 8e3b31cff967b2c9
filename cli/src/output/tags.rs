//! The inputs of tasks that have no outcome yet, for `--tag`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::input::Chunk;

/// Inputs of a command's tasks, from when they are read until their output is written.
///
/// Chunks share their payloads with what is sent, so what this holds is bounded by the tasks in flight.
#[derive(Default)]
pub struct Tags {
    chunks: Mutex<BTreeMap<u64, Tagged>>,
}

/// A chunk of which some tasks have no outcome yet.
struct Tagged {
    /// Where each payload ends.
    ends: Vec<usize>,
    payloads: Bytes,
    tasks_left: usize,
}

impl Tags {
    /// Remembers a chunk before it is sent; its first task has this index.
    pub fn insert(&self, first_index: u64, chunk: &Chunk) {
        let end = |sum: &mut usize, &length: &u32| {
            *sum += length as usize;
            Some(*sum)
        };
        let ends: Vec<usize> = chunk.lengths.iter().scan(0, end).collect();
        let tagged = Tagged { tasks_left: ends.len(), ends, payloads: chunk.payloads.clone() };
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).insert(first_index, tagged);
    }

    /// The tag of a task: its values, with spaces between. Taken once; a chunk is forgotten with its last task.
    pub(super) fn take(&self, index: u64) -> Vec<u8> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((&first, chunk)) = chunks.range_mut(..=index).next_back() else { return Vec::new() };
        let tag = chunk.tag((index - first) as usize);
        chunk.tasks_left = chunk.tasks_left.saturating_sub(1);
        if chunk.tasks_left == 0 {
            chunks.remove(&first);
        }
        tag
    }
}

impl Tagged {
    fn tag(&self, place: usize) -> Vec<u8> {
        let begin = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(place).copied().unwrap_or(begin);
        let payload = self.payloads.get(begin..end).unwrap_or_default();
        let values = payload.strip_suffix(b"\0").unwrap_or(payload);
        values.iter().map(|&byte| if byte == 0 { b' ' } else { byte }).collect()
    }
}
