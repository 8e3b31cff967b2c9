//! The flags of `poolmap worker`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::sizing::detect;
use poolmap_worker::{Config, OnCoordinatorLost};

use super::python::Version;
use crate::connect::ConnectFlags;
use crate::quantity::{parse_time, parse_time_or_zero};
use crate::sizing_flags::SizingFlags;

const EXAMPLES: &str = "\
Examples:
  poolmap worker --access worker.access                     all of this host that the machine's rule allows
  poolmap worker --access worker.access -j 4 --label gpu    four slots, for jobs that ask for the label, too
  poolmap worker --access worker.access --time-limit 4h     in an allocation that ends in four hours";

/// Run tasks on this host: dial in to a coordinator and serve it
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(super) connect: ConnectFlags,

    /// Serve a coordinator at a private socket, as its only purpose in life
    #[arg(long, hide = true, conflicts_with_all = ["access", "connect"], requires = "name")]
    pub(super) socket: Option<PathBuf>,

    #[command(flatten)]
    sizing: SizingFlags,

    /// What people see it called [default: the host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Take tasks of jobs that ask for this label, too; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,

    /// Interpreter for jobs that do not name one [default: the active virtual environment's, else python3]
    #[arg(long, value_name = "PATH")]
    python: Option<String>,

    /// Leave after TIME without work
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, help_heading = "Leaving")]
    idle_timeout: Option<Duration>,

    /// Leave after TIME, and begin no task that cannot be expected to end by then
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, help_heading = "Leaving")]
    time_limit: Option<Duration>,

    /// Time that tasks have to end once it is told to leave
    #[arg(
        long, value_name = "TIME", value_parser = parse_time_or_zero, default_value = "30s", allow_hyphen_values = true,
        help_heading = "Leaving"
    )]
    drain_timeout: Duration,

    /// Try for TIME to reach the coordinator at first; 0: once
    #[arg(
        long, value_name = "TIME", value_parser = parse_time_or_zero, default_value = "60s", allow_hyphen_values = true,
        help_heading = "Coordinator"
    )]
    connect_timeout: Duration,

    /// Take a coordinator that was not heard of for TIME for lost
    #[arg(
        long, value_name = "TIME", value_parser = parse_time_or_zero, default_value = "60s", allow_hyphen_values = true,
        help_heading = "Coordinator"
    )]
    reconnect_timeout: Duration,

    /// What becomes of tasks that run when the coordinator is lost
    #[arg(long, value_name = "WHAT", value_enum, default_value_t, help_heading = "Coordinator")]
    on_coordinator_lost: OnLostFlag,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum OnLostFlag {
    /// They are run to their end
    Finish,
    /// They are stopped
    #[default]
    Stop,
}

impl WorkerArgs {
    pub(super) fn sizing(&self) -> &SizingFlags {
        &self.sizing
    }

    pub(super) fn python(&self) -> Option<&str> {
        self.python.as_deref()
    }

    /// For a coordinator at the private socket of a run.
    pub(super) fn local_config(&self, socket: &Path, registry: Registry) -> Config {
        let slots = self.sizing.rule().size(&detect::this_machine(None)).slots;
        let name = self.name.clone().unwrap_or_default();
        Config {
            // Beside the socket, which is removed with its folder by whoever has started this worker.
            folder: socket.parent().map(Path::to_owned),
            connect_timeout: Duration::ZERO,
            ..Config::new(name, slots, registry)
        }
    }

    /// For the coordinator of a cluster.
    pub(super) fn config(&self, slots: NonZeroU32, registry: Registry, python: Option<Version>) -> Config {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let host = host.unwrap_or_else(|_| "unknown".to_owned());
        let name = self.name.clone().unwrap_or_else(|| host.clone());
        Config {
            host,
            cpus: detect::cpus().get(),
            python: self.python.clone(),
            python_version: python.map(Version::into_text).unwrap_or_default(),
            labels: self.labels.clone(),
            connect_timeout: self.connect_timeout,
            reconnect_timeout: self.reconnect_timeout,
            on_coordinator_lost: match self.on_coordinator_lost {
                OnLostFlag::Finish => OnCoordinatorLost::Finish,
                OnLostFlag::Stop => OnCoordinatorLost::Stop,
            },
            drain_timeout: self.drain_timeout,
            idle_timeout: self.idle_timeout,
            time_limit: self.time_limit,
            ..Config::new(name, slots, registry)
        }
    }
}
