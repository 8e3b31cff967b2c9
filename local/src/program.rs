//! The `poolmap` program, started to play one of its parts.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use nix::unistd::Pid;
use poolmap_worker::os;

/// Starts the program at `path` with these arguments and standard streams, in a session of its own. Where it `dies_with_parent`,
/// the parent is the thread that calls this.
pub fn start(
    path: &Path,
    words: impl IntoIterator<Item = OsString>,
    streams: [BorrowedFd<'_>; 3],
    dies_with_parent: bool,
) -> io::Result<Pid> {
    let words = std::iter::once("poolmap".into()).chain(words);
    let arguments = words.map(|word| CString::new(word.into_vec())).collect::<Result<Vec<_>, _>>()?;
    let variables = std::env::vars_os()
        .map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='))
        .map(CString::new);
    let environment = variables.collect::<Result<Vec<_>, _>>()?;
    let [stdin, stdout, stderr] = streams;
    let spawn = os::Spawn {
        program: &os::Program::find(path.as_os_str().as_bytes(), None)?,
        arguments: &arguments,
        environment: &environment,
        directory: None,
        descriptors: &[(stdin, 0), (stdout, 1), (stderr, 2)],
        own_group: true,
        own_session: true,
        die_with_parent: dies_with_parent,
    };
    spawn.start().map_err(|error| error.error)
}
