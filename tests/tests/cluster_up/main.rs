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
#[path = "../hosts/network.rs"]
#[expect(dead_code, clippy::print_stdout, reason = "these tests need fewer words, and say what they skip")]
mod network;
#[path = "../end_to_end/processes.rs"]
#[expect(dead_code, reason = "these tests need fewer words")]
mod processes;
#[path = "../end_to_end/programs.rs"]
#[expect(dead_code, reason = "these tests need fewer words")]
mod programs;
mod slurm;
mod slurm_daemons;
mod ssh;
mod units;
mod yard;
