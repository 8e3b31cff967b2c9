//! The input files: the same bytes in every run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The argument tuple of task `index`.
pub(crate) fn tuple(index: usize) -> [usize; 3] {
    [index, index + 1, index + 2]
}

/// What `do_work` makes of it.
pub(crate) fn pokemon(index: usize) -> String {
    let [a, b, c] = tuple(index);
    format!("Pokemon#{a}{b}{c}")
}

/// `count` tuples as JSON Lines.
pub(crate) fn tuples(folder: &Path, count: usize) -> Result<PathBuf> {
    write(
        folder,
        &format!("tuples-{count}.jsonl"),
        (0..count).map(|index| {
            let [a, b, c] = tuple(index);
            format!("[{a},{b},{c}]")
        }),
    )
}

/// `count` lines of three words, which are the tuples.
pub(crate) fn words(folder: &Path, count: usize) -> Result<PathBuf> {
    write(folder, &format!("words-{count}.txt"), words_of(count))
}

/// The lines of [`words`].
pub(crate) fn words_of(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|index| {
        let [a, b, c] = tuple(index);
        format!("{a} {b} {c}")
    })
}

/// `count` lines of one number each.
pub(crate) fn numbers(folder: &Path, count: usize) -> Result<PathBuf> {
    write(folder, &format!("numbers-{count}.txt"), (0..count).map(|index| index.to_string()))
}

/// `count` durations in milliseconds, 95 % of them 1 and the others 50.
pub(crate) fn uneven(count: usize, are_long_last: bool) -> Vec<u32> {
    let long = count / 20;
    let mut durations: Vec<u32> = (0..count).map(|index| if index < count - long { 1 } else { 50 }).collect();
    if !are_long_last {
        durations.shuffle(&mut StdRng::seed_from_u64(2));
    }
    durations
}

/// One call of one number a line.
pub(crate) fn durations(folder: &Path, name: &str, durations: &[u32]) -> Result<PathBuf> {
    write(folder, name, durations.iter().map(|ms| format!("[{ms}]")))
}

/// `count` calls with a string of so many bytes, each another one.
pub(crate) fn payloads(folder: &Path, count: usize, bytes: usize) -> Result<PathBuf> {
    write(
        folder,
        &format!("payloads-{count}.jsonl"),
        (0..count).map(|index| format!("[\"{}\"]", payload(index, bytes))),
    )
}

/// The string of task `index`.
pub(crate) fn payload(index: usize, bytes: usize) -> String {
    let mut text = index.to_string();
    text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
    text
}

/// The file `name` with these lines.
pub(crate) fn write(folder: &Path, name: &str, lines: impl Iterator<Item = String>) -> Result<PathBuf> {
    let path = folder.join(name);
    let mut file =
        BufWriter::new(File::create(&path).with_context(|| format!("writing {}", path.display()))?);
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(path)
}
