//! The thread that settles futures: it takes the GIL once for all the outcomes that have come.

use std::sync::Arc;

use poolmap_client::OutcomeRun;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::mpsc;

use crate::piece::Piece;
use crate::waiters::Waiters;

/// Runs of outcomes that may wait to be delivered; then the engine waits, and the coordinator behind it.
pub(crate) const QUEUE: usize = 64;

/// What the engine has for futures of a job.
#[derive(Debug)]
pub(crate) struct News {
    /// None for one that nobody waits for any more.
    futures: Vec<Option<Py<PyAny>>>,
    what: What,
    waiters: Arc<Waiters>,
}

#[derive(Debug)]
enum What {
    /// An outcome for each future.
    Outcomes(OutcomeRun),
    /// These tasks will never run; says why, unless they were cancelled.
    Never(Option<String>),
    /// All results of an iterator are there; what is to be called then.
    Complete(Py<PyAny>),
}

impl News {
    pub(crate) fn outcomes(futures: Vec<Option<Py<PyAny>>>, run: OutcomeRun, waiters: Arc<Waiters>) -> Self {
        Self { futures, what: What::Outcomes(run), waiters }
    }

    pub(crate) fn never(
        futures: Vec<Option<Py<PyAny>>>,
        reason: Option<String>,
        waiters: Arc<Waiters>,
    ) -> Self {
        Self { futures, what: What::Never(reason), waiters }
    }

    pub(crate) fn complete(call: Py<PyAny>, waiters: Arc<Waiters>) -> Self {
        Self { futures: Vec::new(), what: What::Complete(call), waiters }
    }

    /// Those that it is about.
    pub(crate) fn futures(&self) -> &[Option<Py<PyAny>>] {
        &self.futures
    }

    /// Sends it to whoever settles these futures. Waits while futures are settled more slowly than tasks end.
    pub(crate) async fn send(self, queue: &mpsc::Sender<Self>) {
        let waiters = self.waiters.clone();
        if let Some(news) = waiters.offer(self) {
            let _gone = queue.send(news).await;
        }
    }

    /// Settles the futures, or calls what is to be called.
    pub(crate) fn settle(self, py: Python<'_>, hooks: &Hooks) {
        let count = self.futures.len();
        let settled = match self.what {
            What::Outcomes(run) => settle_run(py, self.futures, run, hooks),
            What::Never(reason) => self
                .futures
                .into_iter()
                .flatten()
                .try_for_each(|future| never(future.bind(py), reason.as_deref(), hooks)),
            What::Complete(call) => call.call0(py).map(drop),
        };
        self.waiters.settled(count);
        if let Err(error) = settled {
            error.write_unraisable(py, None);
        }
    }
}

/// What outcomes are turned into, as the Python half decides.
#[derive(Debug)]
pub(crate) struct Hooks {
    /// `loads(bytes)`: the value that was pickled.
    pub(crate) loads: Py<PyAny>,
    /// `loads_plain(bytes)`: what `marshal` has written.
    pub(crate) loads_plain: Py<PyAny>,
    /// `loads_with_buffers(bytearray)`: the value that was pickled with buffers of its own, which it may keep.
    pub(crate) loads_with_buffers: Py<PyAny>,
    /// `failure(kind, type, message, traceback, pickled)`: the exception for a task that failed.
    pub(crate) failure: Py<PyAny>,
    /// `broken(reason)`: the exception for a task that will never run.
    pub(crate) broken: Py<PyAny>,
}

impl Hooks {
    /// The exception for a task that was cancelled.
    pub(crate) fn cancelled<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.failure.bind(py).call1(("cancelled", "", "", "", PyBytes::new(py, b"")))
    }
}

/// Settles futures until the engine has ended, then says so by calling `ended`.
pub(crate) fn run(mut news: mpsc::Receiver<News>, hooks: Arc<Hooks>, ended: Py<PyAny>) {
    while let Some(first) = news.blocking_recv() {
        Python::attach(|py| {
            let mut next = Some(first);
            while let Some(news_of_tasks) = next {
                news_of_tasks.settle(py, &hooks);
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
        if piece.is_cancelled() {
            if let Some(future) = future {
                future.call_method0(py, pyo3::intern!(py, "_drop"))?;
            }
            continue;
        }
        let Some(outcome) = piece.next(py, hooks) else { return Ok(()) };
        if let Some(future) = future {
            settle_one(future.bind(py), outcome?)?;
        }
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
