//! A poolmap binary with functions that behave in all the ways that tests need to see.

use std::process::ExitCode;
use std::thread;

use poolmap::Registry;

fn main() -> ExitCode {
    let registry = Registry::new()
        .function("do_work", |a: u32, b: u32, c: u32| format!("Pokemon#{a}{b}{c}"))
        .function("where_am_i", where_am_i)
        .function("abort_at", abort_at)
        .function("panic_at", panic_at)
        .function("sleep_ms", sleep_ms)
        .function("print", print)
        .function("letters", |count: usize| "x".repeat(count))
        .fallible("parse", |text: String| text.parse::<i64>());
    poolmap::main(registry)
}

/// Process and thread.
fn where_am_i(_task: u32) -> (u32, String) {
    // Long enough for other slots to get their share.
    thread::sleep(std::time::Duration::from_millis(20));
    (std::process::id(), format!("{:?}", thread::current().id()))
}

fn sleep_ms(ms: u64) -> u64 {
    thread::sleep(std::time::Duration::from_millis(ms));
    ms
}

fn panic_at(bad: u32, task: u32) -> u32 {
    assert!(task != bad, "task {task} is bad");
    task
}

fn abort_at(bad: u32, task: u32) -> u32 {
    if task == bad {
        std::process::abort();
    }
    task
}

#[expect(clippy::print_stdout, reason = "what a function prints must not mix with results")]
#[expect(clippy::needless_pass_by_value, reason = "arguments are read from JSON")]
fn print(text: String) {
    println!("{text}");
}
