//! Runners written in Rust: threads of this process, and this program as a child.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd as _;

use poolmap_proto::v1::ChildOptions;
use tokio_util::task::TaskTracker;

use super::{Ends, Ground, LaunchError};
use crate::child::{Child, Exit};
use crate::os;
use crate::runtime::command::run::Commands;
use crate::runtime::native::{Natives, Registry};
use crate::slot::map::SlotMap;
use crate::slot::runner::Runner;
use crate::slot::serve::serve;
use crate::stderr::Stderr;

/// First argument of a child that is this program: see [`serve_descriptors`](crate::runtime::native::serve_descriptors).
pub const CHILD_ARGUMENT: &str = "__child";
/// Where a child finds its slot.
const CHILD_SOCKET: i32 = 3;
const CHILD_MAP: i32 = 4;

/// Runs tasks in a thread of this process.
#[derive(Debug)]
pub(crate) struct ThreadLauncher {
    runs_commands: bool,
    registry: Registry,
}

impl ThreadLauncher {
    pub(crate) fn new(runs_commands: bool, registry: Registry) -> Self {
        Self { runs_commands, registry }
    }

    pub(crate) fn start(&self, slot: usize) -> io::Result<Runner> {
        let ends = Ends::make()?;
        let map = ends.runner_map()?;
        let socket = ends.runner_socket.try_clone()?;
        let (mut child, exit) = Child::watched(None, None);
        if self.runs_commands {
            child = child.with_commands(ends.runner_map()?);
        }
        let (runs_commands, registry) = (self.runs_commands, self.registry.clone());
        std::thread::Builder::new().name(format!("slot-{}", slot + 1)).spawn(move || {
            if let Err(error) = serve_thread(slot, runs_commands, registry, socket, map) {
                tracing::debug!(slot, %error, "the thread of a slot ended early");
            }
            exit.ended(Exit::Thread);
        })?;
        ends.into_runner(child)
    }
}

fn serve_thread(
    slot: usize,
    runs_commands: bool,
    registry: Registry,
    socket: std::os::unix::net::UnixStream,
    map: SlotMap,
) -> io::Result<()> {
    if runs_commands {
        serve(socket, map, &mut Commands::new(slot + 1)?)
    } else {
        serve(socket, map, &mut Natives::new(registry))
    }
}

/// Runs native functions in children that are this very program.
#[derive(Debug)]
pub(crate) struct ProcessLauncher {
    program: os::Program,
    environment: Vec<CString>,
    directory: Option<CString>,
    stderr: Stderr,
    tasks: TaskTracker,
}

impl ProcessLauncher {
    pub(crate) fn new(options: &ChildOptions, ground: &Ground) -> Result<Self, LaunchError> {
        Ok(Self {
            program: os::Program::find(b"/proc/self/exe", None)?,
            environment: super::environment(options)?,
            directory: super::directory(options)?,
            stderr: ground.stderr.clone(),
            tasks: ground.tasks.clone(),
        })
    }

    pub(crate) fn start(&self) -> Result<Runner, LaunchError> {
        let ends = Ends::make()?;
        let null = std::fs::File::open("/dev/null")?;
        let (output, tail) = self.stderr.pipe()?;
        let slot = CString::new(format!("{CHILD_SOCKET}:{CHILD_MAP}")).map_err(io::Error::other)?;
        let arguments =
            [c"poolmap".to_owned(), CString::new(CHILD_ARGUMENT).map_err(io::Error::other)?, slot];
        let spawn = os::Spawn {
            program: &self.program,
            arguments: &arguments,
            environment: &self.environment,
            directory: self.directory.as_deref(),
            descriptors: &[
                (null.as_fd(), 0),
                (output.as_fd(), 1),
                (output.as_fd(), 2),
                (ends.runner_socket.as_fd(), CHILD_SOCKET),
                (ends.map.fd(), CHILD_MAP),
            ],
            own_group: true,
            own_session: false,
            die_with_parent: true,
        };
        let pid = spawn.start().map_err(|error| error.error)?;
        Ok(ends.into_runner(Child::adopt(pid, tail, &self.tasks)?)?)
    }
}
