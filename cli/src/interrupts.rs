//! Ctrl-C and SIGTERM.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Failure;

/// The signals by which a user ends a command.
pub(crate) struct Interrupts {
    interrupts: Signal,
    terminations: Signal,
}

impl Interrupts {
    /// From here on they do not end the process by themselves. Call this within a tokio runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupts: signal(SignalKind::interrupt()).map_err(Failure::system("listening for Ctrl-C"))?,
            terminations: signal(SignalKind::terminate())
                .map_err(Failure::system("listening for signals"))?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminations.recv() => {}
        }
    }
}
