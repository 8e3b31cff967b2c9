//! Whole clusters that one file describes: on this machine, on hosts with a real sshd, on a real Slurm; started, used and stopped.
//!
//! [`yard`] holds the words that the tests are written in: a folder and processes of its own for each, of which nothing may be
//! left. [`hosts`] makes hosts out of network namespaces.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

mod files;
mod hosts;
mod local;
mod manifest;
mod slurm;
mod slurm_daemons;
mod ssh;
mod units;
mod yard;
