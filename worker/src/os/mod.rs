//! The operating system: shared memory, barriers, and how processes start and die.
//!
//! The only folder of this crate with `unsafe` code; each use says why it is sound. What is in here knows nothing of
//! slots, jobs or frames.

mod memory;
mod proc;
mod process;

pub use memory::{SharedMemory, barrier};
pub use proc::{rss_bytes, session_members};
pub use process::{
    ExitNotice, Program, Spawn, StartError, Step, capture_file, exit_notice, signal_name, take_inherited,
    wait,
};
