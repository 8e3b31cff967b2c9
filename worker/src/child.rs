//! A child of the pool: a process, or a thread of this one, and how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use poolmap_proto::v1::{Failure, FailureKind};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::os;

/// Time a child that has nothing more to do gets to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A process, with what the system says of it.
    Process(ExitStatus),
    /// A thread, which returned or panicked.
    Thread,
    /// A process whose parent died before it could tell.
    Unknown,
}

/// A child, seen from a slot. Several slots share one when its slots are threads.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Its process group; none for a thread.
    group: Option<Pid>,
    exit: watch::Receiver<Option<Exit>>,
}

impl Child {
    /// Takes charge of a process that leads a group of its own and was started by this process: a task waits for its end.
    pub(crate) fn adopt(pid: Pid, tasks: &TaskTracker) -> io::Result<Self> {
        let pidfd = os::exit_notice(pid)?;
        let (sender, exit) = watch::channel(None);
        tasks.spawn(reap(pid, pidfd, sender));
        Ok(Self { group: Some(pid), exit })
    }

    /// A child whose end somebody else reports.
    pub(crate) fn watched(group: Option<Pid>) -> (Self, watch::Sender<Option<Exit>>) {
        let (sender, exit) = watch::channel(None);
        (Self { group, exit }, sender)
    }

    /// Waits for its end. May be dropped while it waits.
    pub(crate) async fn exited(&mut self) -> Exit {
        self.exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown)
    }

    /// Kills it and its process group; threads cannot be killed.
    pub(crate) fn kill(&self) {
        if let Some(group) = self.group
            && self.exit.borrow().is_none()
        {
            kill_group(group);
        }
    }

    /// Waits for the end of a child that has been told to end, and kills it after a grace period.
    pub(crate) async fn end(mut self) -> Exit {
        if let Ok(exit) = tokio::time::timeout(GRACE, self.exited()).await {
            return exit;
        }
        self.kill();
        match self.group {
            Some(_) => self.exited().await,
            None => Exit::Thread,
        }
    }

    /// Resident memory in bytes, where it has memory of its own.
    pub(crate) fn rss_bytes(&self) -> Option<u64> {
        os::rss_bytes(self.group?)
    }
}

/// Waits for a process of ours, then ends what it has left running in its group.
async fn reap(pid: Pid, pidfd: AsyncFd<OwnedFd>, sender: watch::Sender<Option<Exit>>) {
    let _readable = pidfd.readable().await;
    let exit = os::wait(pid).map_or(Exit::Unknown, Exit::Process);
    kill_group(pid);
    sender.send_replace(Some(exit));
}

fn kill_group(group: Pid) {
    // The group may be gone already: that is what is wanted.
    let _gone = killpg(group, Signal::SIGKILL);
}

impl Exit {
    /// What to tell of a task during which its child ended so.
    pub(crate) fn cause(self) -> Failure {
        let (kind, message) = match self {
            Self::Thread => (String::new(), "the thread that ran the task ended".to_owned()),
            Self::Unknown => (String::new(), "the child that ran the task is gone; how it ended is not known".to_owned()),
            Self::Process(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => {
                    let name = os::signal_name(signal);
                    let message = format!("the child that ran the task was killed by signal {signal} ({name})");
                    (name, message)
                }
                (None, code) => {
                    let code = code.unwrap_or_default();
                    (String::new(), format!("the child that ran the task exited with status {code} before the task had ended"))
                }
            },
        };
        Failure { kind: FailureKind::Crashed.into(), r#type: kind, message, ..Failure::default() }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => write!(f, "was killed by signal {signal} ({})", os::signal_name(signal)),
                (None, code) => write!(f, "exited with status {}", code.unwrap_or_default()),
            },
            Self::Thread => f.write_str("ended"),
            Self::Unknown => f.write_str("is gone"),
        }
    }
}
