//! The memory of this worker: how much it may use ([`limits`]), what to do when that runs out ([`guard`]), and whether it was
//! the kernel that killed a child for it ([`oom`]).
//!
//! Nothing here starts, stops or signals anything: the pool asks and acts.

pub(crate) mod guard;
pub(crate) mod limits;
pub(crate) mod oom;
