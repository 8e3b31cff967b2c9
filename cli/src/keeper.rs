//! `poolmap keeper`: ends what a worker leaves running when it is killed before it can do so itself.
//!
//! Children die with their worker by themselves, but not what *they* have started. A worker is therefore the leader of a
//! session, and has one keeper beside it, in another. When the worker ends without a word, the keeper kills all that is
//! left in its session. Whoever has made a session of its own, as daemons do, is left alone.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use poolmap_worker::os;

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
        kill_session(Pid::from_raw(args.session));
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
        let pid = start(own, &reader.as_fd().try_clone_to_owned()?.into(), &null)?;
        Ok(Some(Self { pid, line }))
    }

    /// Sends it away, since this process ends what it has started by itself.
    pub(crate) fn dismiss(mut self) {
        // It may have been killed.
        let _gone = self.line.write_all(b".");
        let _ended = os::wait(self.pid);
    }
}

fn start(session: Pid, stdin: &File, null: &File) -> io::Result<Pid> {
    let words = ["poolmap", "keeper", "--session", &session.to_string()];
    let arguments = words.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
    let variables = std::env::vars_os()
        .map(|(name, value)| [name.into_vec(), value.into_vec()].join(&b'='))
        .map(CString::new);
    let environment = variables.collect::<Result<Vec<_>, _>>()?;
    let spawn = os::Spawn {
        program: &os::Program::find(crate::THIS_PROGRAM, None)?,
        arguments: &arguments,
        environment: &environment,
        directory: None,
        descriptors: &[(stdin.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)],
        own_group: true,
        own_session: true,
        die_with_parent: false,
    };
    spawn.start().map_err(|error| error.error)
}
