//! The one task that owns jobs, workers and the scheduler: it turns commands into events, and actions into messages.

mod actions;
mod clients;
mod eligibility;
mod ending;
mod lifetimes;
mod reports;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use poolmap_proto::v1::{Failure, OutcomeRun};
use poolmap_scheduler::{Action, Event, JobId, Scheduler, WorkerId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::ending::Ending;
use self::lifetimes::{Forgotten, Stored};
use crate::Config;
use crate::clock::Clock;
use crate::command::Command;
use crate::deadlines::Deadlines;
use crate::job::Job;
use crate::roster::Roster;
use crate::workers::Workers;

/// Heartbeats per time after which a silent worker is lost.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;
/// However short that time is, there is something else to do as well.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// All state of a coordinator.
pub(crate) struct Core {
    config: Config,
    clock: Clock,
    scheduler: Scheduler,
    /// Kept between events so that none allocates.
    actions: Vec<Action>,
    jobs: HashMap<JobId, Job>,
    workers: Workers,
    roster: Roster,
    deadlines: Deadlines,
    forgotten: Forgotten,
    /// Outcomes on their way to a file.
    storing: JoinSet<Stored>,
    /// Events that follow from carrying out actions; fed in order, before the next command is taken up.
    follow_ups: VecDeque<Event>,
    /// The highest number of a job.
    last_job: u64,
    last_worker: u64,
    ending: Ending,
}

/// What came with an event, for the actions that follow from it.
enum Report {
    Nothing,
    Outcomes { worker: WorkerId, run: OutcomeRun },
    Death { worker: WorkerId, cause: Failure },
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            clock: Clock::start(),
            scheduler: Scheduler::new(poolmap_scheduler::Config::default()),
            actions: Vec::new(),
            jobs: HashMap::new(),
            workers: Workers::default(),
            roster: Roster::default(),
            deadlines: Deadlines::default(),
            forgotten: Forgotten::default(),
            storing: JoinSet::new(),
            follow_ups: VecDeque::new(),
            last_job: 0,
            last_worker: 0,
            ending: Ending::default(),
        }
    }

    /// Runs until nobody can send commands any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut heartbeat = tokio::time::interval(self.heartbeat_interval());
        let mut lifetimes = tokio::time::interval(self.lifetimes_interval());
        loop {
            let (wakeup, deadline) = (self.scheduler.next_wakeup(), self.deadlines.next());
            let next_return = self.workers.next_return();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Stop) | None => return,
                    Some(command) => self.command(command),
                },
                _ = heartbeat.tick() => {
                    self.drop_silent_workers();
                    self.workers.beat();
                }
                _ = lifetimes.tick() => self.end_what_nobody_wants(),
                Some(stored) = self.storing.join_next() => self.stored(stored),
                () = self.clock.reach(next_return) => self.drop_absent_workers(),
                () = self.clock.reach(wakeup) => self.feed(Event::TimePassed, Report::Nothing),
                () = self.clock.reach(deadline) => self.stop_overdue_jobs(),
            }
            self.follow_up();
            self.tell_ended();
        }
    }

    /// How often a worker and the coordinator give each other a sign of life.
    fn heartbeat_interval(&self) -> Duration {
        (self.config.worker_timeout / HEARTBEATS_PER_TIMEOUT).max(HEARTBEAT_INTERVAL_MIN)
    }

    fn follow_up(&mut self) {
        loop {
            if let Some(event) = self.follow_ups.pop_front() {
                self.feed(event, Report::Nothing);
            } else if let Some(worker) = self.workers.next_unreachable() {
                self.worker_gone(worker);
            } else {
                return;
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Submit { job, spec, files, reply } => self.submit(job, spec, files, reply),
            Command::Attach { job, role, reply } => self.attach(job, role, reply),
            Command::AddTasks { job, functions, chunk, reply } => {
                self.add_functions(job, functions);
                self.add_tasks(job, chunk, reply);
            }
            Command::CancelTasks { job, tasks, running, reply } => {
                self.cancel_tasks(job, tasks, running, reply);
            }
            Command::Close { job, reply } => self.close(job, reply),
            Command::Outcomes { job, position, reply } => self.outcomes(job, position, reply),
            Command::Confirm { job, cursor, has_end } => self.confirm(job, cursor, has_end),
            Command::Cancel { job, running, reply } => self.cancel(job, running, reply),
            Command::Pause { job, paused, reply } => self.pause(job, paused, reply),
            Command::Status { job, wait, reply } => self.status(job, wait, reply),
            Command::List { reply } => self.list(reply),
            Command::WorkerAttached { hello, outbox, reply } => self.worker_attached(hello, outbox, reply),
            Command::WorkerSaid { stream, message } => self.worker_said(stream, message),
            Command::StreamEnded { stream } => self.stream_ended(stream),
            Command::ListWorkers { reply } => self.list_workers(reply),
            Command::DrainWorker { named, reply } => self.drain_worker(&named, reply),
            Command::Drain { reply } => self.drain(reply),
            Command::Dismiss { reply } => self.dismiss(reply),
            Command::Stop => {}
        }
    }

    /// Ids are never used again.
    fn new_id(&mut self) -> u64 {
        self.last_worker += 1;
        self.last_worker
    }
}
