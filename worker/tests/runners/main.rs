//! The runners written in Rust, driven over a real socket and a real map as the pool drives them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected shall fail there"
)]

mod commands;
mod native;
mod protocol;
mod slot;
