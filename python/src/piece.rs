//! A run of outcomes that is read task by task, and how values are read.
//!
//! A value has one of three forms, told by its first byte: a pickle; a pickle with buffers behind it; or else what `marshal` has
//! written, which values of the commonest types are. A run of such values alone is read at once. See `poolmap_runner/pickled.py`.

use std::ops::Range;

use poolmap_client::{Failure, OutcomeRun};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList};

use crate::delivery::Hooks;

const PICKLE: u8 = 0x80;
const PICKLE_WITH_BUFFERS: u8 = 0;
/// How `marshal` begins a list; the number of its items follows, and they.
const LIST: u8 = b'[';

/// A value, or the exception that stands for a failure.
type Outcome<'py> = Result<Bound<'py, PyAny>, Bound<'py, PyAny>>;

/// A run of outcomes, and where reading it stands.
#[derive(Debug)]
pub(crate) struct Piece {
    run: OutcomeRun,
    next: usize,
    /// Bytes of the values before the next task's.
    begin: usize,
    /// Failures before the next task's.
    failures: usize,
    /// All values, if they could be read at once; and whether that was tried.
    values: Option<Py<PyList>>,
    is_tried: bool,
}

impl Piece {
    pub(crate) fn new(run: OutcomeRun) -> Self {
        Self { run, next: 0, begin: 0, failures: 0, values: None, is_tried: false }
    }

    /// Tasks that it tells of.
    pub(crate) fn tasks(&self) -> u64 {
        self.run.lengths.len() as u64 + self.run.cancelled
    }

    /// Whether the next task, and with it all others, was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.run.cancelled > 0
    }

    /// How the next task ended.
    pub(crate) fn next<'py>(&mut self, py: Python<'py>, hooks: &Hooks) -> Option<PyResult<Outcome<'py>>> {
        if self.next >= self.run.lengths.len() + self.run.cancelled as usize {
            return None;
        }
        let place = self.next;
        self.next += 1;
        let Some(length) = self.run.lengths.get(place) else { return Some(hooks.cancelled(py).map(Err)) };
        let end = self.begin + *length as usize;
        let range = std::mem::replace(&mut self.begin, end)..end;
        let failure = self.run.failures.get(self.failures).filter(|failure| failure.offset as usize == place);
        if let Some(failure) = failure {
            self.failures += 1;
            return Some(hooks.failed(py, failure).map(Err));
        }
        // A value that cannot be loaded here is a failure of its task alone.
        let value = self.value(py, hooks, range);
        Some(Ok(value.map_err(|error| error.into_value(py).into_bound(py).into_any())))
    }

    fn value<'py>(
        &mut self,
        py: Python<'py>,
        hooks: &Hooks,
        range: Range<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !std::mem::replace(&mut self.is_tried, true) {
            self.values = self.all_values(py, hooks);
        }
        if let Some(values) = &self.values {
            return values.bind(py).get_item(self.next - 1 - self.failures);
        }
        let bytes = self.run.values.get(range).unwrap_or_default();
        match bytes.first() {
            Some(&PICKLE) => hooks.loads.bind(py).call1((PyBytes::new(py, bytes),)),
            Some(&PICKLE_WITH_BUFFERS) => {
                hooks.loads_with_buffers.bind(py).call1((PyByteArray::new(py, bytes),))
            }
            _ => hooks.loads_plain.bind(py).call1((PyBytes::new(py, bytes),)),
        }
    }

    /// The values of all tasks that did not fail, if they are plain.
    fn all_values(&self, py: Python<'_>, hooks: &Hooks) -> Option<Py<PyList>> {
        let count = self.run.lengths.len() - self.run.failures.len();
        if count < 2 || matches!(self.run.values.first(), Some(&PICKLE | &PICKLE_WITH_BUFFERS)) {
            return None;
        }
        let list = [&[LIST][..], &(count as u32).to_le_bytes(), &self.run.values].concat();
        let values = hooks.loads_plain.bind(py).call1((PyBytes::new(py, &list),)).ok()?;
        Some(values.cast_into::<PyList>().ok()?.unbind())
    }
}

impl Hooks {
    fn failed<'py>(&self, py: Python<'py>, failure: &Failure) -> PyResult<Bound<'py, PyAny>> {
        let kind = failure.kind().word();
        let pickled = PyBytes::new(py, &failure.exception);
        self.failure.bind(py).call1((kind, &failure.r#type, &failure.message, &failure.traceback, pickled))
    }
}
