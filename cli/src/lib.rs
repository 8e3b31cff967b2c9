//! The `poolmap` command line as a library: [`main`] makes a binary of your own, with your Rust functions in it.
//!
//! ```no_run
//! fn do_work(a: u32, b: u32, c: u32) -> String {
//!     format!("Pokemon#{a}{b}{c}")
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     poolmap::main(poolmap::Registry::new().function("do_work", do_work))
//! }
//! ```

mod completions;
mod connect;
mod coordinator;
pub mod cpus;
mod exit;
pub mod input;
mod job;
mod keeper;
mod log;
pub mod output;
mod quantity;
mod reason;
mod run;
mod signals;
pub mod sizing_flags;
mod this_program;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
pub use poolmap_worker::runtime::native::Registry;

use crate::exit::{Failure, report};

/// pool.map for one machine or a thousand: run a function or a command over a list of argument tuples.
#[derive(Debug, Parser)]
#[command(name = "poolmap", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How much to tell about the inner workings, on standard error
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t, global = true)]
    log_level: log::Level,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArgs>),
    Coordinator(coordinator::CoordinatorArgs),
    Worker(Box<worker::WorkerArgs>),
    Cpus(cpus::CpusArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Keeper(keeper::KeeperArgs),
}

/// Runs the command line of this process with these native functions, and says how to exit.
#[must_use]
pub fn main(registry: Registry) -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == poolmap_worker::CHILD_ARGUMENT) {
        return worker::serve_child(words.next(), &registry);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    log::start(cli.log_level);
    report(match cli.command {
        Command::Run(args) => run::run(&args, cli.log_level, registry),
        Command::Cpus(args) => {
            let printed = cpus::run(&args, &mut std::io::stdout().lock());
            printed.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
        Command::Completions(args) => completions::run(&args),
        Command::Coordinator(args) => coordinator::run(&args),
        Command::Worker(args) => worker::run(&args, registry),
        Command::Keeper(args) => Ok(keeper::run(&args)),
    })
}
