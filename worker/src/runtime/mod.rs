//! The runtimes whose runners are written in Rust: commands and native functions.
//!
//! Each is the [`Tasks`](crate::slot::serve::Tasks) of a runner; neither knows where its slot's other end is.

pub mod command;
pub mod native;
pub(crate) mod python;
