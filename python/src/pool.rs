//! What Python holds: a pool, and the jobs that were opened in it.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use poolmap_client::{
    AccessError, Backend, ChildOptions, Function, InvalidRoute, JobSpec, PickledCalls, Role, Route, function,
};
use poolmap_local::{Place, Shape};
use poolmap_worker::runtime::native::Registry;
use pyo3::exceptions::{
    PyConnectionError, PyFileNotFoundError, PyOSError, PyPermissionError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::sync::mpsc;

use crate::delivery::{self, Hooks, QUEUE};
use crate::encoder::Encoder;
use crate::engine::{Engine, Site, StartError};
use crate::intake::{Intake, Payload, Stop};
use crate::results::Results;

/// A worker that is silent for so long is lost: it is on this machine, so it is stopped or stuck.
const WORKER_TIMEOUT: Duration = Duration::from_secs(15);

/// A thread of this process that has a coordinator and its local worker, or a connection to those of a cluster. Ends when it is
/// closed or dropped, after its jobs.
#[pyclass(module = "poolmap._native")]
pub(crate) struct Pool {
    engine: Engine,
    hooks: Arc<Hooks>,
    encoder: Arc<Encoder>,
}

/// A job that stays open.
#[pyclass(module = "poolmap._native")]
pub(crate) struct Job {
    intake: Arc<Intake>,
    hooks: Arc<Hooks>,
    encoder: Arc<Encoder>,
}

#[pymethods]
impl Pool {
    /// Starts a pool on this machine. `hooks` is an object with the functions that `delivery::Hooks` and `encoder::Encoder`
    /// call, and with `ended()`, called when the pool has ended.
    #[staticmethod]
    fn local(py: Python<'_>, slots: NonZeroU32, hooks: &Bound<'_, PyAny>) -> PyResult<Self> {
        // The worker lives in the engine's thread: a process of its own would be two more wake-ups for each task that is
        // waited for, and further copies of what is large.
        let place = Place::Inline(Registry::new());
        let shape = Shape { workers: NonZeroU32::MIN, slots, place, worker_timeout: WORKER_TIMEOUT };
        Self::start(py, Site::Here(shape), hooks)
    }

    /// Connects to a cluster: that of an access file, or at the address of a coordinator on this machine that speaks in the
    /// clear, or that of the usual access file. `ship`: files and folders that travel with each job.
    #[staticmethod]
    fn cluster(
        py: Python<'_>,
        access: Option<PathBuf>,
        url: Option<&str>,
        ship: Vec<PathBuf>,
        hooks: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let route = url.map_or_else(|| Route::of_access_file(access, Role::Client), Route::plain);
        let route = route.map_err(|error| no_way(&error))?;
        Self::start(py, Site::Cluster { route, ship }, hooks)
    }

    /// Tasks that run at once; of a cluster, those of the workers that were attached at the start.
    #[getter]
    fn slots(&self) -> u64 {
        self.engine.slots()
    }

    /// Opens a job.
    #[pyo3(signature = (*, setup, python, backend, directory, max_tasks_per_child, max_child_rss, timeout_ms, retries,
                        crash_limit, preload, cancel_running))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn open(
        &self,
        setup: &Bound<'_, PyBytes>,
        python: String,
        backend: &str,
        directory: Vec<u8>,
        max_tasks_per_child: u64,
        max_child_rss: u64,
        timeout_ms: u64,
        retries: u32,
        crash_limit: u32,
        preload: Vec<String>,
        cancel_running: bool,
    ) -> PyResult<Job> {
        self.encoder.check_process()?;
        let setup = Bytes::copy_from_slice(setup.as_bytes());
        let backend = if backend == "thread" { Backend::Thread } else { Backend::Process };
        let child = ChildOptions {
            backend: backend.into(),
            max_tasks_per_child,
            max_child_rss_bytes: max_child_rss,
            python,
            preload,
            working_directory: directory.into(),
            timeout_ms,
            ..ChildOptions::default()
        };
        let spec = JobSpec {
            name: "python".to_owned(),
            function: Some(Function { kind: Some(function::Kind::Pickled(PickledCalls { setup })) }),
            child: Some(child),
            retries,
            crash_limit,
            ..JobSpec::default()
        };
        let (hooks, encoder) = (self.hooks.clone(), self.encoder.clone());
        Ok(Job { intake: self.engine.open(spec, cancel_running), hooks, encoder })
    }

    /// Ends the pool once its jobs have ended.
    fn close(&self) {
        if !self.encoder.is_foreign() {
            self.engine.close();
        }
    }

    /// Ends the pool at once: what runs is killed, and all futures that are not settled get `broken(reason)`.
    fn abandon(&self, reason: &str) {
        if !self.encoder.is_foreign() {
            self.engine.abandon(reason);
            self.engine.close();
        }
    }
}

impl Pool {
    fn start(py: Python<'_>, site: Site, hooks: &Bound<'_, PyAny>) -> PyResult<Self> {
        let function = |name: &str| Ok::<_, PyErr>(hooks.getattr(name)?.unbind());
        let (pickled, refused) = (function("pickled")?, function("refused")?);
        let ended = function("ended")?;
        let hooks = Arc::new(Hooks {
            loads: function("loads")?,
            loads_plain: function("loads_plain")?,
            loads_with_buffers: function("loads_with_buffers")?,
            failure: function("failure")?,
            broken: function("broken")?,
        });
        let (sender, news) = mpsc::channel(QUEUE);
        let engine = py.detach(|| Engine::start(site, sender));
        let engine = engine.map_err(|error| not_started(&error))?;
        let encoder = Encoder::new(pickled, refused, engine.payload_bytes_max());
        let thread = thread::Builder::new().name("poolmap-outcomes".to_owned());
        let for_thread = hooks.clone();
        thread.spawn(move || delivery::run(news, for_thread, ended))?;
        Ok(Self { engine, hooks, encoder: Arc::new(encoder) })
    }
}

fn no_way(error: &InvalidRoute) -> PyErr {
    let text = error.to_string();
    match error {
        InvalidRoute::File(AccessError::Missing { .. }) => PyFileNotFoundError::new_err(text),
        InvalidRoute::File(AccessError::Exposed { .. } | AccessError::Unreadable { .. }) => {
            PyPermissionError::new_err(text)
        }
        _ => PyValueError::new_err(text),
    }
}

fn not_started(error: &StartError) -> PyErr {
    let text = error.to_string();
    match error {
        StartError::Local(_) => PyOSError::new_err(text),
        StartError::Unreachable(_) | StartError::Refused(_) => PyConnectionError::new_err(text),
    }
}

#[pymethods]
impl Job {
    /// Appends a function to the list that calls name, and returns its number.
    fn add_function(&self, pickled: &Bound<'_, PyBytes>) -> u64 {
        self.intake.add_function(Bytes::copy_from_slice(pickled.as_bytes()))
    }

    /// Appends a call of the function with this number; its outcome settles the future. Returns the index of the task, or
    /// None if the arguments have no pickle: the future has failed with that.
    fn submit(
        &self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        number: u64,
        arguments: &Bound<'_, PyAny>,
        keywords: &Bound<'_, PyDict>,
        future: Py<PyAny>,
    ) -> PyResult<Option<u64>> {
        self.encoder.check_process()?;
        let mut buffer = Vec::new();
        match self.encoder.encode(function, number, arguments, Some(keywords), &mut buffer) {
            Ok(payload) => self.add(py, payload, future).map(Some),
            Err(error) => {
                future.call_method1(py, pyo3::intern!(py, "_fail"), (error.into_value(py),))?;
                Ok(None)
            }
        }
    }

    /// As `submit`, with a payload that was made already.
    fn submit_payload(
        &self,
        py: Python<'_>,
        payload: Bound<'_, PyBytes>,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        self.encoder.check_process()?;
        self.add(py, self.encoder.payload(payload, &mut Vec::new())?, future)
    }

    /// An iterator over the results of tasks that are added to it, in their order or in that of their completion.
    fn results(&self, is_ordered: bool) -> PyResult<Results> {
        self.encoder.check_process()?;
        Ok(Results::new(self.intake.clone(), self.hooks.clone(), self.encoder.clone(), is_ordered))
    }

    /// Waits for a future, for so many seconds at most, where this is a shorter way than the future's own; else returns at
    /// once. So the future may be settled afterwards, or not.
    fn wait(&self, future: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
        let py = future.py();
        let patience = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        if self.encoder.is_foreign() {
            return Ok(());
        }
        let Some(news) = self.intake.waiters.wait(future, deadline)? else { return Ok(()) };
        if future.getattr(pyo3::intern!(py, "_done_callbacks"))?.is_empty()? {
            news.settle(py, &self.hooks);
        } else {
            // They must not run here, where they would be within what the caller does.
            let hooks = self.hooks.clone();
            thread::spawn(move || Python::attach(|py| news.settle(py, &hooks)));
        }
        Ok(())
    }

    /// Whether a task counts as begun: it is one of the oldest without an outcome, as many as there are slots, or has ended.
    fn has_begun(&self, index: u64) -> bool {
        index < self.intake.begun()
    }

    /// A task is of no interest any more: it is stopped if it runs, unless the job is not to do that.
    fn cancel_task(&self, index: u64) {
        if !self.encoder.is_foreign() {
            self.intake.stop([Stop { tasks: index..index + 1, running: true }]);
        }
    }

    /// No task follows; `cancel`: what has not begun never will.
    fn close(&self, cancel: bool) {
        if self.encoder.is_foreign() {
        } else if cancel {
            self.intake.cancel();
        } else {
            self.intake.close();
        }
    }
}

impl Job {
    fn add(&self, py: Python<'_>, payload: Payload<'_>, future: Py<PyAny>) -> PyResult<u64> {
        let added = self.intake.add(payload, future);
        added.map_err(|refusal| self.encoder.refused(py, refusal))
    }
}

impl Encoder {
    fn check_process(&self) -> PyResult<()> {
        if self.is_foreign() {
            return Err(PyRuntimeError::new_err(
                "this process was forked from the one that made this executor, which works only there; make a new one here",
            ));
        }
        Ok(())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.encoder.is_foreign() {
            self.intake.close();
        }
    }
}
