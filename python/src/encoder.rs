//! Calls become payloads: with `pickle.dumps` where that is enough, and with the Python half's care where it is not.

use memchr::memmem;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::forks;
use crate::intake::Refusal;

const PROTOCOL: u8 = 5;
/// Numbers below this one are the runner's own calls: see `poolmap_runner/pickled.py`.
const FIRST_FUNCTION: u64 = 2;
const CALL_WITH_KEYWORDS: u64 = 1;
/// Pickles name what they refer to by its module. This one is another in each process.
const MAIN: &[u8] = b"__main__";
/// What one task of the protocol carries.
const PAYLOAD_BYTES_MAX: usize = (1 << 30) - 1;

/// Turns calls into payloads.
#[derive(Debug)]
pub(crate) struct Encoder {
    dumps: Py<PyAny>,
    /// `careful(function, number, args, kwargs, error)`: the payload of a call that pickle alone cannot carry, or must not.
    careful: Py<PyAny>,
    /// `refused(reason)`: the exception for a task that comes too late; the reason is None if the executor was shut down.
    refused: Py<PyAny>,
    forks: u32,
}

impl Encoder {
    pub(crate) fn new(dumps: Py<PyAny>, careful: Py<PyAny>, refused: Py<PyAny>) -> Self {
        Self { dumps, careful, refused, forks: forks() }
    }

    /// Whether this process was forked from the one that made this.
    pub(crate) fn is_foreign(&self) -> bool {
        self.forks != forks()
    }

    /// The payload of a call of the function with this number of the job's list; the function itself is for messages.
    pub(crate) fn encode<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        number: u64,
        arguments: &Bound<'py, PyAny>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let keywords = keywords.filter(|keywords| !keywords.is_empty());
        let wire = number + FIRST_FUNCTION;
        let dumps = self.dumps.bind(py);
        let pickled = match keywords {
            None => dumps.call1(((wire, arguments), PROTOCOL)),
            Some(keywords) => dumps.call1(((CALL_WITH_KEYWORDS, (wire, arguments, keywords)), PROTOCOL)),
        };
        let pickled = pickled.and_then(|pickled| Ok(pickled.cast_into::<PyBytes>()?));
        let payload = match pickled {
            Ok(payload) if memmem::find(payload.as_bytes(), MAIN).is_none() => payload,
            other => {
                let error = other.err().map(|error| error.into_value(py));
                let call = (function, wire, arguments, keywords, error);
                self.careful.bind(py).call1(call)?.cast_into::<PyBytes>()?
            }
        };
        check_size(&payload)?;
        Ok(payload)
    }

    /// The exception for a task that a job does not take.
    pub(crate) fn refused(&self, py: Python<'_>, refusal: Refusal) -> PyErr {
        let reason = match refusal {
            Refusal::Closed => None,
            Refusal::Broken(reason) => Some(reason),
        };
        match self.refused.bind(py).call1((reason,)) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }
}

pub(crate) fn check_size(payload: &Bound<'_, PyBytes>) -> PyResult<()> {
    let bytes = payload.as_bytes().len();
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(PyValueError::new_err(format!(
            "the arguments have {bytes} bytes when pickled; a task carries {PAYLOAD_BYTES_MAX} at most: pass a file's name instead"
        )));
    }
    Ok(())
}
