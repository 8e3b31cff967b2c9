//! This program as others know it: where it is, and by which name its copies on other hosts go.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use ring::digest::{Context, SHA256};

/// The kernel knows it even when its file was replaced since it was started.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";
/// Hexadecimal digits of the checksum in a copy's name: enough to tell builds apart, which is all that it is for.
const DIGITS: usize = 16;

/// Where this program is, for hosts that share the file system.
pub(crate) fn path() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// A name for this very build: its version and the beginning of its checksum. Reads the whole file.
pub(crate) fn build_name() -> io::Result<String> {
    let mut file = File::open(OWN_PROGRAM)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        match buffer.get(..length) {
            Some(bytes) if !bytes.is_empty() => context.update(bytes),
            _ => break,
        }
    }
    let digest = context.finish();
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).take(DIGITS / 2).collect();
    Ok(format!("{}-{digits}", env!("CARGO_PKG_VERSION")))
}
