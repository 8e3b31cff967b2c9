//! This program, started again to play another part.

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use nix::unistd::Pid;
use poolmap_local::program;

/// Its file may have been replaced since it was started; the kernel still knows it.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// Starts it with these arguments and standard streams, in a session of its own. Where it `dies_with_parent`, the parent is the
/// thread that calls this.
pub(crate) fn start(
    words: impl IntoIterator<Item = OsString>,
    streams: [BorrowedFd<'_>; 3],
    dies_with_parent: bool,
) -> io::Result<Pid> {
    program::start(Path::new(THIS_PROGRAM), words, streams, dies_with_parent)
}
