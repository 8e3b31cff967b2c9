//! The `poolmap` command line as a library.

pub mod cpus;
pub mod sizing_flags;
