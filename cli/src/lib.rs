//! The `poolmap` command line as a library.

pub mod input;
pub mod output;
mod reason;
