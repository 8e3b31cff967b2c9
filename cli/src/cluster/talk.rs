//! What is said between the commands `up`, `status` and `down` and a cluster's steward: lines of JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::file::LauncherName;

/// What a steward is asked at its socket, one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Question {
    /// It answers with a [`Report`].
    Status,
    /// It takes the cluster down; the connection closes when nothing is left.
    Down,
}

/// What a steward tells `up` on its standard output, one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Event {
    Note(String),
    /// These could not be started, or did not join.
    Failed(Vec<Trouble>),
    /// The cluster is up, and stays so without whoever reads this.
    Up(Report),
}

/// Something of a cluster that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    /// A worker or a host, or the coordinator.
    pub(crate) what: String,
    pub(crate) why: String,
    /// What it wrote last.
    pub(crate) last_lines: Vec<String>,
}

/// How a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    /// Where the coordinator may be reached.
    pub(crate) addresses: Vec<String>,
    /// Access for clients.
    pub(crate) access: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) seconds: u64,
    pub(crate) groups: Vec<GroupReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupReport {
    pub(crate) name: String,
    pub(crate) launcher: LauncherName,
    pub(crate) workers: Vec<WorkerReport>,
    /// Why the last attempt to start workers failed; where that is not told by a worker.
    pub(crate) trouble: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WorkerReport {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Tasks it runs at once; 0 until it has joined.
    pub(crate) slots: u32,
    /// What it waits for, why it was lost, or why it was started again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) why: Option<String>,
}

/// What has become of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It was started and is on its way to the coordinator.
    Launched,
    /// Slurm has not given it a node.
    Queued,
    /// The coordinator knows it.
    Joined,
    /// It has ended, or never came.
    Lost,
}

impl State {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Launched => "launched",
            Self::Queued => "queued",
            Self::Joined => "joined",
            Self::Lost => "lost",
        }
    }
}

/// So many of something.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

impl Report {
    fn workers(&self) -> impl Iterator<Item = &WorkerReport> {
        self.groups.iter().flat_map(|group| &group.workers)
    }

    /// Workers in this state.
    pub(crate) fn count(&self, state: State) -> usize {
        self.workers().filter(|worker| worker.state == state).count()
    }

    /// Slots of the workers that have joined.
    pub(crate) fn slots(&self) -> usize {
        let joined = self.workers().filter(|worker| worker.state == State::Joined);
        joined.map(|worker| worker.slots as usize).sum()
    }
}
