//! A trial of the core: a job, two workers that say what a script has them say, and then an honest one that does the rest.
//!
//! The core is the real one; only its loop is here, so that each step has an end. A script is flags for the job and then
//! steps, each a byte that says which ([`Trial::step`]), another that says how long what follows is, and that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::coordinator_message::Kind as ToWorker;
use poolmap_proto::v1::function::Kind as FunctionKind;
use poolmap_proto::v1::worker_message::Kind as FromWorker;
use poolmap_proto::v1::{
    BatchOutcomes, Function, Halt, Hello, JobEnd, JobSpec, NativeFunction, OutcomeRun, Returned, TaskChunk,
    WorkerMessage, halt,
};
use poolmap_scheduler::{Event, JobId};
use prost::Message as _;
use tokio::sync::oneshot;

use super::{Core, Report};
use crate::Config;
use crate::command::{Command, Outcomes, Reply};
use crate::files::Held;
use crate::outcomes;
use crate::workers::{Attachment, Inbox, Outbox};

/// Tasks of the job, in two chunks.
const CHUNKS: [u32; 2] = [24, 16];
const TASKS: u64 = 40;
/// Far more than the scheduler sends ahead, since nobody reads while a step lasts.
const OUTBOX: usize = 4096;

/// Plays a script, lets an honest worker do what is left, and checks that each task has one outcome.
pub(crate) fn play(mut script: &[u8]) {
    let Some(flags) = script.split_off_first() else { return };
    let mut trial = Trial::new(*flags);
    while let Some(step) = script.split_off_first() {
        let length = script.split_off_first().map_or(0, |length| usize::from(*length)).min(script.len());
        trial.step(*step, script.split_off(..length).unwrap_or_default());
        trial.settle();
    }
    trial.finish();
}

struct Trial {
    core: Core,
    job: JobId,
    /// Those that are attached, of two.
    workers: BTreeMap<u8, (Attachment, Inbox)>,
}

impl Trial {
    fn new(flags: u8) -> Self {
        // Workers may come back, but not for long: a step takes as much.
        let mut core = Core::new(Config { reconnect_grace: Duration::from_nanos(1), ..Config::default() });
        let spec = spec(flags);
        let job = JobId(1);
        ask(&mut core, |reply| Command::Submit { job, spec, files: Held::default(), reply });
        let mut trial = Self { core, job, workers: BTreeMap::new() };
        for (who, slots) in [(0, 2), (1, 1)] {
            let attached = trial.attach(hello(slots));
            trial.workers.extend(attached.map(|attached| (who, attached)));
        }
        for (first_index, count) in [(0, CHUNKS[0]), (u64::from(CHUNKS[0]), CHUNKS[1])] {
            let (lengths, payloads) = (vec![1; count as usize], vec![b'7'; count as usize].into());
            let chunk = TaskChunk { first_index, lengths, payloads };
            ask(&mut trial.core, |reply| Command::AddTasks { job, functions: None, chunk, reply });
        }
        trial.settle();
        trial
    }

    fn attach(&mut self, hello: Hello) -> Option<(Attachment, Inbox)> {
        let (outbox, inbox, _dismissed) = Outbox::new(OUTBOX);
        let stream = ask(&mut self.core, |reply| Command::WorkerAttached { hello, outbox, reply });
        stream.map(|stream| (stream, inbox))
    }

    fn step(&mut self, step: u8, bytes: &[u8]) {
        let (who, job) = (step & 1, self.job);
        let stream = self.workers.get(&who).map(|(stream, _)| *stream);
        match ((step >> 1) % 8, stream) {
            (0, Some(stream)) => {
                self.workers.remove(&who);
                self.core.command(Command::StreamEnded { stream });
            }
            (0, None) => {
                let attached = Hello::decode(bytes).ok().and_then(|hello| self.attach(hello));
                self.workers.extend(attached.map(|attached| (who, attached)));
            }
            (1, _) => self.core.feed(Event::TimePassed, Report::Nothing),
            (2, _) => drop(ask(&mut self.core, |reply| Command::Cancel { job, running: false, reply })),
            (_, Some(stream)) => {
                if let Ok(message) = WorkerMessage::decode(bytes) {
                    self.core.command(Command::WorkerSaid { stream, message });
                }
            }
            (_, None) => {}
        }
    }

    /// Does what the loop does between commands, and checks what must hold there.
    fn settle(&mut self) {
        self.core.drop_absent_workers();
        self.core.follow_up();
        let holds = self.core.scheduler.check_invariants();
        assert_eq!(holds, Ok(()), "after an event");
        self.workers.retain(|_, (_, inbox)| {
            while inbox.try_recv().is_ok() {}
            !inbox.is_closed()
        });
    }

    fn finish(mut self) {
        let job = self.job;
        for (stream, _) in std::mem::take(&mut self.workers).into_values() {
            self.core.command(Command::StreamEnded { stream });
        }
        ask(&mut self.core, |reply| Command::Close { job, reply });
        self.settle();
        if let Some((stream, inbox)) = self.attach(hello(3)) {
            self.work(stream, inbox);
        }
        let (runs, end) = self.outcomes();
        check(&runs, &end);
    }

    /// Does all that is handed out.
    fn work(&mut self, stream: Attachment, mut inbox: Inbox) {
        while let Ok(said) = inbox.try_recv() {
            let answer = match said.ok().and_then(|message| message.kind) {
                Some(ToWorker::Batch(batch)) => {
                    let tasks = batch.tasks.map_or(0, |tasks| tasks.lengths.len());
                    let run = OutcomeRun { lengths: vec![0; tasks], ..OutcomeRun::default() };
                    let ended = BatchOutcomes { batch_id: batch.batch_id, run: Some(run), busy_ns: 1 };
                    FromWorker::Outcomes(ended)
                }
                Some(ToWorker::TakeBack(asked)) => {
                    FromWorker::Returned(Returned { batch_id: asked.batch_id, length: 1 })
                }
                _ => continue,
            };
            self.core.command(Command::WorkerSaid {
                stream,
                message: WorkerMessage { received: 0, kind: Some(answer) },
            });
            self.settle();
        }
    }

    /// Reads all outcomes; the job must have ended.
    fn outcomes(&mut self) -> (Vec<OutcomeRun>, JobEnd) {
        let (mut runs, mut cursor, job) = (Vec::new(), 0, self.job);
        loop {
            let answer = ask(&mut self.core, |reply| Command::Outcomes { job, position: cursor, reply });
            assert!(answer.is_some(), "the job does not end: {runs:?}");
            let Some(Outcomes::Here(answer)) = answer else { return (runs, JobEnd::default()) };
            runs.extend(answer.runs);
            cursor = answer.cursor;
            if let Some(end) = answer.end {
                return (runs, end);
            }
        }
    }
}

/// Sends a command to the core and takes the answer that is there at once, if it is good.
fn ask<T>(core: &mut Core, command: impl FnOnce(Reply<T>) -> Command) -> Option<T> {
    let (reply, mut answer) = oneshot::channel();
    core.command(command(reply));
    core.follow_up();
    answer.try_recv().ok()?.ok()
}

fn hello(slots: u32) -> Hello {
    Hello { protocol: PROTOCOL_VERSION, slots, ..Hello::default() }
}

fn spec(flags: u8) -> JobSpec {
    let is_set = |bit: u8| flags & (1 << bit) != 0;
    let native = NativeFunction { name: "f".to_owned() };
    JobSpec {
        function: Some(Function { kind: Some(FunctionKind::Native(native)) }),
        details: is_set(0),
        retries: u32::from(is_set(1)),
        speculate: is_set(2),
        crash_limit: 1 + u32::from(is_set(3)),
        halt: is_set(4).then_some(Halt { when: Some(halt::When::Failures(u64::from(flags >> 5))) }),
        ..JobSpec::default()
    }
}

/// Each task has one outcome, unless the job could not run at all; then it has at most one.
fn check(runs: &[OutcomeRun], end: &JobEnd) {
    let mut seen = BTreeSet::new();
    for run in runs {
        assert_eq!(outcomes::check(run), Ok(()), "a run that no client can read: {run:?}");
        let indexes = run.first_index..run.first_index + outcomes::tasks(run);
        assert!(indexes.clone().all(|index| seen.insert(index)), "twice: {indexes:?}");
        assert!(indexes.end <= TASKS, "beyond the job: {indexes:?}");
    }
    let is_whole = seen.len() as u64 == TASKS;
    assert!(is_whole || !end.error.is_empty(), "{} of {TASKS} tasks have an outcome", seen.len());
}
