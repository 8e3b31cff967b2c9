//! What goes wrong while a job runs, with the real binaries: deaths, hangs, failures, memory that runs out, and stops.
//!
//! Each promise of `docs/guarantees.md` that needs whole processes is proven here. The words are those of the end-to-end
//! tests; [`scene`] adds what tells processes apart and what tasks left behind as a trace.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail where it stands"
)]
#![expect(clippy::print_stdout, reason = "what a test skips, or chose by chance, must be seen")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

mod crashes;
#[path = "../end_to_end/language.rs"]
#[expect(dead_code, reason = "these tests need fewer words")]
mod language;
mod leftovers;
mod memory;
#[path = "../end_to_end/processes.rs"]
#[expect(dead_code, reason = "these tests need fewer words")]
mod processes;
#[path = "../end_to_end/programs.rs"]
#[expect(dead_code, reason = "these tests need fewer words")]
mod programs;
mod refusals;
mod retries;
mod scene;
mod stops;
mod timeouts;
mod workers;
