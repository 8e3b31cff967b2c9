//! What the fuzzer calls, and the tests that replay its stored corpus: bytes from workers and clients, given to the code that
//! reads them in production. Not part of any other build.

use bytes::Bytes;
use poolmap_proto::v1::{AddTasksRequest, TaskChunk};
use prost::Message as _;

use crate::chunks::{ChunkError, Chunks};
use crate::core::trial;

/// What workers say to a coordinator that holds a job: see [`trial`].
///
/// # Panics
///
/// If a task of the job has not exactly one outcome in the end, or an invariant of the scheduler does not hold.
pub fn worker_message(script: &[u8]) {
    trial::play(script);
}

/// Tasks as a client sends them: the first byte says in which steps they are handed out and done, the others are an
/// `AddTasksRequest`.
///
/// # Panics
///
/// If payloads get lost or memory is still held for tasks that are done.
pub fn task_chunk(input: &[u8]) {
    let Some((&step, request)) = input.split_first() else { return };
    let Ok(AddTasksRequest { chunk: Some(chunk), .. }) = AddTasksRequest::decode(request) else { return };
    let mut chunks = Chunks::default();
    let before = TaskChunk { first_index: 0, lengths: vec![1, 2], payloads: Bytes::from_static(b"abb") };
    assert_eq!(chunks.append(before), Ok(2), "two tasks");
    if chunk.first_index > 2
        && Chunks::default().append(TaskChunk { first_index: 0, ..chunk.clone() }).is_ok()
    {
        let gap = ChunkError::NotContiguous { wanted: 2, got: chunk.first_index };
        assert_eq!(chunks.append(chunk.clone()), Err(gap), "a gap");
    }
    let chunk = TaskChunk { first_index: 2, ..chunk };
    if chunks.append(chunk.clone()).is_ok() {
        assert_eq!(payloads(&chunks, step), [b"abb".as_slice(), &chunk.payloads].concat(), "all payloads");
    }
    let (tasks, step) = (chunks.tasks(), u64::from(step) + 1);
    // Backwards, so that chunks are freed in another order than they came.
    for first in (0..tasks).step_by(step as usize).collect::<Vec<_>>().into_iter().rev() {
        chunks.done(first, step.min(tasks - first));
    }
    assert_eq!((chunks.bytes(), chunks.slice(0, 1)), (0, None), "memory held for tasks that are done");
}

/// All payloads, handed out in batches of at most `step + 1` tasks.
fn payloads(chunks: &Chunks, step: u8) -> Vec<u8> {
    let (mut all, mut first) = (Vec::new(), 0);
    while first < chunks.tasks() {
        // No batch spans two chunks, so the last one of a chunk is shorter.
        let batch = (1..=u32::from(step) + 1).rev().find_map(|count| chunks.slice(first, count));
        let Some(batch) = batch else { break };
        first += batch.lengths.len() as u64;
        all.extend_from_slice(&batch.payloads);
    }
    all
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use std::io;

    use super::replay::replay;

    #[test]
    fn whatever_workers_say_each_task_gets_one_outcome() -> io::Result<()> {
        replay("worker_message", super::worker_message)
    }

    #[test]
    fn whatever_a_client_adds_no_payload_is_lost() -> io::Result<()> {
        replay("task_chunk", super::task_chunk)
    }
}
