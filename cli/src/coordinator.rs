//! `poolmap coordinator`: the service that holds jobs, and what its operator does with access files.

mod args;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poolmap_coordinator::access::{Folder, FolderError, advertised};
use poolmap_coordinator::listen::{ListenError, Listener};
use poolmap_coordinator::{Config, Coordinator, JobIds};
use poolmap_proto::access::{Access, Address, Role};
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

pub(crate) use self::args::{CoordinatorArgs, ListenAddress, parse_message_size};
use crate::exit::{Failure, INTERRUPTED, say};
use crate::reason::reason;
use crate::signals::Signals;
use crate::systemd::notify;

/// Time that workers have to stop what they run and to leave.
const DISMISS_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves, or does what the flags ask for instead.
pub(crate) fn run(args: &CoordinatorArgs) -> Result<ExitCode, Failure> {
    if let (Some(role), Some(out)) = (args.new_access, &args.out) {
        return new_access(args, role, out);
    }
    if let Some(role) = args.revoke {
        return revoke(args, role);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system("starting"))?;
    runtime.block_on(serve(args))
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        Self::Usage(error.to_string())
    }
}

fn new_access(args: &CoordinatorArgs, role: Role, out: &Path) -> Result<ExitCode, Failure> {
    let folder = Folder::open(&args.folder()?)?;
    let addresses = addresses(args, &folder, role)?;
    folder.write_access(out, role, &addresses, args.valid_for)?;
    let told: Vec<_> = addresses.iter().map(Address::to_string).collect();
    print(&format!("{}: access for a {role}, to the coordinator at {}", out.display(), told.join(", ")))
}

fn revoke(args: &CoordinatorArgs, role: Role) -> Result<ExitCode, Failure> {
    let mut folder = Folder::open(&args.folder()?)?;
    let addresses = addresses(args, &folder, role)?;
    folder.revoke(role)?;
    let file = folder.access_file(role);
    folder.write_access(&file, role, &addresses, args.valid_for)?;
    print(&format!(
        "all access files for {role}s made so far are revoked; the new one is {}\n\
         A coordinator that runs refuses the old ones and closes their connections within a few seconds.",
        file.display()
    ))
}

/// What an access file that is made beside the service names: what the user says, else what the service did when it started.
fn addresses(args: &CoordinatorArgs, folder: &Folder, role: Role) -> Result<Vec<Address>, Failure> {
    let listening = args.listen()?;
    let asked = args.advertised(first_port(&listening));
    if !asked.is_empty() {
        return Ok(asked);
    }
    let last = Access::read(&folder.access_file(role), role).ok().map(|access| access.addresses);
    Ok(last.unwrap_or_else(|| advertised(&listening)))
}

fn first_port(addresses: &[SocketAddr]) -> u16 {
    addresses.first().map_or(0, SocketAddr::port)
}

async fn serve(args: &CoordinatorArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    raise_descriptor_limit();
    let addresses = args.listen()?;
    let (listener, job_ids, _in_use) = if args.insecure {
        let listener = Listener::bind_insecure(&addresses).await.map_err(|error| refused(&error))?;
        say("INSECURE: everybody on this machine may run anything here, as this user");
        print(&format!("poolmap coordinator listening at {}, in the clear", list(&listener.addresses())))?;
        // Without a folder there is nothing to tell them by from those of an earlier start.
        (listener, JobIds::default(), None)
    } else {
        let folder = Folder::open(&args.folder()?)?;
        let in_use = folder.lock()?;
        let listener = Listener::bind(&addresses, &folder).await.map_err(|error| refused(&error))?;
        lay_ready(args, &folder, &listener.addresses())?;
        print(&format!(
            "poolmap coordinator listening at {}; access files: {} (for clients), {} (for workers)",
            list(&listener.addresses()),
            folder.access_file(Role::Client).display(),
            folder.access_file(Role::Worker).display(),
        ))?;
        (listener, folder.job_ids(&in_use)?, Some(in_use))
    };
    notify(NotifyState::Ready);
    serve_until_told(args, listener, job_ids, &mut signals).await
}

/// Access files that name the addresses of this start; the certificates of earlier ones count as before.
fn lay_ready(args: &CoordinatorArgs, folder: &Folder, listening: &[SocketAddr]) -> Result<(), Failure> {
    let asked = args.advertised(first_port(listening));
    let addresses = if asked.is_empty() { advertised(listening) } else { asked };
    for role in Role::ALL {
        folder.write_access(&folder.access_file(role), role, &addresses, args.valid_for)?;
    }
    Ok(())
}

/// Serves until the first signal, then drains; a second signal ends it at once.
async fn serve_until_told(
    args: &CoordinatorArgs,
    listener: Listener,
    job_ids: JobIds,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    // On a disk, which temporary files may not have. Of outcomes nothing is left behind there, however this process ends; of
    // the files of jobs the next coordinator removes what is.
    let files_folder = (!args.insecure).then(|| args.folder()).transpose()?;
    let spill_folder = Some(files_folder.clone().unwrap_or_else(std::env::temp_dir));
    let config = Config {
        max_message_bytes: args.max_message_bytes,
        job_ids,
        worker_timeout: args.worker_timeout,
        spill_folder,
        files_folder,
        files_bytes_max: args.max_files_size.as_u64(),
        ..Config::default()
    };
    let coordinator = Coordinator::start(config);
    let stop = CancellationToken::new();
    let mut serving = pin!(listener.serve(&coordinator, stop.cancelled()));
    tokio::select! {
        ended = &mut serving => return ended.map(|()| ExitCode::SUCCESS).map_err(|error| refused(&error)),
        () = signals.next() => {}
    }
    notify(NotifyState::Stopping);
    say("stopping: no new jobs; those that run may end (a second signal stops at once)");
    let draining = async {
        if tokio::time::timeout(args.drain_timeout, coordinator.drain()).await.is_err() {
            let waited = humantime::format_duration(args.drain_timeout);
            say(&format!("some jobs had not ended after {waited}; they are lost"));
        }
        if tokio::time::timeout(DISMISS_TIMEOUT, coordinator.dismiss()).await.is_err() {
            tracing::warn!("some workers had not left after {} s", DISMISS_TIMEOUT.as_secs());
        }
        coordinator.stop().await;
        stop.cancel();
    };
    tokio::select! {
        (ended, ()) = async { tokio::join!(serving, draining) } => {
            ended.map(|()| ExitCode::SUCCESS).map_err(|error| refused(&error))
        }
        () = signals.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

fn refused(error: &ListenError) -> Failure {
    let ListenError::Bind { address, reason: why } = error else { return Failure::Usage(error.to_string()) };
    let advice = match why.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "\nIs another coordinator running? This shows what has the port: ss -ltnp 'sport = :{}'\n\
             Or listen at another one: --listen {}:PORT",
            address.port(),
            address.ip()
        ),
        std::io::ErrorKind::AddrNotAvailable => {
            "\nThis machine has no such address: ip address shows which it has".to_owned()
        }
        _ => String::new(),
    };
    Failure::Usage(format!("cannot listen at {address}: {}{advice}", reason(why)))
}

/// Every connection takes a descriptor; what the system allows is not always what it allows at first.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!("the limit of open files could not be raised: {error}");
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    addresses.join(", ")
}

fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}
