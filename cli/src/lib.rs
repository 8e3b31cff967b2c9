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

mod cluster;
mod completions;
mod connect;
mod coordinator;
pub mod cpus;
mod exit;
pub mod input;
mod job;
mod jobs;
mod keeper;
mod log;
pub mod output;
mod quantity;
mod reason;
mod run;
mod signals;
pub mod sizing_flags;
mod submit;
mod systemd;
mod table;
mod this_program;
mod worker;
mod workers;

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
    Submit(Box<submit::SubmitArgs>),
    Jobs(jobs::ListArgs),
    /// See one job of a cluster
    Show(jobs::ShowArgs),
    Results(jobs::ResultsArgs),
    /// Wait until jobs have ended, and exit as `poolmap run` would have
    Wait(jobs::SeveralArgs),
    /// Stop jobs, and the tasks of them that run
    Cancel(jobs::SeveralArgs),
    /// Hand out nothing more of jobs; what runs ends
    Pause(jobs::SeveralArgs),
    /// Go on with jobs that were paused
    Resume(jobs::SeveralArgs),
    Workers(workers::WorkersArgs),
    Drain(workers::DrainArgs),
    Cluster(cluster::ClusterArgs),
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
        Command::Submit(args) => submit::run(&args),
        Command::Jobs(args) => jobs::list(&args),
        Command::Show(args) => jobs::show(&args),
        Command::Results(args) => jobs::results(&args),
        Command::Wait(args) => jobs::wait(&args),
        Command::Cancel(args) => jobs::cancel(&args),
        Command::Pause(args) => jobs::pause(&args),
        Command::Resume(args) => jobs::resume(&args),
        Command::Workers(args) => workers::list(&args),
        Command::Drain(args) => workers::drain(&args),
        Command::Cpus(args) => {
            let printed = cpus::run(&args, &mut std::io::stdout().lock());
            printed.map(|()| ExitCode::SUCCESS).map_err(Failure::from)
        }
        Command::Completions(args) => completions::run(&args),
        Command::Cluster(args) => cluster::run(args),
        Command::Coordinator(args) => coordinator::run(&args),
        Command::Worker(args) => worker::run(&args, registry),
        Command::Keeper(args) => Ok(keeper::run(&args)),
    })
}
