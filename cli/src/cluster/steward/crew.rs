//! The workers of one group that Slurm runs: submitted, watched, replaced when their time is over, and cancelled at the end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::coordinator::Coordinator;
use super::eyes::Seen;
use super::fleet::News;
use crate::cluster::file::{ClusterFile, Group, Settings, SlurmGroup};
use crate::cluster::folder::Folder;
use crate::cluster::program;
use crate::cluster::slurm::growth::{Growth, Present};
use crate::cluster::slurm::{self, Entry, Phase, Submission, worker_name};
use crate::cluster::talk::{State, WorkerReport};
use crate::exit::Failure;
use crate::reason::reason;

/// How often Slurm is asked while jobs are on their way, and otherwise: its controller has others to serve.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(15);

/// A job of the group that has not ended, as far as is known.
struct Job {
    id: u64,
    task: u32,
    is_temporary: bool,
    phase: Phase,
    /// Its worker has joined, and may have left since.
    has_joined: bool,
    /// Its worker is there.
    is_there: bool,
    slots: u32,
}

pub(super) struct Crew {
    /// Its place in the cluster file.
    number: usize,
    cluster: String,
    group: String,
    slurm: SlurmGroup,
    settings: Settings,
    program: PathBuf,
    access: PathBuf,
    folder: Folder,
    growth: Growth,
    jobs: Vec<Job>,
    /// Why the last attempt to get workers failed.
    trouble: Option<String>,
    /// When Slurm was asked last.
    asked: Option<Instant>,
    /// Its jobs as they were last written down.
    recorded: Vec<u64>,
}

impl Crew {
    pub(super) fn new(
        number: usize,
        file: &ClusterFile,
        group: &Group,
        slurm: &SlurmGroup,
        coordinator: &Coordinator,
        folder: &Folder,
    ) -> Result<Self, Failure> {
        Ok(Self {
            number,
            cluster: file.name.clone(),
            group: group.name.clone(),
            settings: group.settings.clone(),
            program: program::path().map_err(Failure::system("finding this program"))?,
            access: coordinator.worker_access.clone(),
            folder: folder.clone(),
            growth: Growth::new(slurm.min, slurm.max),
            slurm: slurm.clone(),
            jobs: Vec::new(),
            trouble: None,
            asked: None,
            recorded: Vec::new(),
        })
    }

    /// Keeps the group as large as it should be, as long as there is somebody who looks; then waits until it is to end.
    pub(super) async fn run(
        mut self,
        mut seen: watch::Receiver<Seen>,
        cut: CancellationToken,
        news: mpsc::Sender<News>,
    ) {
        loop {
            let now_seen = seen.borrow_and_update().clone();
            self.step(&now_seen).await;
            if news.send(self.news()).await.is_err() || seen.changed().await.is_err() {
                break;
            }
        }
        cut.cancelled().await;
        if let Err(why) = slurm::cancel(&self.recorded).await {
            tracing::warn!("Slurm's jobs were not cancelled: {why}");
        }
    }

    async fn step(&mut self, seen: &Seen) {
        self.match_workers(seen);
        let interval = if self.jobs.iter().all(|job| job.is_there) { INTERVAL } else { FIRST_INTERVAL };
        if !self.jobs.is_empty() && self.asked.is_none_or(|asked| asked.elapsed() >= interval) {
            self.asked = Some(Instant::now());
            match slurm::queue(&self.cluster).await {
                Ok(entries) => self.match_entries(&entries),
                Err(why) => tracing::warn!("Slurm does not say how its jobs are: {why}"),
            }
        }
        let wanted = self.growth.decide(self.present(seen), Instant::now());
        self.submit(wanted.permanent, false).await;
        self.submit(wanted.temporary, true).await;
    }

    fn match_workers(&mut self, seen: &Seen) {
        for job in &mut self.jobs {
            let worker = seen.workers.get(&worker_name(&self.group, job.id, job.task));
            job.is_there = worker.is_some();
            if let Some(slots) = worker {
                (job.has_joined, job.slots) = (true, *slots);
                self.growth.joined();
                self.trouble = None;
            }
        }
    }

    fn match_entries(&mut self, entries: &[Entry]) {
        let mut left = Vec::new();
        for mut job in std::mem::take(&mut self.jobs) {
            let entry = entries.iter().find(|entry| (entry.job, entry.task) == (job.id, job.task));
            match entry.map(|entry| entry.phase.clone()) {
                Some(Phase::Ended(how)) => self.ended(&job, &how),
                // Slurm forgets what has ended.
                None if job.has_joined && !job.is_there => {}
                None => left.push(job),
                Some(phase) => {
                    job.phase = phase;
                    left.push(job);
                }
            }
        }
        self.jobs = left;
        self.record();
    }

    /// One that has worked has simply come to its end.
    fn ended(&mut self, job: &Job, how: &str) {
        if job.has_joined {
            return;
        }
        let lines = self.folder.log(&worker_name(&self.group, job.id, job.task)).last_lines();
        self.failed(&format!(
            "Slurm's job {}_{} ended ({how}) before its worker had joined\n{}",
            job.id,
            job.task,
            lines.join("\n")
        ));
    }

    fn failed(&mut self, why: &str) {
        tracing::warn!("{}: {why}", self.group);
        self.growth.failed(Instant::now());
        self.trouble = Some(why.trim_end().to_owned());
    }

    fn present(&self, seen: &Seen) -> Present {
        let count = |is_temporary| self.jobs.iter().filter(|job| job.is_temporary == is_temporary).count();
        let known = self.jobs.iter().map(|job| job.slots).max().unwrap_or_default();
        Present {
            permanent: count(false),
            temporary: count(true),
            not_joined: self.jobs.iter().filter(|job| !job.has_joined).count(),
            waiting_tasks: seen.waiting_for(&self.settings.labels),
            slots: if known == 0 { self.slurm.cpus.unwrap_or(1) } else { known },
        }
    }

    async fn submit(&mut self, count: usize, is_temporary: bool) {
        if count == 0 {
            return;
        }
        let logs = self.folder.logs();
        let submission = Submission {
            cluster: &self.cluster,
            group: &self.group,
            slurm: &self.slurm,
            settings: &self.settings,
            count,
            is_temporary,
            program: &self.program,
            access: &self.access,
            logs: &logs,
        };
        match slurm::submit(&submission).await {
            Ok(id) => {
                let phase = || Phase::Queued("just submitted".to_owned());
                let (has_joined, is_there) = (false, false);
                let job =
                    |task| Job { id, task, is_temporary, phase: phase(), has_joined, is_there, slots: 0 };
                self.jobs.extend((0..count as u32).map(job));
                self.record();
            }
            Err(why) => self.failed(&format!("sbatch: {why}")),
        }
    }

    /// Should the steward be killed, `down` still knows what to cancel.
    fn record(&mut self) {
        let mut ids: Vec<_> = self.jobs.iter().map(|job| job.id).collect();
        ids.dedup();
        if ids == self.recorded {
            return;
        }
        let mut record = self.folder.record();
        record.slurm_jobs.retain(|id| !self.recorded.contains(id));
        record.slurm_jobs.extend(&ids);
        self.recorded = ids;
        if let Err(error) = self.folder.write_record(&record) {
            tracing::warn!("Slurm's jobs could not be written down: {}", reason(&error));
        }
    }

    fn news(&self) -> News {
        let workers = self.jobs.iter().map(|job| {
            let (state, why) = match &job.phase {
                _ if job.is_there => (State::Joined, None),
                Phase::Queued(why) => (State::Queued, Some(why.clone())),
                Phase::Running | Phase::Ended(_) => (State::Launched, None),
            };
            WorkerReport { name: worker_name(&self.group, job.id, job.task), state, slots: job.slots, why }
        });
        News::Crew { group: self.number, workers: workers.collect(), trouble: self.trouble.clone() }
    }
}
