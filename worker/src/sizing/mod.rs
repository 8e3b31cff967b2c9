//! How many slots a pool has, and how many threads each child's libraries may start.
//!
//! [`rule`] is the sizing rule, a pure function of a [`Machine`]; [`detect`] describes the machine that this process
//! runs on, with what [`quota`] reads of its control groups; [`thread_caps`] is the environment that keeps numeric
//! libraries within a slot's share. Nothing here starts, logs or changes anything.

pub mod detect;
pub mod machine;
pub mod quota;
pub mod rule;
pub mod thread_caps;

pub use machine::{Machine, Os, PythonVersion};
pub use rule::{DecidedBy, Divisor, InvalidDivisor, PlatformLimit, Rule, Size};
