//! What tests of the real binaries share: the words they are written in, and what those rest on.
//!
//! [`language`] runs command lines, [`cast`] tells their processes apart, and [`network`] makes hosts. What only one of the test
//! binaries in `tests/` needs stays there.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test may fail where it stands"
)]
#![expect(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a test that does not look at what it asks for proves nothing, with or without a warning"
)]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

pub mod cast;
pub mod language;
pub mod network;
pub mod processes;
pub mod programs;
