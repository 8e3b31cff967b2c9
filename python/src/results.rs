//! Results of a map: outcomes gathered by the engine, unpickled by the thread that iterates over them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::delivery::Hooks;
use crate::encoder::Encoder;
use crate::intake::{Intake, Stop};
use crate::piece::Piece;

/// While a thread waits, it looks so often whether a signal came.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);
/// Tasks that are encoded before other threads of the interpreter get their turn.
const TURN_TASKS: u64 = 1000;

/// Where the engine leaves outcomes for an iterator.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Why no outcome follows; without a reason, the tasks were cancelled.
#[derive(Clone, Debug)]
struct Refused(Option<String>);

#[derive(Debug, Default)]
struct State {
    /// By the place of their first task.
    pieces: BTreeMap<u64, Piece>,
    /// No outcome follows.
    refused: Option<Refused>,
    /// How many outcomes are still to come, and what is called then.
    awaited: Option<(u64, Py<PyAny>)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds outcomes; returns what is to be called if they are the last.
    pub(crate) fn push(&self, place: u64, piece: Piece) -> Option<Py<PyAny>> {
        let mut state = self.lock();
        let tasks = piece.tasks();
        state.pieces.insert(place, piece);
        self.changed.notify_one();
        let (left, _) = state.awaited.as_mut()?;
        *left = left.saturating_sub(tasks);
        let is_complete = *left == 0;
        state.awaited.take_if(|_| is_complete).map(|(_, call)| call)
    }

    /// Says that no outcome follows; returns what is to be called then.
    pub(crate) fn refuse(&self, reason: Option<String>) -> Option<Py<PyAny>> {
        let mut state = self.lock();
        state.refused.get_or_insert(Refused(reason));
        self.changed.notify_one();
        state.awaited.take().map(|(_, call)| call)
    }

    /// Takes the piece at `place`, or any if there is no such wish. Waits for it for a moment.
    fn wait(&self, place: Option<u64>, patience: Duration) -> Taken {
        let mut state = self.lock();
        for is_last in [false, true] {
            let key = place.or_else(|| state.pieces.first_key_value().map(|(place, _)| *place));
            if let Some(piece) = key.and_then(|key| state.pieces.remove(&key)) {
                return Taken::Piece(piece);
            }
            if let Some(reason) = &state.refused {
                return Taken::Refused(reason.clone());
            }
            if is_last || patience.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Taken::Nothing
    }
}

enum Taken {
    Piece(Piece),
    Refused(Refused),
    Nothing,
}

/// An iterator over the results of tasks that are added to it.
#[pyclass(module = "poolmap._native")]
pub(crate) struct Results {
    intake: Arc<Intake>,
    hooks: Arc<Hooks>,
    encoder: Arc<Encoder>,
    shared: Arc<Shared>,
    is_ordered: bool,
    /// Tasks added, and results given out.
    added: u64,
    given: u64,
    current: Option<Piece>,
    /// For payloads on their way to the intake.
    buffer: Vec<u8>,
    /// Indexes of the tasks without a result, and perhaps of some more.
    tasks: VecDeque<Range<u64>>,
    /// Somebody has asked for a result: what is then left unasked for is of no interest.
    is_begun: bool,
    /// How long is waited for the next result, and what is raised then.
    timeout: Option<(Instant, Py<PyAny>)>,
}

impl Results {
    pub(crate) fn new(
        intake: Arc<Intake>,
        hooks: Arc<Hooks>,
        encoder: Arc<Encoder>,
        is_ordered: bool,
    ) -> Self {
        let shared = Arc::default();
        let (tasks, timeout) = (VecDeque::new(), None);
        let (added, given, current, buffer, is_begun) = (0, 0, None, Vec::new(), false);
        Self {
            intake,
            hooks,
            encoder,
            shared,
            is_ordered,
            added,
            given,
            current,
            buffer,
            tasks,
            is_begun,
            timeout,
        }
    }
}

#[pymethods]
impl Results {
    /// Adds a task for each tuple of arguments; returns how many there were.
    fn extend(
        &mut self,
        function: &Bound<'_, PyAny>,
        number: u64,
        tuples: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let (py, before) = (tuples.py(), self.added);
        for arguments in tuples.try_iter()? {
            let payload = self.encoder.encode(function, number, &arguments?, None, &mut self.buffer)?;
            let added = self.intake.add_result(payload, &self.shared, self.added);
            let index = added.map_err(|refusal| self.encoder.refused(py, refusal))?;
            self.added += 1;
            match self.tasks.back_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => self.tasks.push_back(index..index + 1),
            }
            if self.added.is_multiple_of(TURN_TASKS) {
                py.detach(|| ());
                py.check_signals()?;
            }
        }
        Ok(self.added - before)
    }

    /// Results are waited for until so many seconds from now have passed; then `exception` is raised. None: for ever.
    fn set_timeout(&mut self, seconds: Option<f64>, exception: Py<PyAny>) {
        let patience = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        self.timeout = deadline.map(|deadline| (deadline, exception));
    }

    /// Has `call` called, in another thread, once so many results are there or none follows. To be said before they are added.
    fn when_complete(&self, count: u64, call: Py<PyAny>) {
        self.shared.lock().awaited = Some((count, call));
    }

    /// Gives out no more: what has not begun never will.
    fn close(&mut self) {
        self.is_begun = true;
        self.stop();
    }

    /// Results that were not given out yet.
    fn __len__(&self) -> usize {
        (self.added - self.given) as usize
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.is_begun = true;
        if self.given == self.added {
            return Ok(None);
        }
        loop {
            if let Some(piece) = &mut self.current
                && let Some(outcome) = piece.next(py, &self.hooks)
            {
                self.count();
                return match outcome? {
                    Ok(value) => Ok(Some(value.unbind())),
                    Err(error) => Err(PyErr::from_value(error)),
                };
            }
            self.current = Some(self.next_piece(py)?);
        }
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        if self.is_begun && !self.encoder.is_foreign() {
            self.stop();
        }
    }
}

impl Results {
    /// One more result is given out.
    fn count(&mut self) {
        self.given += 1;
        // In the order of completion nobody knows whose it is.
        if self.is_ordered
            && let Some(oldest) = self.tasks.front_mut()
        {
            oldest.start += 1;
            if oldest.is_empty() {
                self.tasks.pop_front();
            }
        }
    }

    /// What has no result yet, nobody waits for.
    fn stop(&mut self) {
        let (tasks, begun) = (std::mem::take(&mut self.tasks), self.intake.begun());
        if self.given < self.added {
            // What lies with a worker and has not begun looks to the coordinator like what runs.
            self.intake.stop(tasks.into_iter().flat_map(|tasks| {
                let middle = begun.clamp(tasks.start, tasks.end);
                [(tasks.start..middle, false), (middle..tasks.end, true)]
                    .map(|(tasks, running)| Stop { tasks, running })
            }));
        }
        self.given = self.added;
    }

    fn next_piece(&self, py: Python<'_>) -> PyResult<Piece> {
        let place = self.is_ordered.then_some(self.given);
        loop {
            let left =
                self.timeout.as_ref().map(|(deadline, _)| deadline.saturating_duration_since(Instant::now()));
            let patience = left.map_or(SIGNAL_INTERVAL, |left| left.min(SIGNAL_INTERVAL));
            match (py.detach(|| self.shared.wait(place, patience)), &self.timeout) {
                (Taken::Piece(piece), _) => return Ok(piece),
                (Taken::Refused(Refused(reason)), _) => {
                    let error = match reason {
                        Some(reason) => self.hooks.broken.bind(py).call1((reason,))?,
                        None => self.hooks.cancelled(py)?,
                    };
                    return Err(PyErr::from_value(error));
                }
                (Taken::Nothing, Some((_, exception))) if left.is_some_and(|left| left.is_zero()) => {
                    return Err(PyErr::from_value(exception.bind(py).call0()?));
                }
                (Taken::Nothing, _) => py.check_signals()?,
            }
            if crate::forks() > 0 && self.encoder.is_foreign() {
                return Err(PyRuntimeError::new_err("results do not come to a process that was forked"));
            }
        }
    }
}
