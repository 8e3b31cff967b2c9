//! The process that a shell sees of a worker that it has started: it waits for the worker and passes signals on.
//!
//! A worker leads a session, so that its keeper can tell what it has started from everything else. A process that a shell has
//! started cannot begin a session, but what it starts can. The worker dies with this process.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitCode;

use nix::sys::signal::{Signal, kill};
use poolmap_worker::os;

use crate::exit::Failure;
use crate::signals::Signals;
use crate::this_program;

/// What a shell adds to the number of the signal that has ended a process.
const SIGNALLED: i32 = 128;

/// Runs the worker of this command line in a session of its own. Call this on the main thread.
pub(super) async fn run() -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    let starting = || Failure::system("starting a worker");
    let null = std::fs::File::open("/dev/null").map_err(starting())?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let streams = [null.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let worker = this_program::start(std::env::args_os().skip(1), streams, true).map_err(starting())?;
    let notice = os::exit_notice(worker).map_err(starting())?;
    loop {
        tokio::select! {
            _readable = notice.readable() => break,
            () = signals.next() => {
                let _gone = kill(worker, Signal::SIGTERM);
            }
        }
    }
    let (status, _peak) = os::wait(worker).map_err(Failure::system("waiting for the worker"))?;
    let code = status.code().or_else(|| Some(SIGNALLED + status.signal()?));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
