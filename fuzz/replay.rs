//! Gives a fuzz target its stored inputs again. A module of the tests of each crate that is fuzzed.
#![expect(clippy::print_stdout, reason = "a test that fails names the input that was replayed last")]

use std::path::Path;
use std::{fs, io};

/// Runs all stored inputs of a target.
pub(crate) fn replay(target: &str, run: impl Fn(&[u8])) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        println!("replaying {}", path.display());
        run(&fs::read(path)?);
    }
    Ok(())
}
