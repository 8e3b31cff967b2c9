//! A worker of this process and jobs for it, for the tests that are about the client alone.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use poolmap_client::{Backend, ChildOptions, Chunk, Function, JobSpec, NativeFunction, Transport, function};
use poolmap_coordinator::Coordinator;
use poolmap_worker::Config;
use poolmap_worker::runtime::native::Registry;

/// Far more than anything here takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Attaches a worker with one slot, a thread of this process.
pub(crate) fn attach_worker(coordinator: &Coordinator) {
    let transport = Transport::in_process(coordinator.workers());
    let registry = Registry::new()
        .function("double", |x: u64| 2 * x)
        .fallible("odd", |x: u64| if x % 2 == 1 { Ok(x) } else { Err(format!("{x} is even")) });
    let config = Config::new("inline".to_owned(), NonZeroU32::MIN, registry);
    tokio::spawn(poolmap_worker::run(config, transport.into(), std::future::pending()));
}

/// A job of one of its functions.
pub(crate) fn spec(name: &str) -> JobSpec {
    let native = NativeFunction { name: name.to_owned() };
    JobSpec {
        function: Some(Function { kind: Some(function::Kind::Native(native)) }),
        child: Some(ChildOptions { backend: Backend::Inline.into(), ..ChildOptions::default() }),
        ..JobSpec::default()
    }
}

/// A task for each number.
pub(crate) fn numbers(range: Range<u64>) -> Chunk {
    range.map(|number| format!("[{number}]")).collect()
}
