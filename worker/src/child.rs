//! A child of the pool: a process, or a thread of this one, and how it ended.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use poolmap_proto::v1::{Failure, FailureKind};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::os;
use crate::slot::map::SlotMap;

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
}

impl Child {
    /// Takes charge of a process that leads a group of its own and was started by this process: a task waits for its end.
    pub(crate) fn adopt(pid: Pid, tasks: &TaskTracker) -> io::Result<Self> {
        let pidfd = os::exit_notice(pid)?;
        let (child, watch) = Self::watched(None);
        watch.started(pid);
        tasks.spawn(reap(pid, pidfd, watch));
        Ok(child)
    }

    /// A child whose start and end somebody else reports.
    pub(crate) fn watched(keeper: Option<Keeper>) -> (Self, ChildWatch) {
        let (sender, exit) = watch::channel(None);
        let group = Arc::new(OnceLock::new());
        (Self { group: group.clone(), exit, keeper, commands: None }, ChildWatch { group, exit: sender })
    }

    /// The same child, a thread that runs commands and names each in this map.
    pub(crate) fn with_commands(self, map: SlotMap) -> Self {
        Self { commands: Some(Arc::new(map)), ..self }
    }

    /// Waits for its end. May be dropped while it waits.
    pub(crate) async fn exited(&mut self) -> Exit {
        self.exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown)
    }

    /// Kills it and its process group; threads cannot be killed, but the command can for which one waits.
    pub(crate) fn kill(&self) {
        let command = || self.commands.as_ref()?.process().map(Pid::from_raw);
        if let Some(group) = self.group.get().copied().or_else(command)
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
        let exit = if self.group.get().is_some() { self.exited().await } else { Exit::Thread };
        drop(self.keeper);
        exit
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
        self.group.get().copied().into_iter().for_each(kill_group);
        self.exit.send_replace(Some(exit));
    }
}

/// Waits for a process of ours.
async fn reap(pid: Pid, pidfd: AsyncFd<OwnedFd>, watch: ChildWatch) {
    let _readable = pidfd.readable().await;
    watch.ended(os::wait(pid).map_or(Exit::Unknown, Exit::Process));
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
            Self::Unknown => {
                (String::new(), "the child that ran the task is gone; how it ended is not known".to_owned())
            }
            Self::Process(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => {
                    let name = os::signal_name(signal);
                    let message =
                        format!("the child that ran the task was killed by signal {signal} ({name})");
                    (name, message)
                }
                (None, code) => {
                    let code = code.unwrap_or_default();
                    (
                        String::new(),
                        format!(
                            "the child that ran the task exited with status {code} before the task had ended"
                        ),
                    )
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
