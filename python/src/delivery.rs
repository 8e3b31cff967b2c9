//! The thread that settles futures: it takes the GIL once for all the outcomes that have come.

use std::sync::Arc;

use poolmap_client::OutcomeRun;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::mpsc;

use crate::results::Piece;

/// Runs of outcomes that may wait to be delivered; then the engine waits, and the coordinator behind it.
pub(crate) const QUEUE: usize = 64;

/// What the engine has for futures.
#[derive(Debug)]
pub(crate) enum News {
    /// The outcomes of a run, with a future for each.
    Outcomes(Vec<Option<Py<PyAny>>>, OutcomeRun),
    /// These tasks will never run; says why, unless they were cancelled.
    Never(Vec<Option<Py<PyAny>>>, Option<String>),
    /// All results of an iterator are there; what is to be called then.
    Complete(Py<PyAny>),
}

/// What outcomes are turned into, as the Python half decides.
#[derive(Debug)]
pub(crate) struct Hooks {
    /// `loads(bytes)`: a value.
    pub(crate) loads: Py<PyAny>,
    /// `failure(kind, type, message, traceback, pickled)`: the exception for a task that failed.
    pub(crate) failure: Py<PyAny>,
    /// `broken(reason)`: the exception for a task that will never run.
    pub(crate) broken: Py<PyAny>,
}

impl Hooks {
    /// The value of a task, or the exception that stands for its failure.
    pub(crate) fn outcome<'py>(
        &self,
        py: Python<'py>,
        piece: &Piece,
        outcome: &Outcome,
    ) -> PyResult<Result<Bound<'py, PyAny>, Bound<'py, PyAny>>> {
        match outcome {
            Outcome::Value(range) => {
                let pickled = piece.run.values.get(range.clone()).unwrap_or_default();
                let loaded = self.loads.bind(py).call1((PyBytes::new(py, pickled),));
                // A value that cannot be loaded here is a failure of its task alone.
                Ok(loaded.map_err(|error| error.into_value(py).into_bound(py).into_any()))
            }
            Outcome::Failure(place) => {
                let failure = piece.run.failures.get(*place).cloned().unwrap_or_default();
                let kind = failure.kind().word();
                let pickled = PyBytes::new(py, &failure.exception);
                let words = (kind, failure.r#type, failure.message, failure.traceback, pickled);
                Ok(Err(self.failure.bind(py).call1(words)?))
            }
            Outcome::Cancelled => Ok(Err(self.cancelled(py)?)),
        }
    }

    /// The exception for a task that was cancelled.
    pub(crate) fn cancelled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.failure.bind(py).call1(("cancelled", "", "", "", PyBytes::new(py, b"")))
    }
}

/// How one task of a piece ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Where its value lies.
    Value(std::ops::Range<usize>),
    /// Which of the failures it is.
    Failure(usize),
    Cancelled,
}

/// Settles futures until the engine has ended, then says so by calling `ended`.
pub(crate) fn run(mut news: mpsc::Receiver<News>, hooks: Arc<Hooks>, ended: Py<PyAny>) {
    while let Some(first) = news.blocking_recv() {
        Python::attach(|py| {
            let mut next = Some(first);
            while let Some(news_of_tasks) = next {
                settle(py, news_of_tasks, &hooks);
                next = news.try_recv().ok();
            }
        });
    }
    Python::attach(|py| {
        if let Err(error) = ended.call0(py) {
            error.write_unraisable(py, None);
        }
        // Here, where the interpreter still stands.
        drop((hooks, ended));
    });
}

fn settle(py: Python<'_>, news: News, hooks: &Hooks) {
    let settled = match news {
        News::Outcomes(futures, run) => settle_run(py, futures, run, hooks),
        News::Never(futures, reason) => futures
            .into_iter()
            .flatten()
            .try_for_each(|future| never(future.bind(py), reason.as_deref(), hooks)),
        News::Complete(call) => call.call0(py).map(drop),
    };
    if let Err(error) = settled {
        error.write_unraisable(py, None);
    }
}

fn never(future: &Bound<'_, PyAny>, reason: Option<&str>, hooks: &Hooks) -> PyResult<()> {
    let py = future.py();
    match reason {
        Some(reason) => settle_one(future, Err(hooks.broken.bind(py).call1((reason,))?)),
        None => future.call_method0(pyo3::intern!(py, "_drop")).map(drop),
    }
}

fn settle_run(
    py: Python<'_>,
    futures: Vec<Option<Py<PyAny>>>,
    run: OutcomeRun,
    hooks: &Hooks,
) -> PyResult<()> {
    let mut piece = Piece::new(run);
    for future in futures {
        let Some(outcome) = piece.next() else { return Ok(()) };
        let Some(future) = future else { continue };
        let future = future.bind(py);
        if outcome == Outcome::Cancelled {
            future.call_method0(pyo3::intern!(py, "_drop"))?;
            continue;
        }
        let outcome = hooks.outcome(py, &piece, &outcome)?;
        settle_one(future, outcome)?;
    }
    Ok(())
}

/// One that was cancelled in the meantime has its outcome and takes no other: `_settle` and `_fail` know.
fn settle_one(
    future: &Bound<'_, PyAny>,
    outcome: Result<Bound<'_, PyAny>, Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = future.py();
    match outcome {
        Ok(value) => future.call_method1(pyo3::intern!(py, "_settle"), (value,))?,
        Err(error) => future.call_method1(pyo3::intern!(py, "_fail"), (error,))?,
    };
    Ok(())
}
