//! `poolmap keeper`: ends what a worker leaves running when it is killed before it can do so itself.
//!
//! Children die with their worker by themselves, but not what *they* have started. A worker is therefore the leader of a
//! session, and has one keeper beside it, in another. When the worker ends without a word, the keeper kills all that is
//! left in its session, and removes its folder. Whoever has made a session of its own, as daemons do, is left alone.

use std::fs::OpenOptions;
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use poolmap_worker::os;

use crate::this_program;

/// Looks for what is left: processes that are being started while others are killed are found the next time.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

/// Wait for a worker's end.
#[derive(Args, Clone, Debug)]
pub(crate) struct KeeperArgs {
    /// The worker's session
    #[arg(long)]
    session: i32,
}

/// Waits at standard input, of which the worker has the other end. Its end without a word means that the worker was
/// killed.
pub(crate) fn run(args: &KeeperArgs) -> ExitCode {
    let mut word = [0];
    if !matches!(io::stdin().read(&mut word), Ok(1)) {
        let worker = Pid::from_raw(args.session);
        kill_session(worker);
        remove_folder(worker);
    }
    ExitCode::SUCCESS
}

fn kill_session(session: Pid) {
    for _ in 0..ROUNDS {
        let left = os::session_members(session);
        if left.is_empty() {
            return;
        }
        for process in left {
            let _gone = kill(process, Signal::SIGKILL);
        }
        thread::sleep(PAUSE);
    }
}

fn remove_folder(worker: Pid) {
    let parent = std::env::temp_dir();
    for _ in 0..ROUNDS {
        if poolmap_worker::remove_abandoned_by(worker, &parent) {
            return;
        }
        thread::sleep(PAUSE);
    }
}

/// The keeper of this process.
pub(crate) struct Keeper {
    pid: Pid,
    line: PipeWriter,
}

impl Keeper {
    /// Starts one, if this process leads a session; what belongs to somebody else's session is not to be killed.
    pub(crate) fn start() -> io::Result<Option<Self>> {
        let own = Pid::this();
        if getsid(None)? != own {
            return Ok(None);
        }
        let (reader, line) = io::pipe()?;
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        let words = ["keeper".into(), "--session".into(), own.to_string().into()];
        let pid = this_program::start(words, [reader.as_fd(), null.as_fd(), null.as_fd()], false)?;
        Ok(Some(Self { pid, line }))
    }

    /// Sends it away, since this process ends what it has started by itself.
    pub(crate) fn dismiss(mut self) {
        // It may have been killed.
        let _gone = self.line.write_all(b".");
        let _ended = os::wait(self.pid);
    }
}
