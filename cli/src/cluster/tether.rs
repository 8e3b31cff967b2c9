//! A worker at the end of a line: it lives no longer than the standard input of the process that started it stays open.
//!
//! The line is a pipe on this machine, and a connection of ssh on another one; either ends when its other end dies, in whatever
//! way. What comes through it first is the access file, which the worker gets in memory: no host has it on its disk.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poolmap_worker::os;
use tokio::sync::oneshot;

use crate::exit::Failure;
use crate::signals::Signals;
use crate::this_program;

/// Time that a worker has to end by itself once its line is cut: the second signal ends it at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Far more than any access file has.
const MAX_ACCESS_BYTES: u64 = 1 << 20;
/// What a shell adds to the number of the signal that has ended a process.
const SIGNALLED: i32 = 128;

/// Run a worker for as long as standard input stays open
#[derive(Args, Clone, Debug)]
pub(crate) struct TetherArgs {
    /// Bytes of the access file, which come first
    #[arg(long)]
    access_bytes: u64,

    /// Flags of `poolmap worker`
    #[arg(last = true)]
    flags: Vec<OsString>,
}

/// Runs the worker to its end. Call this on the main thread, for the worker dies with it.
pub(crate) fn run(args: TetherArgs) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("starting a worker"))?;
    let access = receive(args.access_bytes).map_err(Failure::system("receiving the access file"))?;
    let mut words: Vec<OsString> = vec!["worker".into(), "--access=/proc/self/fd/0".into()];
    words.extend(args.flags);
    let status = runtime.block_on(tethered(words, &access))?;
    let code = status.code().or_else(|| Some(SIGNALLED + status.signal()?));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A file in memory that is as private as access files must be.
fn receive(bytes: u64) -> io::Result<File> {
    let mut access = os::capture_file()?;
    access.set_permissions(Permissions::from_mode(0o600))?;
    let received = io::copy(&mut io::stdin().lock().take(bytes.min(MAX_ACCESS_BYTES)), &mut access)?;
    if received == bytes { Ok(access) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn tethered(words: Vec<OsString>, access: &File) -> Result<ExitStatus, Failure> {
    let starting = || Failure::system("starting a worker");
    let mut signals = Signals::new()?;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let worker = this_program::start(words, [access.as_fd(), stdout.as_fd(), stderr.as_fd()], true)
        .map_err(starting())?;
    let ended = os::exit_notice(worker).map_err(starting())?;
    let mut cut = line_end();
    loop {
        tokio::select! {
            _readable = ended.readable() => break,
            () = signals.next() => send(worker, Signal::SIGTERM),
            _closed = &mut cut => {
                end(worker, &ended).await;
                break;
            }
        }
    }
    let (status, _peak) = os::wait(worker).map_err(Failure::system("waiting for the worker"))?;
    Ok(status)
}

/// Asks a worker to leave, has it leave at once if it still runs something, and kills it if it does not.
async fn end(worker: Pid, ended: &os::ExitNotice) {
    for signal in [Signal::SIGTERM, Signal::SIGTERM, Signal::SIGKILL] {
        send(worker, signal);
        if tokio::time::timeout(PATIENCE, ended.readable()).await.is_ok() {
            return;
        }
    }
}

fn send(worker: Pid, signal: Signal) {
    // It was not waited for yet, so this is the worker or nobody.
    let _gone = kill(worker, signal);
}

/// Completes when standard input has ended. Nothing is expected to come through it any more.
pub(super) fn line_end() -> oneshot::Receiver<()> {
    let (closed, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _read = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _nobody = closed.send(());
    });
    end
}
