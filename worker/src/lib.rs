//! The pool of one host.

pub mod os;
pub mod runtime;
pub mod slot;
