//! A trial of one slot: a runner that does what a script says, right or wrong, and a ledger of what the slot reports.
//!
//! The slot is the real one, with its socket and its map; only its loop is here, so that each step has an end. A script is a
//! sequence of steps, each a byte that says which ([`Trial::step`]) and what that step needs.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Batch, OutcomeRun, TaskChunk, WorkerMessage};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{Driver, Left, Shared};
use crate::child::{Child, ChildWatch, Exit};
use crate::job::{Functions, Job, TaskTime};
use crate::launch::{Launcher, ThreadLauncher};
use crate::memory::oom::OomWatch;
use crate::runtime::native::Registry;
use crate::slot::frame::{HEADER_BYTES, Header, Kind};
use crate::slot::map::SlotMap;
use crate::slot::record::Word;
use crate::slot::runner::{READ_BYTES, Runner};
use crate::slot::status::Status;
use crate::slot::work::Work;

/// Batches a slot gets in one trial.
const BATCHES: u64 = 3;

/// Plays a script to its end, or until the slot parts with the runner; then checks that no task was forgotten.
pub(crate) async fn play(script: &[u8]) -> io::Result<()> {
    let mut script = Script(script);
    let mut trial = Trial::new(script.byte().unwrap_or_default(), script.0.len())?;
    while trial.driver.runner.is_some() {
        trial.give_work();
        trial.driver.fill().await;
        let Some(step) = script.byte() else { break };
        trial.step(step, &mut script).await;
        trial.note_reports();
    }
    trial.hang_up().await;
    Ok(())
}

/// Bytes that are taken one after another; where they end, there are zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.0.split_off_first().copied()
    }

    fn number(&mut self) -> u64 {
        self.byte().unwrap_or_default().into()
    }

    /// At most 255 bytes, after one that says how many.
    fn bytes(&mut self) -> &'a [u8] {
        let length = (self.number() as usize).min(self.0.len());
        self.0.split_off(..length).unwrap_or_default()
    }
}

struct Trial {
    driver: Driver,
    job: Arc<Job>,
    /// The runner's end.
    socket: Option<OwnedWriteHalf>,
    map: SlotMap,
    area_offset: usize,
    tasks: u32,
    reports: mpsc::Receiver<WorkerMessage>,
    left: mpsc::Receiver<Left>,
    ledger: Ledger,
    /// Bytes of the whole script: more cannot have been sent.
    script_bytes: usize,
}

impl Trial {
    fn new(flags: u8, script_bytes: usize) -> io::Result<Self> {
        static OOM: OnceLock<Arc<Mutex<OomWatch>>> = OnceLock::new();
        // No step leads to more messages than it has bytes, give or take a few.
        let (left_sender, left) = mpsc::channel(script_bytes + 64);
        let (reports_sender, reports) = mpsc::channel(script_bytes + 64);
        let status = Status::default();
        let shared = Shared {
            left: left_sender,
            reports: reports_sender,
            max_message_bytes: poolmap_proto::MAX_TAKEN_BYTES,
            tasks: TaskTracker::new(),
            statuses: [status.clone()].into(),
            status,
            oom: OOM.get_or_init(|| Arc::new(Mutex::new(OomWatch::start()))).clone(),
        };
        let mut driver = Driver::new(0, mpsc::channel(1).1, shared);
        let job = Arc::new(job(flags & 1 != 0, flags & 2 != 0));
        let (socket, map) = attach(&mut driver, &job)?;
        let tasks = 1 + u32::from(flags >> 2);
        let ledger = Ledger::default();
        Ok(Self {
            driver,
            job,
            socket: Some(socket),
            map,
            area_offset: 0,
            tasks,
            reports,
            left,
            ledger,
            script_bytes,
        })
    }

    fn give_work(&mut self) {
        if self.driver.work.is_none() && self.ledger.batch_id < BATCHES {
            self.ledger =
                Ledger { batch_id: self.ledger.batch_id + 1, tasks: self.tasks, ..Ledger::default() };
            let lengths = vec![1; self.tasks as usize];
            let payloads = vec![b'7'; lengths.len()].into();
            let tasks = Some(TaskChunk { first_index: 0, lengths, payloads });
            let batch = Batch { batch_id: self.ledger.batch_id, job_id: self.job.id, attempt: 1, tasks };
            self.driver.work = Some(Work::new(batch, self.job.clone()));
        }
    }

    async fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 9 {
            0 => drop(self.map.begin(script.number())),
            1 => self.write_area(script.bytes()),
            2 => {
                let (flags, body) = (script.number(), script.bytes());
                self.write_area(&Word::new(body.len(), flags & 1 != 0, flags & 2 != 0).encode());
                self.write_area(body);
            }
            3 => {
                let (kind, sequence, body) = (script.number(), script.number(), script.bytes());
                let frame = frame(kind as u32, sequence, body);
                self.send(&frame).await;
            }
            4 => self.send(script.bytes()).await,
            5 => self.driver.poll().await,
            6 => self.driver.stop_after_current(),
            7 => self.area_offset = 0,
            _ if script.number() == 0 => self.driver.stop_batch(self.ledger.batch_id).await,
            _ => self.driver.evict().await,
        }
    }

    fn write_area(&mut self, bytes: &[u8]) {
        if self.map.write_area(self.area_offset, bytes) {
            self.area_offset += bytes.len();
        }
    }

    /// Sends bytes to the pool, which takes up all of them.
    async fn send(&mut self, bytes: &[u8]) {
        let Some(socket) = &self.socket else { return };
        let _closed = socket.writable().await;
        let mut unread = socket.try_write(bytes).unwrap_or_default();
        while let (1.., Some(runner)) = (unread, &mut self.driver.runner) {
            let before = runner.inbox_bytes().0;
            let progress = runner.progress().await;
            let (held, capacity) = runner.inbox_bytes();
            let most = 2 * (READ_BYTES + self.script_bytes);
            assert!(capacity <= most, "{capacity} bytes of memory for {held} that came");
            unread = unread.saturating_sub(held - before);
            self.driver.runner_progressed(progress).await;
        }
    }

    /// The runner ends. What it has not run is there to be run again, and nothing else.
    async fn hang_up(mut self) {
        self.socket = None;
        while let Some(runner) = &mut self.driver.runner {
            let progress = runner.progress().await;
            self.driver.runner_progressed(progress).await;
        }
        self.note_reports();
        let Ledger { tasks, reported, is_over, .. } = self.ledger;
        if let Some(work) = &mut self.driver.work {
            assert!(!is_over, "a batch that is over is still in its slot");
            assert!(work.frame().is_none(), "a batch lies with a runner that is gone");
            let next = work.send(u32::MAX, 1).map(|next| (next.index, next.lengths.len()));
            assert_eq!(next, Some((reported.into(), (tasks - reported) as usize)), "tasks to be run again");
        } else {
            assert!(
                is_over || self.ledger.batch_id == 0,
                "a batch is gone, {reported} of {tasks} tasks reported"
            );
        }
    }

    fn note_reports(&mut self) {
        while let Ok(message) = self.reports.try_recv() {
            self.ledger.note(message.kind);
        }
        while let Ok(left) = self.left.try_recv() {
            assert_eq!(left.batch_id, self.ledger.batch_id, "another batch has left");
            let Ledger { tasks, reported, has_ended, .. } = self.ledger;
            assert!(has_ended || reported == tasks, "a batch has left, {reported} of {tasks} tasks reported");
            self.ledger.is_over = true;
        }
    }
}

/// What the coordinator knows of the batch.
#[derive(Default)]
struct Ledger {
    batch_id: u64,
    tasks: u32,
    reported: u32,
    /// It was said that nothing follows of it.
    has_ended: bool,
    /// It has left the slot.
    is_over: bool,
}

impl Ledger {
    fn note(&mut self, report: Option<Report>) {
        let is_of_batch = !matches!(report, Some(Report::JobRejected(_)));
        assert!(!self.is_over || !is_of_batch, "{report:?} of a batch that is over");
        match report {
            Some(Report::Outcomes(ended)) => {
                let run = ended.run.unwrap_or_default();
                check_run(&run);
                self.reported += run.lengths.len() as u32;
                assert!(!self.has_ended && self.reported <= self.tasks, "more outcomes than tasks: {run:?}");
            }
            Some(Report::Crashed(crashed)) => self.end_at(crashed.offset),
            Some(Report::Evicted(evicted)) => self.end_at(evicted.offset),
            Some(Report::Returned(returned)) => {
                assert!((self.reported..=self.tasks).contains(&returned.length), "{returned:?}");
                self.tasks = returned.length;
            }
            Some(Report::JobRejected(_)) => self.has_ended = true,
            _ => {}
        }
    }

    fn end_at(&mut self, offset: u32) {
        assert!(!self.has_ended, "a batch ends twice");
        assert!(
            offset == self.reported && offset < self.tasks,
            "task {offset} blamed after {}",
            self.reported
        );
        self.has_ended = true;
    }
}

/// What the coordinator refuses a worker for.
fn check_run(run: &OutcomeRun) {
    let tasks = run.lengths.len();
    let bytes: usize = run.lengths.iter().map(|length| *length as usize).sum();
    assert_eq!(bytes, run.values.len(), "lengths and values of {run:?}");
    let offsets: Vec<_> = run.failures.iter().map(|failure| failure.offset as usize).collect();
    assert!(offsets.is_sorted_by(|a, b| a < b) && offsets.iter().all(|at| *at < tasks), "{run:?}");
    assert!(tasks > 0 && (run.details.is_empty() || run.details.len() == tasks), "details of {run:?}");
}

fn job(has_time_out: bool, has_details: bool) -> Job {
    Job {
        id: 1,
        function: Bytes::from_static(b"function"),
        functions: Functions::default(),
        joins_payloads: true,
        has_details,
        max_tasks_per_child: None,
        max_child_rss_bytes: None,
        timeout: has_time_out.then_some(Duration::ZERO),
        shared_child: None,
        folder: None,
        launcher: Launcher::Thread(ThreadLauncher::new(false, Registry::new())),
        task_time: TaskTime::default(),
    }
}

/// Gives the slot a runner, as if it had been started for the job; returns that runner's end.
fn attach(driver: &mut Driver, job: &Arc<Job>) -> io::Result<(OwnedWriteHalf, SlotMap)> {
    let (pool, runner) = std::os::unix::net::UnixStream::pair()?;
    let map = SlotMap::create()?;
    let runner_map = SlotMap::open(map.fd().try_clone_to_owned()?)?;
    runner.set_nonblocking(true)?;
    let (reader, writer) = UnixStream::from_std(runner)?.into_split();
    let (child, watch) = Child::watched(None, None);
    tokio::spawn(obey(reader, watch));
    let mut runner = Runner::new(pool, map, child)?;
    runner.load(job);
    driver.runner = Some(runner);
    driver.job = Some(job.clone());
    Ok((writer, runner_map))
}

/// Reads what the pool sends, and ends when the pool hangs up, as every runner does.
async fn obey(mut reader: OwnedReadHalf, watch: ChildWatch) {
    let mut sent = [0; 4096];
    while matches!(reader.read(&mut sent).await, Ok(1..)) {}
    watch.ended(Exit::Thread);
}

/// A frame of any kind, with the length that it has.
fn frame(kind: u32, sequence: u64, body: &[u8]) -> Vec<u8> {
    let header = Header { sequence, length: body.len() as u64, ..Header::new(Kind::Done) };
    let mut bytes = header.encode();
    for (byte, kind) in bytes.iter_mut().zip(kind.to_le_bytes()) {
        *byte = kind;
    }
    debug_assert_eq!(bytes.len(), HEADER_BYTES, "a header is as long as it says");
    [bytes.as_slice(), body].concat()
}
