//! A coordinator, workers and clients as separate processes over TCP: who gets in, what becomes of who does not, and jobs.
//!
//! The words are those of the end-to-end tests; [`scene`] sets a cluster up and takes it down.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail where it stands"
)]

mod clocks;
mod commands;
mod credentials;
mod ends;
mod hostile;
mod jobs;
mod outsider;
mod partings;
mod scene;
mod services;
mod sizes;
