//! What is appended to a job becomes requests, none of them larger than the coordinator takes.

use bytes::Bytes;
use poolmap_proto::v1::{AddTasksRequest, FunctionList, TaskChunk};
use poolmap_proto::{ENVELOPE_BYTES, MAX_TAKEN_BYTES};

use crate::chunk::Chunk;
use crate::error::ClientError;

/// What a payload or function takes in a message beside its own bytes, at most.
const ITEM_BYTES: usize = 8;

/// Functions, and the tasks that may name them.
#[derive(Debug)]
pub(crate) struct Addition {
    pub(crate) job_id: u64,
    pub(crate) functions: FunctionList,
    pub(crate) first_index: u64,
    pub(crate) chunk: Chunk,
}

impl Addition {
    /// In one request if that may have so many bytes, else in several: functions come before tasks.
    pub(crate) fn into_requests(self, max_bytes: usize) -> Result<Vec<AddTasksRequest>, ClientError> {
        let Self { job_id, functions: FunctionList { first, functions }, first_index, chunk } = self;
        let request = |functions: FunctionList, chunk| AddTasksRequest {
            job_id,
            chunk: Some(chunk),
            last: false,
            functions: (!functions.functions.is_empty()).then_some(functions),
        };
        let tasks: Vec<usize> = chunk.lengths.iter().map(|length| *length as usize).collect();
        let room = max_bytes.saturating_sub(ENVELOPE_BYTES);
        let bytes: usize =
            functions.iter().map(Bytes::len).chain(tasks.iter().copied()).map(in_message).sum();
        if bytes <= room {
            let chunk = TaskChunk { first_index, lengths: chunk.lengths, payloads: chunk.payloads };
            return Ok(vec![request(FunctionList { first, functions }, chunk)]);
        }
        let too_large = |what| move |bytes| ClientError::TooLarge { what, bytes, limit: Some(max_bytes) };
        let mut requests = Vec::new();
        let (mut functions, mut number) = (functions.into_iter(), first);
        let lengths: Vec<usize> = functions.as_slice().iter().map(Bytes::len).collect();
        for count in groups(&lengths, room).map_err(|(_, bytes)| too_large("a function".to_owned())(bytes))? {
            let list = FunctionList { first: number, functions: functions.by_ref().take(count).collect() };
            requests.push(request(list, TaskChunk { first_index, ..TaskChunk::default() }));
            number += count as u64;
        }
        let (mut lengths, mut payloads, mut index) = (chunk.lengths.into_iter(), chunk.payloads, first_index);
        let groups = groups(&tasks, room);
        let groups = groups
            .map_err(|(place, bytes)| too_large(format!("task {}", first_index + place as u64))(bytes))?;
        for count in groups {
            let lengths: Vec<u32> = lengths.by_ref().take(count).collect();
            let bytes: usize = lengths.iter().map(|length| *length as usize).sum();
            let payloads = payloads.split_to(bytes.min(payloads.len()));
            requests
                .push(request(FunctionList::default(), TaskChunk { first_index: index, lengths, payloads }));
            index += count as u64;
        }
        Ok(requests)
    }
}

/// The largest message that a coordinator takes, as it says; 0: it does not.
pub(crate) fn taken(max_message_bytes: u64) -> usize {
    match usize::try_from(max_message_bytes) {
        Ok(0) | Err(_) => MAX_TAKEN_BYTES,
        Ok(max_message_bytes) => max_message_bytes,
    }
}

/// How large a task or function may be that is to go into a message of this size.
pub(crate) fn max_item_bytes(max_message_bytes: usize) -> usize {
    max_message_bytes.saturating_sub(ENVELOPE_BYTES + ITEM_BYTES)
}

fn in_message(length: usize) -> usize {
    length + ITEM_BYTES
}

/// How many consecutive items go together, so that each group has room. The error is the place of one that is too large even
/// alone, and its length.
fn groups(lengths: &[usize], room: usize) -> Result<Vec<usize>, (usize, usize)> {
    let (mut groups, mut used) = (Vec::new(), usize::MAX);
    for (place, length) in lengths.iter().copied().enumerate() {
        let bytes = in_message(length);
        if bytes > room {
            return Err((place, length));
        }
        match groups.last_mut() {
            Some(count) if used + bytes <= room => {
                *count += 1;
                used += bytes;
            }
            _ => {
                groups.push(1);
                used = bytes;
            }
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    const MAX_BYTES: usize = ENVELOPE_BYTES + 100;

    fn addition(functions: &[usize], tasks: &[usize]) -> Addition {
        let functions = functions.iter().map(|length| vec![b'f'; *length].into()).collect();
        let functions = FunctionList { first: 5, functions };
        let chunk = tasks.iter().map(|length| vec![b't'; *length]).collect();
        Addition { job_id: 1, functions, first_index: 70, chunk }
    }

    /// Number of the first function and lengths of all, index of the first task and lengths of all.
    type Shape = (Option<u64>, Vec<usize>, u64, Vec<u32>);

    fn shape(requests: &[AddTasksRequest]) -> Vec<Shape> {
        let shape = requests.iter().map(|request| {
            let (functions, chunk) = (request.functions.as_ref(), request.chunk.clone().unwrap_or_default());
            let lengths = functions.iter().flat_map(|list| &list.functions).map(Bytes::len).collect();
            (functions.map(|list| list.first), lengths, chunk.first_index, chunk.lengths)
        });
        shape.collect()
    }

    #[test]
    fn what_fits_is_one_request() -> Result<(), ClientError> {
        let requests = addition(&[10], &[20, 0, 30]).into_requests(MAX_BYTES)?;
        assert_eq!(shape(&requests), [(Some(5), vec![10], 70, vec![20, 0, 30])]);
        Ok(())
    }

    #[test]
    fn what_does_not_is_several_with_functions_before_tasks() -> Result<(), ClientError> {
        let requests = addition(&[40, 40, 40], &[92, 10, 10]).into_requests(MAX_BYTES)?;
        let expected = [
            (Some(5), vec![40, 40], 70, vec![]),
            (Some(7), vec![40], 70, vec![]),
            (None, vec![], 70, vec![92]),
            (None, vec![], 71, vec![10, 10]),
        ];
        assert_eq!(shape(&requests), expected);
        assert!(requests.iter().all(|request| request.encoded_len() <= MAX_BYTES));
        Ok(())
    }

    #[test]
    fn a_task_or_function_that_does_not_fit_alone_is_named() {
        let said = |functions: &[usize], tasks: &[usize]| {
            let refused = addition(functions, tasks).into_requests(MAX_BYTES).err();
            refused.map(|error| error.to_string()).unwrap_or_default()
        };
        let task = said(&[], &[10, 93, 10]);
        assert!(task.starts_with("task 71 takes 93 B, and") && task.contains("--max-message-size"), "{task}");
        let function = said(&[10, 93], &[10]);
        assert!(function.starts_with("a function takes 93 B, and"), "{function}");
    }
}
