//! `poolmap cluster`: starts, shows and stops a whole cluster that one file describes.
//!
//! [`file`] is that file. `up` checks it and starts the [`steward`], the process that holds the cluster together; `status` and
//! `down` talk to the steward at its socket. Workers are started on existing systems: here and over ssh at the end of a line
//! ([`launch`], [`tether`]), and by [`slurm`]. For Kubernetes a manifest is written ([`kubernetes`]), and nothing is started.

mod down;
mod file;
mod folder;
mod kubernetes;
mod launch;
mod program;
mod slurm;
mod ssh;
mod status;
mod steward;
mod talk;
mod tether;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::file::FileFault;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  poolmap cluster up examples/cluster-local.toml         start all, and wait for the workers
  poolmap cluster status examples/cluster-local.toml     who is there
  poolmap cluster down examples/cluster-local.toml       let jobs end, stop all, leave nothing
  poolmap cluster manifest examples/cluster-kubernetes.toml | kubectl apply -f -

docs/cluster.md shows such files for one machine, hosts with ssh, Slurm and Kubernetes.";

/// Start, see and stop a whole cluster that one file describes
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Up(up::UpArgs),
    Status(status::StatusArgs),
    Down(down::DownArgs),
    Manifest(kubernetes::ManifestArgs),
    #[command(hide = true)]
    Steward(steward::StewardArgs),
    #[command(hide = true)]
    Tether(tether::TetherArgs),
    #[command(hide = true)]
    Allocation(slurm::allocation::AllocationArgs),
}

/// The file that describes the cluster.
#[derive(Args, Clone, Debug)]
struct FileArgs {
    /// The file that describes the cluster
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
}

/// Does what the words say.
pub(crate) fn run(args: ClusterArgs) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Up(args) => up::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Down(args) => down::run(&args),
        Command::Manifest(args) => kubernetes::run(&args),
        Command::Steward(args) => steward::run(&args),
        Command::Tether(args) => tether::run(args),
        Command::Allocation(args) => slurm::allocation::run(args),
    }
}

impl From<FileFault> for Failure {
    fn from(fault: FileFault) -> Self {
        Self::Usage(fault.to_string())
    }
}
