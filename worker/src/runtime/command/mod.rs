//! Commands over tuples: a program and its arguments, one process a task.
//!
//! [`template`] says what a task's command is, [`run`] runs it.

mod form;
pub mod quote;
pub mod run;
pub mod template;
