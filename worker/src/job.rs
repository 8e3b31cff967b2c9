//! A job as a worker knows it.

use std::time::Duration;

use bytes::Bytes;

use crate::launch::Launcher;

/// What a worker needs to run tasks of a job. Shared by all slots.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// Body of the frame that loads the function in a runner.
    pub(crate) function: Bytes,
    /// Payloads of a batch are joined by commas, so that they are one JSON text.
    pub(crate) joins_payloads: bool,
    /// Outcomes come with details.
    pub(crate) has_details: bool,
    pub(crate) max_tasks_per_child: Option<u64>,
    pub(crate) max_child_rss_bytes: Option<u64>,
    /// Time an attempt may take.
    pub(crate) timeout: Option<Duration>,
    /// Starts runners for it.
    pub(crate) launcher: Launcher,
}
