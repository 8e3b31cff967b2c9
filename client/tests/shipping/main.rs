//! Files that travel with jobs: a real coordinator and real workers over a Unix socket, through the client.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected shall fail there"
)]

mod arriving;
mod cluster;
mod finding;
mod refusals;
mod tasks;
mod wire;
