//! The `poolmap` command line as a library.

pub mod input;
mod reason;
