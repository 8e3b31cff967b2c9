//! Panics of native functions become the outcomes of their tasks.
//!
//! The hook that the program had prints panics; it still does, for all threads but those that are inside
//! [`catch`]. There the panic is kept, to be told to whoever asked for the task.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use super::exception;
use crate::slot::record::Failure;

thread_local! {
    static CATCHES: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: Cell<Option<Failure>> = const { Cell::new(None) };
}

/// Puts the hook in place, once for the whole program.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if CATCHES.try_with(Cell::get).unwrap_or(false) {
                let _thread_is_ending = CAUGHT.try_with(|caught| caught.set(Some(describe(panic))));
            } else {
                print(panic);
            }
        }));
    });
}

/// Runs `function`, of which nothing is used again if it panics.
pub(super) fn catch(function: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    CATCHES.set(true);
    let result = catch_unwind(AssertUnwindSafe(function));
    CATCHES.set(false);
    // A function may have caught a panic of its own; it is not to be told for a later task.
    let caught = CAUGHT.take();
    result.unwrap_or_else(|payload| Err(caught.unwrap_or_else(|| exception("panic", message(&*payload)))))
}

fn describe(panic: &PanicHookInfo<'_>) -> Failure {
    let mut traceback =
        panic.location().map_or_else(String::new, |location| format!("panicked at {location}"));
    // Taken only where the user has asked for it with RUST_BACKTRACE: it costs milliseconds.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        traceback = format!("{traceback}\n{backtrace}");
    }
    Failure { traceback, ..exception("panic", message(panic.payload())) }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
