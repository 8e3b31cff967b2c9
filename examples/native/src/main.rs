//! A poolmap binary of your own, with your Rust functions in it:
//!
//!     cargo run --release -p poolmap-example-native -- run native:do_work examples/pokemon.jsonl

use std::process::ExitCode;

use poolmap::Registry;

fn do_work(a: u32, b: u32, c: u32) -> String {
    format!("Pokemon#{a}{b}{c}")
}

fn main() -> ExitCode {
    poolmap::main(Registry::new().function("do_work", do_work))
}
