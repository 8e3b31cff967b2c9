//! Tasks on their way from Python threads to the engine: appended under a lock that is never held for long.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use poolmap_client::Chunk;
use pyo3::{Py, PyAny};
use tokio::sync::Notify;

use crate::results::Shared;
use crate::waiters::Waiters;

/// Bytes of payloads after which a chunk is full. Larger ones would only wait longer to be sent.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
/// Tasks after which a chunk is full.
const CHUNK_TASKS: usize = 1 << 16;

/// What a task carries.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    /// Is copied into a chunk with others.
    Small(&'a [u8]),
    /// Is a chunk by itself.
    Large(Bytes),
}

/// Who waits for the outcomes of a chunk.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A future for each task.
    Futures(Vec<Option<Py<PyAny>>>),
    /// One iterator for all, in which the first task of the chunk has this place.
    Results { shared: Arc<Shared>, place: u64 },
}

/// Tasks that are of no interest any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) tasks: Range<u64>,
    /// Also those that run; the others come to their end.
    pub(crate) running: bool,
}

/// Consecutive tasks with one kind of sink.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) first_index: u64,
    pub(crate) chunk: Chunk,
    pub(crate) sink: Sink,
}

/// What a job is given to do.
#[derive(Debug)]
pub(crate) struct Intake {
    state: Mutex<State>,
    /// Tasks below this index count as begun: the oldest without an outcome, one for each slot.
    begun: AtomicU64,
    /// There is something new for an engine that waits.
    wake: Notify,
    /// Of the futures.
    pub(crate) waiters: Arc<Waiters>,
}

/// Why a job takes no tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was closed.
    Closed,
    /// It cannot run any task; says why.
    Broken(String),
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what there is to tell, and what was told")]
struct State {
    full: VecDeque<Parcel>,
    open: Option<Open>,
    functions: Vec<Bytes>,
    function_count: u64,
    next_index: u64,
    refusal: Option<Refusal>,
    stops: Vec<Stop>,
    is_cancelled: bool,
    /// The engine knows that no task follows, and that what has not begun shall not.
    knows_closed: bool,
    knows_cancelled: bool,
    /// The engine waits to be woken.
    is_idle: bool,
}

/// A chunk that grows.
#[derive(Debug)]
struct Open {
    first_index: u64,
    lengths: Vec<u32>,
    payloads: Vec<u8>,
    sink: Sink,
}

/// What the engine has to do next.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) functions: Vec<Bytes>,
    pub(crate) parcels: VecDeque<Parcel>,
    pub(crate) stops: Vec<Stop>,
    /// What has not begun shall not; said once.
    pub(crate) is_cancelled: bool,
    /// No task follows; said once.
    pub(crate) is_closed: bool,
}

impl Intake {
    pub(crate) fn new(slots: u64) -> Self {
        Self {
            state: Mutex::default(),
            begun: AtomicU64::new(slots),
            wake: Notify::new(),
            waiters: Arc::default(),
        }
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// More outcomes have come, so as many more tasks count as begun.
    pub(crate) fn note_outcomes(&self, count: u64) {
        self.begun.fetch_add(count, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a function to the job's list and returns its number.
    pub(crate) fn add_function(&self, pickled: Bytes) -> u64 {
        let mut state = self.lock();
        state.functions.push(pickled);
        state.function_count += 1;
        state.function_count - 1
    }

    /// Appends a task with a future; returns its index.
    pub(crate) fn add(&self, payload: Payload<'_>, future: Py<PyAny>) -> Result<u64, Refusal> {
        let mut state = self.lock();
        let is_same = |sink: &Sink| matches!(sink, Sink::Futures(_));
        let open = state.open(&payload, is_same, || Sink::Futures(Vec::new()))?;
        if let Sink::Futures(futures) = &mut open.sink {
            futures.push(Some(future));
        }
        self.waiters.expect_one();
        let index = state.append(payload);
        self.wake(state);
        Ok(index)
    }

    /// Appends a task of an iterator, in which it has this place.
    pub(crate) fn add_result(
        &self,
        payload: Payload<'_>,
        shared: &Arc<Shared>,
        place: u64,
    ) -> Result<u64, Refusal> {
        let mut state = self.lock();
        let is_same =
            |sink: &Sink| matches!(sink, Sink::Results { shared: other, .. } if Arc::ptr_eq(other, shared));
        state.open(&payload, is_same, || Sink::Results { shared: shared.clone(), place })?;
        let index = state.append(payload);
        self.wake(state);
        Ok(index)
    }

    /// Tasks are of no interest any more.
    pub(crate) fn stop(&self, stops: impl IntoIterator<Item = Stop>) {
        let mut state = self.lock();
        state.stops.extend(stops);
        self.wake(state);
    }

    /// No task follows.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.refusal.get_or_insert(Refusal::Closed);
        self.wake(state);
    }

    /// No task follows, and what has not begun shall not.
    pub(crate) fn cancel(&self) {
        let mut state = self.lock();
        state.refusal.get_or_insert(Refusal::Closed);
        state.is_cancelled = true;
        self.wake(state);
    }

    /// Nothing can be run any more; returns what was still here.
    pub(crate) fn refuse(&self, refusal: Refusal) -> VecDeque<Parcel> {
        let mut state = self.lock();
        state.refusal = Some(refusal);
        state.finish_open();
        std::mem::take(&mut state.full)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let was_idle = std::mem::take(&mut state.is_idle);
        drop(state);
        if was_idle {
            self.wake.notify_one();
        }
    }

    /// Takes all there is; waits until there is something.
    pub(crate) async fn take(&self) -> Delivered {
        loop {
            if let Some(taken) = self.lock().take() {
                return taken;
            }
            self.wake.notified().await;
        }
    }
}

impl State {
    /// The chunk to append a payload to: a new one if the open one is full or has another kind of sink.
    fn open(
        &mut self,
        payload: &Payload<'_>,
        fits: impl Fn(&Sink) -> bool,
        sink: impl FnOnce() -> Sink,
    ) -> Result<&mut Open, Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let is_full = |open: &Open| open.payloads.len() >= CHUNK_BYTES || open.lengths.len() >= CHUNK_TASKS;
        let is_large = matches!(payload, Payload::Large(_));
        if self.open.as_ref().is_some_and(|open| is_large || is_full(open) || !fits(&open.sink)) {
            self.finish_open();
        }
        let first_index = self.next_index;
        Ok(self.open.get_or_insert_with(|| Open {
            first_index,
            lengths: Vec::new(),
            payloads: Vec::new(),
            sink: sink(),
        }))
    }

    fn append(&mut self, payload: Payload<'_>) -> u64 {
        match (&mut self.open, payload) {
            (Some(open), Payload::Small(payload)) => {
                open.lengths.push(payload.len() as u32);
                open.payloads.extend_from_slice(payload);
            }
            (Some(open), Payload::Large(payload)) => {
                open.lengths.push(payload.len() as u32);
                self.finish_open_with(Some(payload));
            }
            (None, _) => {}
        }
        self.next_index += 1;
        self.next_index - 1
    }

    fn finish_open(&mut self) {
        self.finish_open_with(None);
    }

    /// Nothing more is appended to the open chunk; `large` is all that it holds, if there is such.
    fn finish_open_with(&mut self, large: Option<Bytes>) {
        if let Some(Open { first_index, lengths, payloads, sink }) = self.open.take() {
            let chunk = Chunk { lengths, payloads: large.unwrap_or_else(|| payloads.into()) };
            self.full.push_back(Parcel { first_index, chunk, sink });
        }
    }

    fn take(&mut self) -> Option<Delivered> {
        self.finish_open();
        let is_closed =
            self.refusal.is_some() && !std::mem::replace(&mut self.knows_closed, self.refusal.is_some());
        let is_cancelled =
            self.is_cancelled && !std::mem::replace(&mut self.knows_cancelled, self.is_cancelled);
        self.is_idle = self.full.is_empty() && self.stops.is_empty() && !is_closed && !is_cancelled;
        (!self.is_idle).then(|| Delivered {
            functions: std::mem::take(&mut self.functions),
            parcels: std::mem::take(&mut self.full),
            stops: std::mem::take(&mut self.stops),
            is_cancelled,
            is_closed,
        })
    }
}
