//! The signals that ask a service to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// SIGINT and SIGTERM, from the moment this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Call this within a tokio runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        let interrupt = signal(SignalKind::interrupt()).map_err(Failure::system("listening for Ctrl-C"))?;
        let terminate = signal(SignalKind::terminate()).map_err(Failure::system("listening for signals"))?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
