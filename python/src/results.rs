//! Results of a map: outcomes gathered by the engine, unpickled by the thread that iterates over them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use poolmap_client::OutcomeRun;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::delivery::{Hooks, Outcome};
use crate::encoder::Encoder;
use crate::intake::Intake;

/// While a thread waits, it looks so often whether a signal came.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);
/// Tasks that are encoded before other threads of the interpreter get their turn.
const TURN_TASKS: u64 = 1000;

/// A run of outcomes that is read task by task.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) run: OutcomeRun,
    next: usize,
    /// Bytes of the values before the next task's.
    begin: usize,
    /// Failures before the next task's.
    failures: usize,
}

impl Piece {
    pub(crate) fn new(run: OutcomeRun) -> Self {
        Self { run, next: 0, begin: 0, failures: 0 }
    }

    fn is_read(&self) -> bool {
        self.next >= self.tasks()
    }

    fn tasks(&self) -> usize {
        self.run.lengths.len() + self.run.cancelled as usize
    }

    /// How the next task ended.
    pub(crate) fn next(&mut self) -> Option<Outcome> {
        if self.is_read() {
            return None;
        }
        let place = self.next;
        self.next += 1;
        let Some(length) = self.run.lengths.get(place) else { return Some(Outcome::Cancelled) };
        let end = self.begin + *length as usize;
        let value = std::mem::replace(&mut self.begin, end)..end;
        let failure = self.run.failures.get(self.failures).filter(|failure| failure.offset as usize == place);
        if failure.is_none() {
            return Some(Outcome::Value(value));
        }
        self.failures += 1;
        Some(Outcome::Failure(self.failures - 1))
    }
}

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
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, place: u64, piece: Piece) {
        self.lock().pieces.insert(place, piece);
        self.changed.notify_one();
    }

    pub(crate) fn refuse(&self, reason: Option<String>) {
        self.lock().refused.get_or_insert(Refused(reason));
        self.changed.notify_one();
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
        Self { intake, hooks, encoder, shared, is_ordered, added: 0, given: 0, current: None, timeout: None }
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
            let payload = self.encoder.encode(py, function, number, &arguments?, None)?;
            let added = self.intake.add_result(payload.as_bytes(), &self.shared, self.added);
            added.map_err(|refusal| self.encoder.refused(py, refusal))?;
            self.added += 1;
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

    /// Results that were not given out yet.
    fn __len__(&self) -> usize {
        (self.added - self.given) as usize
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.given == self.added {
            return Ok(None);
        }
        loop {
            if let Some(piece) = &mut self.current
                && let Some(outcome) = piece.next()
            {
                self.given += 1;
                return match self.hooks.outcome(py, piece, &outcome)? {
                    Ok(value) => Ok(Some(value.unbind())),
                    Err(error) => Err(PyErr::from_value(error)),
                };
            }
            self.current = Some(self.next_piece(py)?);
        }
    }
}

impl Results {
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
