//! The coordinator's gRPC services as clients and workers meet them: a real coordinator, and a model of a worker that says
//! exactly what a test wants it to say.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected shall fail there"
)]

mod attaching;
mod batches;
mod clients;
mod faults;
mod jobs;
mod model;
mod placing;
mod pressure;
mod returning;
mod taking_back;
mod wire;
