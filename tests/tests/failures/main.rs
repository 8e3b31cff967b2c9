//! What goes wrong while a job runs, with the real binaries: deaths, hangs, failures, memory that runs out, and stops.
//!
//! Each promise of `docs/guarantees.md` that needs whole processes is proven here. The words are those of the end-to-end
//! tests; [`scene`] adds what tasks left behind as a trace.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail where it stands")]
#![expect(clippy::print_stdout, reason = "what a test skips, or chose by chance, must be seen")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

mod crashes;
mod leftovers;
mod memory;
mod refusals;
mod retries;
mod scene;
mod stops;
mod timeouts;
mod workers;
