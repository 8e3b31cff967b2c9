//! `poolmap worker`: the pool of one host, in the service of a cluster or of a `poolmap run`; and the children of a worker that
//! are this program.

mod args;
mod front;
mod python;

use std::ffi::OsString;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Once};
use std::time::Duration;

use nix::unistd::{Pid, getsid};
use poolmap_proto::access::Role;
use poolmap_proto::transport::Route;
use poolmap_worker::runtime::native::{self, Registry};
use poolmap_worker::sizing::detect;
use poolmap_worker::{ConnectError, Connector, SessionError, WorkerError, usual_python};
use sd_notify::NotifyState;
use tokio::sync::oneshot;

pub(crate) use self::args::WorkerArgs;
use crate::exit::{Failure, INTERRUPTED, LOST, say};
use crate::keeper::Keeper;
use crate::signals::Signals;
use crate::systemd::notify;

/// Time that a worker does without a keeper: many a command is done by then, and should not wait for another process.
const UNKEPT: Duration = Duration::from_millis(50);

/// Runs until the coordinator has no more use for it, or it has reason to leave.
pub(crate) fn run(args: &WorkerArgs, registry: Registry) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("starting a worker"))?;
    if let Some(socket) = &args.socket {
        return runtime.block_on(kept(serve_locally(args, socket, registry)));
    }
    // What is wrong with the flags is found here, and told once.
    let route = args.connect.route(Role::Worker)?;
    if leads_a_session() {
        runtime.block_on(kept(serve(args, route, registry)))
    } else {
        runtime.block_on(front::run())
    }
}

/// Whether all that this process starts can be told from what others have started.
fn leads_a_session() -> bool {
    getsid(None) == Ok(Pid::this())
}

/// How a worker ended.
enum End {
    /// With nothing left behind.
    Tidy(Result<ExitCode, Failure>),
    /// At once.
    Hasty,
}

/// Keeps a keeper beside a worker that lives for longer than a moment.
async fn kept(worker: impl Future<Output = End>) -> Result<ExitCode, Failure> {
    let mut worker = pin!(worker);
    let mut keeper = None;
    let end = tokio::select! {
        end = &mut worker => end,
        () = tokio::time::sleep(UNKEPT) => {
            keeper = Keeper::start().map_err(Failure::system("starting a worker's keeper"))?;
            worker.await
        }
    };
    match end {
        End::Tidy(ended) => {
            keeper.into_iter().for_each(Keeper::dismiss);
            ended
        }
        End::Hasty => {
            // Until this process has ended the keeper must not hear of it, and after that it must.
            keeper.into_iter().for_each(std::mem::forget);
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Serves the coordinator of a `poolmap run`.
async fn serve_locally(args: &WorkerArgs, socket: &Path, registry: Registry) -> End {
    let (config, route) = (args.local_config(socket, registry), Route::unix(socket));
    let connector = Connector::new(move || {
        let route = route.clone();
        // A private socket that is gone does not come back.
        async move { route.connect().await.map_err(|error| ConnectError::Refused(error.to_string())) }
    });
    End::Tidy(match poolmap_worker::run(config, connector, std::future::pending()).await {
        // It was stopped before it could answer: no different from hanging up a moment later.
        Ok(()) | Err(WorkerError::Session(SessionError::Unreachable { .. })) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Lost(error.to_string())),
    })
}

/// Serves the coordinator of a cluster. The first signal has it leave, the second ends it at once.
async fn serve(args: &WorkerArgs, route: Route, registry: Registry) -> End {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(failure) => return End::Tidy(Err(failure)),
    };
    let version = python::version(&usual_python(args.python())).await;
    let (rule, machine) =
        (args.sizing().rule(), detect::this_machine(version.as_ref().and_then(python::Version::parsed)));
    say(&rule.explain(&machine));
    let config = args.config(rule.size(&machine).slots, registry, version);
    let (leave, told) = oneshot::channel();
    let mut working = pin!(poolmap_worker::run(config, connector(route), async {
        let _told = told.await;
    }));
    tokio::select! {
        ended = &mut working => return tidy(ended),
        () = signals.next() => {
            notify(NotifyState::Stopping);
            say("leaving once what runs has ended (a second signal ends it at once)");
        }
    }
    let _ended = leave.send(());
    tokio::select! {
        ended = &mut working => tidy(ended),
        () = signals.next() => End::Hasty,
    }
}

fn tidy(ended: Result<(), WorkerError>) -> End {
    End::Tidy(ended.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::Lost(error.to_string())))
}

/// Makes connections; the first one makes this a service that is ready.
fn connector(route: Route) -> Connector {
    let ready = Arc::new(Once::new());
    Connector::new(move || {
        let (route, ready) = (route.clone(), ready.clone());
        async move {
            let connected = route.connect().await;
            if connected.is_ok() {
                ready.call_once(|| notify(NotifyState::Ready));
            }
            connected.map_err(|error| {
                let said = error.to_string();
                if error.is_final() { ConnectError::Refused(said) } else { ConnectError::Unreachable(said) }
            })
        }
    })
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
