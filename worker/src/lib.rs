//! The pool of one host.

pub mod os;
pub mod sizing;
pub mod slot;
