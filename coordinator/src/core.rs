//! The one task that owns jobs, workers and the scheduler: it turns commands into events, and actions into messages.

mod actions;
mod reports;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;

use std::collections::HashMap;

use poolmap_proto::v1::{Failure, FunctionList, JobSpec, JobStatus, OutcomeRun, TaskChunk, TaskRange, halt};
use poolmap_scheduler::{Action, Event, Halt, JobId, JobOptions, Scheduler, WorkerId};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::Config;
use crate::clock::{self, Clock};
use crate::command::{Command, Reply};
use crate::deadlines::Deadlines;
use crate::job::Job;
use crate::workers::Workers;

/// Attempts that may end with a dead child when the job does not say.
const DEFAULT_CRASH_LIMIT: u32 = 3;
/// Heartbeats per time after which a silent worker is lost.
const HEARTBEATS_PER_TIMEOUT: u32 = 3;

/// All state of a coordinator.
pub(crate) struct Core {
    config: Config,
    clock: Clock,
    scheduler: Scheduler,
    /// Kept between events so that none allocates.
    actions: Vec<Action>,
    jobs: HashMap<JobId, Job>,
    workers: Workers,
    deadlines: Deadlines,
    /// Events that follow from carrying out actions; fed before the next command is taken up.
    follow_ups: Vec<Event>,
    last_id: u64,
    /// Takes no new job.
    is_draining: bool,
    /// Who waits until no job is left.
    drained: Option<oneshot::Sender<()>>,
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
            deadlines: Deadlines::default(),
            follow_ups: Vec::new(),
            last_id: 0,
            is_draining: false,
            drained: None,
        }
    }

    /// Runs until nobody can send commands any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut heartbeat = tokio::time::interval(self.config.worker_timeout / HEARTBEATS_PER_TIMEOUT);
        loop {
            let (wakeup, deadline) = (self.scheduler.next_wakeup(), self.deadlines.next());
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Stop) | None => return,
                    Some(command) => self.command(command),
                },
                _ = heartbeat.tick() => self.drop_silent_workers(),
                () = self.clock.reach(wakeup) => self.feed(Event::TimePassed, Report::Nothing),
                () = self.clock.reach(deadline) => self.stop_overdue_jobs(),
            }
            self.follow_up();
            self.tell_drained();
        }
    }

    fn tell_drained(&mut self) {
        if self.is_draining
            && self.jobs.values().all(Job::is_nobodys_concern)
            && let Some(drained) = self.drained.take()
        {
            let _gone = drained.send(());
        }
    }

    fn follow_up(&mut self) {
        loop {
            if let Some(event) = self.follow_ups.pop() {
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
            Command::Submit { spec, reply } => self.submit(spec, reply),
            Command::AddTasks { job, functions, chunk, reply } => {
                self.add_functions(job, functions);
                self.add_tasks(job, chunk, reply);
            }
            Command::Close { job, reply } => self.close(job, reply),
            Command::Outcomes { job, cursor, reply } => {
                self.read(job, reply, |job, reply| job.read_from(cursor, reply));
            }
            Command::Cancel { job, reply } => self.cancel(job, reply),
            Command::CancelTasks { job, tasks, running, reply } => {
                self.cancel_tasks(job, tasks, running, reply);
            }
            Command::Status { job, reply } => self.status(job, reply),
            Command::WorkerAttached { hello, outbox, reply } => self.worker_attached(hello, outbox, reply),
            Command::WorkerSaid { worker, message } => self.worker_said(worker, message.kind),
            Command::WorkerGone { worker } => self.worker_gone(worker),
            Command::Drain { reply } => (self.is_draining, self.drained) = (true, Some(reply)),
            Command::Stop => {}
        }
    }

    fn submit(&mut self, spec: JobSpec, reply: Reply<JobId>) {
        if spec.function.as_ref().and_then(|function| function.kind.as_ref()).is_none() {
            let _gone = reply.send(Err(Status::invalid_argument("a job needs a function")));
            return;
        }
        if self.is_draining {
            let _gone =
                reply.send(Err(Status::unavailable("the coordinator is stopping and takes no new jobs")));
            return;
        }
        let job = JobId(self.new_id());
        let options = options(&spec);
        if spec.timeout_ms > 0 {
            self.deadlines.add(clock::after_ms(self.clock.now(), spec.timeout_ms), job);
        }
        self.jobs.insert(job, Job::new(spec));
        self.feed(Event::JobSubmitted { job, options }, Report::Nothing);
        let _gone = reply.send(Ok(job));
    }

    fn add_tasks(&mut self, job: JobId, chunk: TaskChunk, reply: Reply<u64>) {
        let appended = match self.jobs.get_mut(&job) {
            None => Err(unknown_job(job)),
            Some(entry) if !entry.is_open() => {
                Err(Status::failed_precondition(format!("job {} takes no more tasks: it is closed", job.0)))
            }
            Some(entry) => {
                entry.chunks.append(chunk).map_err(|error| Status::invalid_argument(error.to_string()))
            }
        };
        match appended {
            Err(status) => {
                let _gone = reply.send(Err(status));
            }
            Ok(count) => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.wait_for_room(reply);
                }
                if count > 0 {
                    self.feed(Event::TasksAdded { job, count }, Report::Nothing);
                }
                self.settle(job);
            }
        }
    }

    fn add_functions(&mut self, job: JobId, list: Option<FunctionList>) {
        let (Some(list), Some(entry)) = (list, self.jobs.get_mut(&job)) else { return };
        let added = entry.functions.add(list);
        if !added.functions.is_empty() {
            self.workers.add_functions(job, &added);
        }
    }

    fn close(&mut self, job: JobId, reply: Reply<u64>) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            let _gone = reply.send(Err(unknown_job(job)));
            return;
        };
        entry.closed = true;
        let _gone = reply.send(Ok(entry.chunks.tasks()));
        self.feed(Event::JobClosed { job }, Report::Nothing);
        self.settle(job);
    }

    fn cancel(&mut self, job: JobId, reply: Reply<()>) {
        let answer = if let Some(entry) = self.jobs.get_mut(&job) {
            entry.closed = true;
            Ok(())
        } else {
            Err(unknown_job(job))
        };
        let _gone = reply.send(answer);
        self.feed(Event::JobCancelled { job, kills_running: false }, Report::Nothing);
        self.settle(job);
    }

    fn cancel_tasks(&mut self, job: JobId, tasks: Vec<TaskRange>, kills_running: bool, reply: Reply<()>) {
        let answer = if self.jobs.contains_key(&job) { Ok(()) } else { Err(unknown_job(job)) };
        let _gone = reply.send(answer);
        for TaskRange { first, count } in tasks {
            self.feed(Event::TasksCancelled { job, first, count, kills_running }, Report::Nothing);
        }
        self.settle(job);
    }

    fn stop_overdue_jobs(&mut self) {
        while let Some(job) = self.deadlines.take_due(self.clock.now()) {
            let Some(entry) = self.jobs.get_mut(&job) else { continue };
            entry.closed = true;
            entry.stopped =
                format!("it was not done after {} s, its time-out", entry.spec.timeout_ms as f64 / 1e3);
            self.feed(Event::JobCancelled { job, kills_running: true }, Report::Nothing);
            self.settle(job);
        }
    }

    fn read<T>(&mut self, job: JobId, reply: Reply<T>, read: impl FnOnce(&mut Job, Reply<T>)) {
        match self.jobs.get_mut(&job) {
            Some(entry) => {
                read(entry, reply);
                self.settle(job);
            }
            None => {
                let _gone = reply.send(Err(unknown_job(job)));
            }
        }
    }

    fn status(&mut self, job: JobId, reply: Reply<JobStatus>) {
        let running = self.scheduler.task_counts(job).map_or(0, |counts| counts.running);
        self.read(job, reply, |entry, reply| {
            let (done, failed) = entry.done();
            let tasks = entry.chunks.tasks();
            let closed = entry.closed;
            let status =
                JobStatus { job_id: job.0, tasks, running, done, failed, closed, ..JobStatus::default() };
            let _gone = reply.send(Ok(status));
        });
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// What a job asks of the scheduler.
fn options(spec: &JobSpec) -> JobOptions {
    let recycling = spec.child.as_ref().map_or(0, |child| child.max_tasks_per_child);
    let halt = match spec.halt.as_ref().and_then(|halt| halt.when) {
        None => Halt::Never,
        Some(halt::When::Failures(failures)) => Halt::AfterFailures(failures),
        Some(halt::When::Percent(percent)) => {
            Halt::AfterShare { percent: u8::try_from(percent).unwrap_or(u8::MAX) }
        }
    };
    JobOptions {
        priority: spec.priority,
        crash_limit: if spec.crash_limit == 0 { DEFAULT_CRASH_LIMIT } else { spec.crash_limit },
        max_tasks_per_child: (recycling > 0).then(|| u32::try_from(recycling).unwrap_or(u32::MAX)),
        retries: spec.retries,
        retry_delay_ns: spec.retry_delay_ms.saturating_mul(1_000_000),
        halt,
        speculate: spec.speculate,
    }
}

fn unknown_job(job: JobId) -> Status {
    Status::not_found(format!(
        "there is no job {}: it never was, or it has ended and its outcomes were read",
        job.0
    ))
}
