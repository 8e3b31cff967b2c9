//! The pool of one host.

pub mod os;
pub mod slot;
