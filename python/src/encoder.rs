//! Calls become payloads: here where their arguments are plain, and with the Python half's care where they are not.

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use crate::forks;
use crate::intake::{CHUNK_BYTES, Payload, Refusal};
use crate::plain;

/// Numbers below this one are the runner's own calls: see `poolmap_runner/pickled.py`.
const FIRST_FUNCTION: u64 = 2;

/// Turns calls into payloads.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// `pickled(function, number, args, kwargs)`: the payload of a call that is not plain.
    pickled: Py<PyAny>,
    /// `refused(reason)`: the exception for a task that comes too late; the reason is None if the executor was shut down.
    refused: Py<PyAny>,
    /// How large a payload may be.
    bytes_max: usize,
    forks: u32,
}

impl Encoder {
    pub(crate) fn new(pickled: Py<PyAny>, refused: Py<PyAny>, bytes_max: usize) -> Self {
        Self { pickled, refused, bytes_max, forks: forks() }
    }

    /// Whether this process was forked from the one that made this.
    pub(crate) fn is_foreign(&self) -> bool {
        self.forks != forks()
    }

    /// The payload of a call of the function with this number of the job's list; the function itself is for messages.
    /// `buffer` is for its use.
    pub(crate) fn encode<'a>(
        &self,
        function: &Bound<'_, PyAny>,
        number: u64,
        arguments: &Bound<'_, PyAny>,
        keywords: Option<&Bound<'_, PyDict>>,
        buffer: &'a mut Vec<u8>,
    ) -> PyResult<Payload<'a>> {
        let keywords = keywords.filter(|keywords| !keywords.is_empty());
        let wire = number + FIRST_FUNCTION;
        buffer.clear();
        if keywords.is_none() && plain::write_call(wire, arguments, buffer).is_some() {
            self.check_size(buffer.len())?;
            return Ok(Payload::Small(buffer));
        }
        let pickled = self.pickled.bind(arguments.py()).call1((function, wire, arguments, keywords))?;
        self.payload(pickled.cast_into::<PyBytes>()?, buffer)
    }

    /// Bytes of Python's as a payload: large ones stay where they are, small ones are copied into `buffer`.
    pub(crate) fn payload<'a>(
        &self,
        pickled: Bound<'_, PyBytes>,
        buffer: &'a mut Vec<u8>,
    ) -> PyResult<Payload<'a>> {
        let bytes = pickled.as_bytes().len();
        self.check_size(bytes)?;
        if bytes >= CHUNK_BYTES {
            return Ok(Payload::Large(Bytes::from_owner(PyBackedBytes::from(pickled))));
        }
        buffer.clear();
        buffer.extend_from_slice(pickled.as_bytes());
        Ok(Payload::Small(buffer))
    }

    fn check_size(&self, bytes: usize) -> PyResult<()> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        Err(PyValueError::new_err(format!(
            "the arguments have {bytes} bytes when pickled; a task carries {} at most here: pass a file's name instead, or start \
             the cluster's coordinator with a larger --max-message-size",
            self.bytes_max
        )))
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
