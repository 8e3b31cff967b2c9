//! A child of the pool: a process, or a thread of this one, and how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytesize::ByteSize;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use poolmap_proto::v1::{Failure, FailureKind};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::os;
use crate::slot::map::SlotMap;
use crate::stderr::Tail;

/// Time a child that has nothing more to do gets to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// Time a task that is interrupted gets to tidy up.
const INTERRUPT_GRACE: Duration = Duration::from_secs(1);

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A process, with what the system says of it.
    Process {
        status: ExitStatus,
        /// The most memory it ever had resident, where that is known.
        peak_rss_bytes: Option<u64>,
        /// What it printed last, over all its life; without a newline at the end.
        last_lines: String,
    },
    /// A thread, which returned or panicked.
    Thread,
    /// A process whose parent died before it could tell.
    Unknown,
}

/// A child, seen from a slot. Several slots share one when its slots are threads.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Its process group; never set for a thread, and for a process that somebody else starts once that has happened.
    group: Arc<OnceLock<Pid>>,
    exit: watch::Receiver<Option<Exit>>,
    /// What must live as long as the child: the parent that it was forked from.
    keeper: Option<Keeper>,
    /// Where a thread that runs commands says which one it waits for.
    commands: Option<Arc<SlotMap>>,
}

/// Keeps something alive by being held.
pub(crate) type Keeper = Arc<dyn std::any::Any + Send + Sync>;

/// The other end of a [`Child`]: for whoever knows how it goes.
#[derive(Debug)]
pub(crate) struct ChildWatch {
    group: Arc<OnceLock<Pid>>,
    exit: watch::Sender<Option<Exit>>,
    output: Option<Tail>,
}

impl Child {
    /// Takes charge of a process that leads a group of its own and was started by this process: a task waits for its end.
    /// `output` is where it prints.
    pub(crate) fn adopt(pid: Pid, output: Tail, tasks: &TaskTracker) -> io::Result<Self> {
        let pidfd = os::exit_notice(pid)?;
        let (child, watch) = Self::watched(None, Some(output));
        watch.started(pid);
        tasks.spawn(reap(pid, pidfd, watch));
        Ok(child)
    }

    /// A child whose start and end somebody else reports. `output` is where it prints, if it does so on its own.
    pub(crate) fn watched(keeper: Option<Keeper>, output: Option<Tail>) -> (Self, ChildWatch) {
        let (sender, exit) = watch::channel(None);
        let group = Arc::new(OnceLock::new());
        let child = Self { group: group.clone(), exit, keeper, commands: None };
        (child, ChildWatch { group, exit: sender, output })
    }

    /// The same child, a thread that runs commands and names each in this map.
    pub(crate) fn with_commands(self, map: SlotMap) -> Self {
        Self { commands: Some(Arc::new(map)), ..self }
    }

    /// Waits for its end. May be dropped while it waits.
    pub(crate) async fn exited(&mut self) -> Exit {
        self.exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone()).unwrap_or(Exit::Unknown)
    }

    /// Kills it and its process group; threads cannot be killed, but the command can for which one waits.
    pub(crate) fn kill(&self) {
        if self.exit.borrow().is_none() {
            self.process().into_iter().for_each(kill_group);
        }
    }

    /// The process, where there is one of its own: the child itself, or the command that it waits for.
    pub(crate) fn process(&self) -> Option<Pid> {
        let command = || self.commands.as_ref()?.process().map(Pid::from_raw);
        self.group.get().copied().or_else(command)
    }

    /// Waits for the end of a child that has been told to end, and kills it after a grace period.
    pub(crate) async fn end(mut self) -> Exit {
        if let Ok(exit) = tokio::time::timeout(GRACE, self.exited()).await {
            return exit;
        }
        self.kill();
        let exit = if self.group.get().is_some() { self.exited().await } else { Exit::Thread };
        drop(self.keeper);
        exit
    }

    /// Interrupts a child in the middle of a task, and kills it after a grace period. A thread cannot be interrupted, but the
    /// command that it waits for can.
    pub(crate) async fn interrupt(mut self) {
        // Either may have ended by itself: that is what is wanted. Of a child only the runner is told; what it has started
        // ends with it at the latest.
        let _gone = match (self.group.get(), self.process()) {
            (Some(child), _) => nix::sys::signal::kill(*child, Signal::SIGINT),
            (None, Some(command)) => killpg(command, Signal::SIGTERM),
            (None, None) => Ok(()),
        };
        if tokio::time::timeout(INTERRUPT_GRACE, self.exit.wait_for(Option::is_some)).await.is_err() {
            self.kill();
            self.exited().await;
        }
    }

    /// Resident memory in bytes, where it has memory of its own.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        os::rss_bytes(*self.group.get()?)
    }
}

impl ChildWatch {
    /// The child is this process, which leads a group of its own.
    pub(crate) fn started(&self, pid: Pid) {
        self.group.get_or_init(|| pid);
    }

    /// The child has ended. What it has left running in its group ends, too.
    pub(crate) fn ended(self, exit: Exit) {
        self.kill_left_behind();
        self.exit.send_replace(Some(exit));
    }

    /// The child was a process and has ended with this status. Its end is told once what it has printed is copied.
    pub(crate) async fn process_ended(mut self, status: ExitStatus, peak_rss_bytes: Option<u64>) {
        self.kill_left_behind();
        let last_lines = match self.output.take() {
            Some(output) => output.last_lines().await,
            None => String::new(),
        };
        self.exit.send_replace(Some(Exit::Process { status, peak_rss_bytes, last_lines }));
    }

    fn kill_left_behind(&self) {
        self.group.get().copied().into_iter().for_each(kill_group);
    }
}

/// Waits for a process of ours.
async fn reap(pid: Pid, pidfd: AsyncFd<OwnedFd>, watch: ChildWatch) {
    let _readable = pidfd.readable().await;
    match os::wait(pid) {
        Ok((status, peak_rss_bytes)) => watch.process_ended(status, peak_rss_bytes).await,
        Err(_) => watch.ended(Exit::Unknown),
    }
}

/// Kills a process group.
fn kill_group(group: Pid) {
    // The group may be gone already: that is what is wanted.
    let _gone = killpg(group, Signal::SIGKILL);
}

impl Exit {
    /// Whether it was killed by SIGKILL: by the kernel for its memory, or by anybody.
    pub(crate) fn is_sigkill(&self) -> bool {
        matches!(self, Self::Process { status, .. } if status.signal() == Some(Signal::SIGKILL as i32))
    }

    /// Whether somebody else ended it, or may have.
    pub(crate) fn is_violent(&self) -> bool {
        match self {
            Self::Process { status, .. } => status.signal().is_some(),
            Self::Thread => false,
            Self::Unknown => true,
        }
    }

    /// What to tell of a task during which its child ended so.
    pub(crate) fn cause(&self) -> Failure {
        let (name, message) = match self {
            Self::Thread => (String::new(), "the thread that ran the task ended".to_owned()),
            Self::Unknown => {
                (String::new(), "the child that ran the task is gone; how it ended is not known".to_owned())
            }
            Self::Process { status, peak_rss_bytes, last_lines } => {
                let name = status.signal().map(os::signal_name).unwrap_or_default();
                let too_early = if status.signal().is_some() { "" } else { " before the task had ended" };
                (
                    name,
                    format!(
                        "the child that ran the task {self}{too_early}{}{}",
                        peak(*peak_rss_bytes),
                        said(last_lines)
                    ),
                )
            }
        };
        Failure { kind: FailureKind::Crashed.into(), r#type: name, message, ..Failure::default() }
    }
}

fn peak(rss_bytes: Option<u64>) -> String {
    rss_bytes.map(|bytes| format!("; peak memory {}", ByteSize(bytes).display().iec())).unwrap_or_default()
}

fn said(last_lines: &str) -> String {
    if last_lines.is_empty() { String::new() } else { format!("; last lines of its stderr:\n{last_lines}") }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process { status, .. } => match (status.signal(), status.code()) {
                (Some(signal), _) => write!(f, "was killed by signal {signal} ({})", os::signal_name(signal)),
                (None, code) => write!(f, "exited with status {}", code.unwrap_or_default()),
            },
            Self::Thread => f.write_str("ended"),
            Self::Unknown => f.write_str("is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::stderr::Stderr;

    /// Starts a shell script as a child of the pool.
    fn shell(script: &str) -> io::Result<Child> {
        let tasks = TaskTracker::new();
        let (output, tail) = Stderr::new(io::sink(), tasks.clone()).pipe()?;
        let arguments = [c"sh".to_owned(), c"-c".to_owned(), CString::new(script)?];
        let spawn = os::Spawn {
            program: &os::Program::find(b"sh", None)?,
            arguments: &arguments,
            environment: &[c"PATH=/bin:/usr/bin".to_owned()],
            directory: None,
            descriptors: &[(output.as_fd(), 1), (output.as_fd(), 2)],
            own_group: true,
            own_session: false,
            die_with_parent: true,
        };
        Child::adopt(spawn.start().map_err(|error| error.error)?, tail, &tasks)
    }

    #[tokio::test]
    async fn a_death_is_told_with_its_signal_and_the_last_words() -> io::Result<()> {
        let exit = shell("echo one; echo two >&2; kill -SEGV $$")?.exited().await;
        let cause = exit.cause();
        assert_eq!(cause.r#type, "SIGSEGV");
        let (start, end) = (
            "the child that ran the task was killed by signal 11 (SIGSEGV)",
            "; last lines of its stderr:\none\ntwo",
        );
        assert!(cause.message.starts_with(start) && cause.message.ends_with(end), "{}", cause.message);
        Ok(())
    }

    #[tokio::test]
    async fn an_early_exit_is_told_with_its_status() -> io::Result<()> {
        let exit = shell("exit 7")?.exited().await;
        let start = "the child that ran the task exited with status 7 before the task had ended";
        assert!(exit.cause().message.starts_with(start), "{}", exit.cause().message);
        assert_eq!(exit.to_string(), "exited with status 7");
        Ok(())
    }

    #[tokio::test]
    async fn the_peak_memory_of_a_large_child_is_told() -> io::Result<()> {
        let script = "exec python3 -c 'import os; large = bytearray(200 << 20); os.kill(os.getpid(), 9)'";
        let exit = shell(script)?.exited().await;
        let Exit::Process { peak_rss_bytes: Some(peak), .. } = exit else {
            return Err(io::Error::other(format!("no peak in {exit:?}")));
        };
        assert!((200 << 20..400 << 20).contains(&peak), "{peak}");
        assert!(exit.cause().message.contains("(SIGKILL); peak memory 2"), "{}", exit.cause().message);
        Ok(())
    }

    #[tokio::test]
    async fn what_a_child_leaves_in_its_group_dies_with_it() -> io::Result<()> {
        let exit = shell("sleep 600 & echo $!; kill -KILL $$")?.exited().await;
        let Exit::Process { last_lines, .. } = exit else { return Err(io::Error::other("not a process")) };
        let sleeper = Pid::from_raw(last_lines.parse().map_err(io::Error::other)?);
        // A dead process that nobody has waited for has no memory.
        let has_ended = || os::rss_bytes(sleeper).is_none_or(|rss| rss == 0);
        assert!(eventually(has_ended).await);
        Ok(())
    }

    async fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
        for _ in 0..2000 {
            if is_so() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}
