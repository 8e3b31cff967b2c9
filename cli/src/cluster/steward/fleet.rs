//! The workers of a cluster: who was started, who has joined, and who is lost.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::coordinator::Coordinator;
use super::crew::Crew;
use super::eyes::Seen;
use crate::cluster::file::{ClusterFile, Group, Launcher, LauncherName};
use crate::cluster::folder::Folder;
use crate::cluster::launch::{End, Launch};
use crate::cluster::program;
use crate::cluster::ssh::Host;
use crate::cluster::talk::{GroupReport, State, Trouble, WorkerReport};
use crate::exit::Failure;

/// Waits before a worker is started again. One that has run for longer than the longest begins with the shortest again.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Time that all workers together have to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// What the tasks that start workers have to say.
pub(super) enum News {
    /// What the user should know of a worker.
    Note { worker: String, note: String },
    /// A worker has ended, or could not be started.
    Ended { worker: String, why: String },
    /// One that had joined has ended, and is started again.
    Again { worker: String, why: String },
    /// How the workers of a group are that Slurm runs.
    Crew { group: usize, workers: Vec<WorkerReport>, trouble: Option<String> },
}

/// All workers.
pub(super) struct Fleet {
    groups: Vec<GroupReport>,
    /// Groups whose crews have yet to say what they have begun.
    unheard: BTreeSet<usize>,
    folder: Folder,
    tasks: TaskTracker,
    cut: CancellationToken,
    /// For the crews; without it they do nothing new.
    seen: Option<watch::Sender<Seen>>,
}

impl Fleet {
    /// Starts to start all of them.
    pub(super) fn launch(
        file: &ClusterFile,
        coordinator: &Coordinator,
        folder: &Folder,
        news: &mpsc::Sender<News>,
    ) -> Result<Self, Failure> {
        let access: Arc<str> = coordinator.access_for_workers().map_err(Failure::Lost)?.into();
        let has_hosts = file.groups.iter().any(|group| matches!(group.launcher, Launcher::Ssh { .. }));
        let build = if has_hosts { program::build_name() } else { Ok(String::new()) };
        let build: Arc<str> = build.map_err(Failure::system("reading this program"))?.into();
        let (seen, watched) = watch::channel(Seen::default());
        let (tasks, cut) = (TaskTracker::new(), CancellationToken::new());
        let (groups, unheard, folder) = (Vec::new(), BTreeSet::new(), folder.clone());
        let mut fleet = Self { groups, unheard, folder, tasks, cut, seen: Some(seen) };
        for (number, group) in file.groups.iter().enumerate() {
            let mut workers = Vec::new();
            for (name, host) in fleet.names(group) {
                let launch = Launch {
                    name: name.clone(),
                    host,
                    settings: group.settings.clone(),
                    access: Arc::clone(&access),
                    build: Arc::clone(&build),
                    log: fleet.folder.log(&name),
                };
                fleet.tasks.spawn(keep(launch, watched.clone(), fleet.cut.clone(), news.clone()));
                workers.push(WorkerReport { name, state: State::Launched, slots: 0, why: None });
            }
            if let Launcher::Slurm(slurm) = &group.launcher {
                let crew = Crew::new(number, file, group, slurm, coordinator, &fleet.folder)?;
                fleet.unheard.insert(number);
                fleet.tasks.spawn(crew.run(watched.clone(), fleet.cut.clone(), news.clone()));
            }
            let (name, launcher) = (group.name.clone(), group.launcher.name());
            fleet.groups.push(GroupReport { name, launcher, workers, trouble: None });
        }
        Ok(fleet)
    }

    /// Names of workers that are started one by one, and their hosts.
    fn names(&self, group: &Group) -> Vec<(String, Option<Host>)> {
        match &group.launcher {
            Launcher::Local { count } => {
                (1..=*count).map(|n| (format!("{}-{n}", group.name), None)).collect()
            }
            Launcher::Ssh { hosts, arguments } => {
                let host = |name: &String| Host { name: name.clone(), arguments: arguments.clone() };
                // A host may have workers of several groups.
                let name = |host: &String| match self.find(host) {
                    Some(_) => format!("{host}-{}", group.name),
                    None => host.clone(),
                };
                hosts.iter().map(|name_of_host| (name(name_of_host), Some(host(name_of_host)))).collect()
            }
            Launcher::Slurm(_) => Vec::new(),
        }
    }

    fn find(&self, name: &str) -> Option<&WorkerReport> {
        self.groups.iter().flat_map(|group| &group.workers).find(|worker| worker.name == name)
    }

    /// Takes in what a task has to say; returns what `up` should tell its user.
    pub(super) fn hear(&mut self, news: News) -> Option<String> {
        match news {
            News::Note { worker, note } => return Some(format!("{worker}: {note}")),
            News::Ended { worker, why } => self.note(worker, State::Lost, why),
            News::Again { worker, why } => {
                self.note(worker, State::Launched, format!("started again, since {why}"));
            }
            News::Crew { group, workers, trouble } => {
                self.unheard.remove(&group);
                if let Some(group) = self.groups.get_mut(group) {
                    (group.workers, group.trouble) = (workers, trouble);
                }
            }
        }
        None
    }

    fn note(&mut self, worker: String, state: State, why: String) {
        let mut workers = self.groups.iter_mut().flat_map(|group| &mut group.workers);
        if let Some(found) = workers.find(|found| found.name == worker) {
            *found = WorkerReport { name: worker, state, slots: 0, why: Some(why) };
        }
    }

    /// Takes in what the coordinator knows.
    pub(super) fn see(&mut self, seen: Seen) {
        let one_by_one = self.groups.iter_mut().filter(|group| group.launcher != LauncherName::Slurm);
        for worker in one_by_one.flat_map(|group| &mut group.workers) {
            match (seen.workers.get(&worker.name), worker.state) {
                (Some(slots), State::Launched | State::Joined) => {
                    (worker.state, worker.slots) = (State::Joined, *slots);
                }
                (None, State::Joined) => {
                    // It may be on its way back.
                    (worker.state, worker.slots) = (State::Launched, 0);
                }
                _ => {}
            }
        }
        if let Some(watch) = &self.seen {
            watch.send_replace(seen);
        }
    }

    /// Whether nothing is on its way any more.
    pub(super) fn has_settled(&self) -> bool {
        let settled = |worker: &WorkerReport| matches!(worker.state, State::Joined | State::Lost);
        self.unheard.is_empty() && self.groups.iter().flat_map(|group| &group.workers).all(settled)
    }

    /// Workers that are lost, or have not joined although nothing keeps them from it.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let groups = self.groups.iter().filter_map(|group| {
            let why = group.trouble.clone()?;
            Some(Trouble { what: group.name.clone(), why, last_lines: Vec::new() })
        });
        let workers = self.groups.iter().flat_map(|group| &group.workers);
        let workers = workers.filter(|worker| matches!(worker.state, State::Lost | State::Launched));
        let workers = workers.map(|worker| Trouble {
            what: worker.name.clone(),
            why: worker.why.clone().unwrap_or_else(|| "it has not joined in time".to_owned()),
            last_lines: self.folder.log(&worker.name).last_lines(),
        });
        groups.chain(workers).collect()
    }

    pub(super) fn report(&self) -> Vec<GroupReport> {
        self.groups.clone()
    }

    /// Starts nothing any more.
    pub(super) fn settle(&mut self) {
        self.seen = None;
    }

    /// Ends all workers.
    pub(super) async fn end(&mut self) {
        self.settle();
        self.cut.cancel();
        self.tasks.close();
        if tokio::time::timeout(END_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("workers were still ending after {} s", END_TIMEOUT.as_secs());
        }
    }
}

/// Starts a worker and keeps it; starts it again when it ends by itself, if it had ever joined. One that never has needs its user.
async fn keep(
    launch: Launch,
    mut seen: watch::Receiver<Seen>,
    cut: CancellationToken,
    news: mpsc::Sender<News>,
) {
    let worker = launch.name.clone();
    let note = |note| {
        // A note that finds no room is not worth waiting for.
        let _full = news.try_send(News::Note { worker: worker.clone(), note });
    };
    let (mut delays, mut has_joined) = (restart_delays(), false);
    loop {
        let begun = Instant::now();
        let mut running = pin!(launch.run(&cut, note));
        let End { why, was_told } = loop {
            tokio::select! {
                end = &mut running => break end,
                () = joins(&mut seen, &worker), if !has_joined => has_joined = true,
            }
        };
        if was_told || !has_joined {
            let _stopped = news.send(News::Ended { worker: worker.clone(), why }).await;
            return;
        }
        if begun.elapsed() > LONGEST_DELAY {
            delays = restart_delays();
        }
        tracing::warn!("{worker} is started again: {why}");
        let _stopped = news.send(News::Again { worker: worker.clone(), why }).await;
        let delay = delays.next().unwrap_or(LONGEST_DELAY);
        if cut.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return;
        }
    }
}

/// Completes once the coordinator knows a worker.
async fn joins(seen: &mut watch::Receiver<Seen>, worker: &str) {
    if seen.wait_for(|seen| seen.workers.contains_key(worker)).await.is_err() {
        // The cluster is being taken down.
        std::future::pending::<()>().await;
    }
}

fn restart_delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST_DELAY)
        .with_max_delay(LONGEST_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}
