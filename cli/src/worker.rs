//! `poolmap worker`: a worker process, as `poolmap run` starts them; and the children of a worker that are this program.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use poolmap_client::Transport;
use poolmap_worker::runtime::native::{self, Registry};
use poolmap_worker::{Config, ConnectError, Connector, SessionError, WorkerError};

use crate::exit::{Failure, LOST, say};
use crate::keeper::Keeper;

/// Time that a worker does without a keeper: many a command is done by then, and should not wait for another process.
const UNKEPT: Duration = Duration::from_millis(50);

/// Serve a coordinator on this machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    /// The coordinator's socket
    #[arg(long)]
    socket: PathBuf,

    /// Name of this worker
    #[arg(long)]
    name: String,

    /// Tasks to run at once
    #[arg(long)]
    slots: NonZeroU32,
}

/// Runs until the coordinator hangs up.
pub(crate) fn run(args: WorkerArgs, registry: Registry) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("starting a worker"))?;
    runtime.block_on(async {
        let mut ended = pin!(serve(args, registry));
        tokio::select! {
            ended = &mut ended => return ended,
            () = tokio::time::sleep(UNKEPT) => {}
        }
        let keeper = Keeper::start().map_err(Failure::system("starting a worker's keeper"))?;
        let ended = ended.await;
        keeper.into_iter().for_each(Keeper::dismiss);
        ended
    })
}

async fn serve(args: WorkerArgs, registry: Registry) -> Result<ExitCode, Failure> {
    // Beside the socket, which is removed with its folder by whoever has started this worker.
    let folder = args.socket.parent().map(Path::to_owned);
    let connector = Connector::new(move || {
        let socket = args.socket.clone();
        async move {
            // A private socket that is gone does not come back.
            Transport::unix(&socket).await.map_err(|error| ConnectError::Refused(error.to_string()))
        }
    });
    let connect_timeout = Duration::ZERO;
    let config = Config { folder, connect_timeout, ..Config::new(args.name, args.slots, registry) };
    match poolmap_worker::run(config, connector, std::future::pending()).await {
        // It was stopped before it could answer: no different from hanging up a moment later.
        Ok(()) | Err(WorkerError::Session(SessionError::Unreachable { .. })) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Lost(error.to_string())),
    }
}

/// Serves one slot of the worker that started this process.
pub(crate) fn serve_child(slot: Option<OsString>, registry: &Registry) -> ExitCode {
    let slot = slot.unwrap_or_default();
    match native::serve_descriptors(&slot.to_string_lossy(), registry) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("a child could not serve its slot: {error}"));
            ExitCode::from(LOST)
        }
    }
}
