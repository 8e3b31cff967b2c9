//! What the fuzzer calls, and the test that replays its stored corpus: input as users give it, given to the readers of
//! production. Not part of any other build.

use std::io::{self, Read};
use std::num::NonZeroUsize;

use serde::de::IgnoredAny;

use super::function::JsonTasks;
use super::records::Records;
use super::source::Source;
use super::values::{Split, ValueRows, ValueTasks};
use super::{Chunk, Form, TaskReader};

/// Input in JSON Lines, for functions and for commands. The first byte says in how large pieces it comes.
///
/// # Panics
///
/// If tasks come out that the other end could not read, or others than when it comes in one piece.
pub fn json_lines(input: &[u8]) {
    let Some((&step, input)) = input.split_first() else { return };
    let step = usize::from(step) + 1;
    let functions = |step| JsonTasks { lines: records(input, step) };
    let tasks = read_all(functions(step));
    assert_eq!(tasks, read_all(functions(input.len() + 1)), "tasks of functions, by the size of reads");
    for payload in &tasks {
        assert!(matches!(payload.first(), Some(b'[' | b'{')) && !payload.contains(&b'\n'), "{payload:?}");
    }
    // As a batch travels to Python.
    let batch = [b"[".as_slice(), &tasks.join(&b','), b"]"].concat();
    let parsed = serde_json::from_slice::<Vec<IgnoredAny>>(&batch).map(|values| values.len());
    assert!(parsed.is_ok_and(|count| count == tasks.len()), "a batch that is not JSON: {batch:?}");

    let commands = |step| {
        let rows = ValueRows::Records { records: records(input, step), split: Split::Json };
        ValueTasks::new(rows, NonZeroUsize::MIN)
    };
    let tasks = read_all(commands(step));
    assert_eq!(tasks, read_all(commands(input.len() + 1)), "tasks of commands, by the size of reads");
    assert!(
        tasks.iter().all(|values| values.last().is_none_or(|last| *last == 0)),
        "a value without its NUL"
    );
}

/// The payloads of all tasks before the first error.
fn read_all(form: impl Form + 'static) -> Vec<Vec<u8>> {
    let mut reader = TaskReader::new(form, Vec::new());
    let mut tasks = Vec::new();
    while let Ok(Some(Chunk { lengths, mut payloads })) = reader.next_chunk() {
        tasks.extend(lengths.iter().map(|length| payloads.split_to(*length as usize).to_vec()));
        assert!(payloads.is_empty(), "payloads of no task");
    }
    tasks
}

fn records(input: &[u8], step: usize) -> Records {
    let pieces = Pieces { rest: input.to_vec(), step };
    Records::of(Source::new("input".to_owned(), Box::new(pieces)), b'\n')
}

/// Gives at most so many bytes a read.
struct Pieces {
    rest: Vec<u8>,
    step: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(self.rest.len());
        let read = self.rest.as_slice().read(buffer.get_mut(..count).unwrap_or_default())?;
        self.rest.drain(..read);
        Ok(read)
    }
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "a test that fails names the input that was replayed last")]
mod tests {
    use std::path::Path;
    use std::{fs, io};

    #[test]
    fn whatever_the_input_its_tasks_can_be_read() -> io::Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/json_lines");
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            println!("replaying {}", path.display());
            super::json_lines(&fs::read(path)?);
        }
        Ok(())
    }
}
