//! The one task that owns jobs, workers and the scheduler: it turns commands into events, and actions into messages.

use std::collections::HashMap;

use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::coordinator_message::Kind as ToWorker;
use poolmap_proto::v1::worker_message::Kind as FromWorker;
use poolmap_proto::v1::{
    Batch, BatchOutcomes, Crashed, Detail, Failure, FailureKind, Heartbeat, Hello, JobSpec, JobStarted, OutcomeRun, StatusResponse, TakeBack,
    TaskChunk, Welcome,
};
use poolmap_scheduler::{Action, BatchId, Event, JobId, JobOptions, Scheduler, WorkerId};
use tokio::sync::mpsc;
use tonic::Status;

use crate::Config;
use crate::clock::Clock;
use crate::command::{Command, Reply};
use crate::job::Job;
use crate::outcomes;
use crate::workers::{Outbox, Workers};

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
    /// Events that follow from carrying out actions; fed before the next command is taken up.
    follow_ups: Vec<Event>,
    last_id: u64,
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
            follow_ups: Vec::new(),
            last_id: 0,
        }
    }

    /// Runs until nobody can send commands any more.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut heartbeat = tokio::time::interval(self.config.worker_timeout / HEARTBEATS_PER_TIMEOUT);
        loop {
            let wakeup = self.scheduler.next_wakeup();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Stop) | None => return,
                    Some(command) => self.command(command),
                },
                _ = heartbeat.tick() => self.drop_silent_workers(),
                () = self.clock.reach(wakeup) => self.feed(Event::TimePassed, Report::Nothing),
            }
            self.follow_up();
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
            Command::AddTasks { job, chunk, reply } => self.add_tasks(job, chunk, reply),
            Command::Close { job, reply } => self.close(job, reply),
            Command::Outcomes { job, cursor, reply } => self.read(job, reply, |job, reply| job.read_from(cursor, reply)),
            Command::Cancel { job, reply } => self.cancel(job, reply),
            Command::Status { job, reply } => self.status(job, reply),
            Command::WorkerAttached { hello, outbox, reply } => self.worker_attached(hello, outbox, reply),
            Command::WorkerSaid { worker, message } => self.worker_said(worker, message.kind),
            Command::WorkerGone { worker } => self.worker_gone(worker),
            Command::Stop => {}
        }
    }

    // ---- clients

    fn submit(&mut self, spec: JobSpec, reply: Reply<JobId>) {
        if spec.function.as_ref().and_then(|function| function.kind.as_ref()).is_none() {
            let _gone = reply.send(Err(Status::invalid_argument("a job needs a function")));
            return;
        }
        let job = JobId(self.new_id());
        let recycling = spec.child.as_ref().map_or(0, |child| child.max_tasks_per_child);
        let options = JobOptions {
            priority: spec.priority,
            crash_limit: if spec.crash_limit == 0 { DEFAULT_CRASH_LIMIT } else { spec.crash_limit },
            max_tasks_per_child: (recycling > 0).then(|| u32::try_from(recycling).unwrap_or(u32::MAX)),
            ..JobOptions::default()
        };
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

    fn status(&mut self, job: JobId, reply: Reply<StatusResponse>) {
        let running = self.scheduler.task_counts(job).map_or(0, |counts| counts.running);
        self.read(job, reply, |entry, reply| {
            let (done, failed) = entry.done();
            let tasks = entry.chunks.tasks();
            let closed = entry.closed;
            let _gone = reply.send(Ok(StatusResponse { tasks, running, done, failed, closed }));
        });
    }

    // ---- workers

    fn worker_attached(&mut self, hello: Hello, outbox: Outbox, reply: Reply<WorkerId>) {
        if hello.protocol != PROTOCOL_VERSION || hello.slots == 0 {
            let _gone = reply.send(Err(refusal(&hello)));
            return;
        }
        let worker = WorkerId(self.new_id());
        let slots = hello.slots;
        tracing::debug!(worker = worker.0, name = hello.name, slots, "a worker attached");
        self.workers.attach(worker, hello, outbox, self.clock.now());
        let interval = self.config.worker_timeout / HEARTBEATS_PER_TIMEOUT;
        let heartbeat_interval_ms = u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        self.workers.send(worker, ToWorker::Welcome(Welcome { worker_id: worker.0, heartbeat_interval_ms }));
        let _gone = reply.send(Ok(worker));
        self.feed(Event::WorkerJoined { worker, slots }, Report::Nothing);
    }

    fn worker_said(&mut self, worker: WorkerId, said: Option<FromWorker>) {
        if !self.workers.heard(worker, self.clock.now()) {
            return;
        }
        match said {
            Some(FromWorker::Begun(begun)) => {
                self.feed(Event::Begun { worker, batch: BatchId(begun.batch_id) }, Report::Nothing);
            }
            Some(FromWorker::Outcomes(ended)) => self.ended(worker, ended),
            Some(FromWorker::Returned(returned)) => {
                let (batch, length) = (BatchId(returned.batch_id), returned.length);
                self.feed(Event::Returned { worker, batch, length }, Report::Nothing);
            }
            Some(FromWorker::Crashed(crashed)) => self.crashed(worker, crashed),
            Some(FromWorker::JobRejected(rejected)) => self.rejected(JobId(rejected.job_id), rejected.error),
            Some(FromWorker::Heartbeat(Heartbeat {}) | FromWorker::Hello(_)) | None => {}
        }
    }

    fn ended(&mut self, worker: WorkerId, ended: BatchOutcomes) {
        let run = ended.run.unwrap_or_default();
        if let Err(error) = outcomes::check(&run) {
            self.workers.refuse(worker, Status::invalid_argument(error.to_string()));
            return;
        }
        let (batch, count) = (BatchId(ended.batch_id), run.lengths.len() as u32);
        let event = Event::Ended { worker, batch, count, busy_ns: ended.busy_ns, failed: Vec::new() };
        self.feed(event, Report::Outcomes { worker, run });
    }

    fn crashed(&mut self, worker: WorkerId, crashed: Crashed) {
        let (batch, offset) = (BatchId(crashed.batch_id), crashed.offset);
        let cause = crashed.cause.unwrap_or_default();
        self.feed(Event::Crashed { worker, batch, offset }, Report::Death { worker, cause });
    }

    fn rejected(&mut self, job: JobId, error: String) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.closed = true;
        entry.reject(error);
        self.workers.end_job(job);
        self.feed(Event::JobCancelled { job, kills_running: false }, Report::Nothing);
        self.settle(job);
    }

    fn worker_gone(&mut self, worker: WorkerId) {
        if self.workers.detach(worker) {
            tracing::debug!(worker = worker.0, "a worker is gone");
            self.feed(Event::WorkerLeft { worker, is_blamed: true }, Report::Nothing);
        }
    }

    fn drop_silent_workers(&mut self) {
        for worker in self.workers.silent(self.config.worker_timeout, self.clock.now()) {
            tracing::warn!(worker = worker.0, "a worker was silent for too long and is taken for lost");
            self.worker_gone(worker);
        }
    }

    // ---- the scheduler

    /// Tells the scheduler what happened and carries out what it decides.
    fn feed(&mut self, event: Event, mut report: Report) {
        let mut actions = std::mem::take(&mut self.actions);
        self.scheduler.handle(self.clock.now(), event, &mut actions);
        for action in actions.drain(..) {
            self.act(action, &mut report);
        }
        self.actions = actions;
    }

    fn act(&mut self, action: Action, report: &mut Report) {
        match action {
            Action::Assign { worker, batch, job, first, count, attempt } => {
                self.introduce(worker, job);
                let tasks = self.jobs.get(&job).and_then(|entry| entry.chunks.slice(first, count));
                debug_assert!(tasks.is_some(), "the scheduler hands out only what was added and is not done");
                let batch = Batch { batch_id: batch.0, job_id: job.0, attempt, tasks };
                self.workers.send(worker, ToWorker::Batch(batch));
            }
            Action::TakeBack { worker, batch, count } => {
                self.workers.send(worker, ToWorker::TakeBack(TakeBack { batch_id: batch.0, count }));
            }
            Action::Deliver { job, first, attempt, .. } => self.deliver(job, first, attempt, report),
            Action::Fail { job, index, attempt } => self.fail(job, index, attempt, report),
            Action::Cancel { job, first, count } => {
                self.push(job, OutcomeRun { first_index: first, cancelled: count, ..OutcomeRun::default() });
            }
            // Nothing asks for either yet: no job is killed, halted or copied.
            Action::Stop { .. } | Action::JobHalted { .. } => {}
            Action::JobDone { job } => {
                self.workers.end_job(job);
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.end();
                }
                self.settle(job);
            }
        }
    }

    fn introduce(&mut self, worker: WorkerId, job: JobId) {
        if self.workers.introduce(worker, job)
            && let Some(entry) = self.jobs.get(&job)
        {
            let JobSpec { function, child, details, .. } = entry.spec.clone();
            self.workers.send(worker, ToWorker::JobStarted(JobStarted { job_id: job.0, function, child, details }));
        }
    }

    fn deliver(&mut self, job: JobId, first: u64, attempt: u32, report: &mut Report) {
        let Report::Outcomes { worker, run } = std::mem::replace(report, Report::Nothing) else { return };
        let mut run = OutcomeRun { first_index: first, cancelled: 0, worker: String::new(), ..run };
        if !run.details.is_empty() {
            run.worker = self.workers.name(worker).to_owned();
            run.details.iter_mut().for_each(|detail| detail.attempt = attempt);
        }
        self.push(job, run);
    }

    fn fail(&mut self, job: JobId, index: u64, attempt: u32, report: &mut Report) {
        let (worker, cause) = match std::mem::replace(report, Report::Nothing) {
            Report::Death { worker, cause } => (self.workers.name(worker).to_owned(), cause),
            _ => (String::new(), lost_worker()),
        };
        let details = match self.jobs.get(&job) {
            Some(entry) if entry.spec.details => vec![Detail { attempt, ..Detail::default() }],
            _ => Vec::new(),
        };
        let failures = vec![Failure { offset: 0, ..cause }];
        self.push(job, OutcomeRun { first_index: index, lengths: vec![0], failures, details, worker, ..Default::default() });
    }

    fn push(&mut self, job: JobId, run: OutcomeRun) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.deliver(run);
            self.settle(job);
        }
    }

    /// After a change to a job: lets those go on who wait for it, and holds it while its reader is behind.
    fn settle(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.answer_writer(self.config.queued_bytes_max);
        if entry.answer_reader() {
            self.jobs.remove(&job);
            return;
        }
        let unread = entry.unread_bytes();
        let hold = if entry.held { unread > self.config.unread_bytes_max / 2 } else { unread > self.config.unread_bytes_max };
        if hold != entry.held {
            entry.held = hold;
            self.follow_ups.push(Event::JobHeld { job, held: hold });
        }
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

fn unknown_job(job: JobId) -> Status {
    Status::not_found(format!("there is no job {}: it never was, or it has ended and its outcomes were read", job.0))
}

fn refusal(hello: &Hello) -> Status {
    if hello.protocol == PROTOCOL_VERSION {
        return Status::invalid_argument(format!("worker {} offers no slots", hello.name));
    }
    let (theirs, ours) = (hello.protocol, PROTOCOL_VERSION);
    Status::failed_precondition(format!(
        "worker {} (poolmap {}) speaks protocol {theirs}, this coordinator (poolmap {}) protocol {ours}: run the same version of \
         poolmap on both",
        hello.name,
        hello.version,
        env!("CARGO_PKG_VERSION"),
    ))
}

/// The cause of a failure that no report came with: the worker itself went away.
fn lost_worker() -> Failure {
    Failure {
        kind: FailureKind::Lost.into(),
        message: "every worker that ran this task was lost while it ran".to_owned(),
        ..Failure::default()
    }
}
