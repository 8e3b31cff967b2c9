//! The worker as its coordinator meets it: real Python children and native threads, driven over gRPC by a model of a
//! coordinator that says exactly what a test wants it to say.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that meets the unexpected shall fail there"
)]

mod deaths;
mod ending;
mod hostile;
mod leaving;
mod model;
mod offers;
mod pickled;
mod reconnecting;
mod recycling;
mod running;
mod streams;
mod taking_back;
