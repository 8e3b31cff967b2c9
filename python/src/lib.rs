//! The native half of the Python package: a coordinator and its local workers in a thread, jobs that stay open while tasks are
//! appended to them, and outcomes on their way into futures and iterators.
//!
//! Python threads append to an `intake` and return; the engine's thread (`engine`, `job`) carries it to the coordinator and
//! sorts the outcomes (`sinks`); one more thread settles futures (`delivery`), so that the engine never waits for the GIL.
//! What a call is, how it is pickled and what a failure means to its caller is decided in Python.

mod delivery;
mod encoder;
mod engine;
mod intake;
mod job;
mod piece;
mod plain;
mod pool;
mod results;
mod sinks;
mod sizing;
mod waiters;

use std::sync::atomic::{AtomicU32, Ordering};

/// Large payloads come and go in this library. The system's allocator gives their memory back each time, and the kernel fills it
/// with zeros anew.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Forks between the first process that loaded this module and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// The native half of `poolmap`.
#[pyo3::pymodule]
mod _native {
    use std::sync::atomic::Ordering;

    use pyo3::pyfunction;

    #[pymodule_export]
    use crate::pool::{Job, Pool};
    #[pymodule_export]
    use crate::results::Results;
    #[pymodule_export]
    use crate::sizing::pool_size;

    /// To be called in a process that was forked from this one: nothing that was made before works there.
    #[pyfunction]
    fn forked() {
        crate::FORKS.fetch_add(1, Ordering::Relaxed);
    }
}
