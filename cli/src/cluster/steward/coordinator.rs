//! The coordinator of a cluster: a child of the steward, killed by the kernel if that one dies.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use poolmap_proto::access::{Access, Address, Role, read_private};
use poolmap_worker::os;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;

use crate::cluster::file::CoordinatorTable;
use crate::cluster::folder::{Folder, Log};
use crate::cluster::talk::Trouble;
use crate::reason::reason;
use crate::this_program;

/// Time that it has to listen; the keys that it makes at its first start take a moment.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What it takes to end once its jobs have.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// Its log, and its name in messages.
const NAME: &str = "coordinator";

pub(super) struct Coordinator {
    process: Pid,
    ended: os::ExitNotice,
    drain_timeout: Duration,
    /// As it was told.
    listen: SocketAddr,
    /// Where it may be reached.
    pub(super) addresses: Vec<Address>,
    pub(super) client_access: PathBuf,
    pub(super) worker_access: PathBuf,
}

impl Coordinator {
    /// Starts it; returns once it listens.
    pub(super) async fn start(table: &CoordinatorTable, folder: &Folder) -> Result<Self, Trouble> {
        let log = folder.log(NAME);
        let started = Self::try_start(table, &log).await;
        started.map_err(|why| Trouble { what: NAME.to_owned(), why, last_lines: log.last_lines() })
    }

    async fn try_start(table: &CoordinatorTable, log: &Log) -> Result<Self, String> {
        let place = table.folder().map_err(|error| error.to_string())?;
        let (process, ended, stdout) = spawn(table, log).map_err(|error| reason(&error))?;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        let told = tokio::time::timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
        let mut coordinator = Self {
            process,
            ended,
            drain_timeout: table.drain_timeout(),
            listen: table.listen(),
            addresses: Vec::new(),
            client_access: place.join(Role::Client.file_name()),
            worker_access: place.join(Role::Worker.file_name()),
        };
        match told {
            Ok(Ok(length)) if length > 0 => {}
            Ok(_) => return Err(coordinator.ended().await),
            Err(_) => {
                coordinator.stop().await;
                return Err(format!("it did not listen within {} s", START_TIMEOUT.as_secs()));
            }
        }
        match Access::read(&coordinator.client_access, Role::Client) {
            Ok(access) => coordinator.addresses = access.addresses,
            Err(error) => {
                coordinator.stop().await;
                return Err(error.to_string());
            }
        }
        Ok(coordinator)
    }

    /// What a client on this very machine needs to get in. What others are told need not lead from here to there.
    pub(super) fn access_from_here(&self) -> Result<Access, String> {
        let mut access =
            Access::read(&self.client_access, Role::Client).map_err(|error| error.to_string())?;
        let mut listen = self.listen;
        if listen.ip().is_unspecified() {
            listen.set_ip(if listen.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        if listen.port() != 0 {
            access.addresses = vec![listen.into()];
        }
        Ok(access)
    }

    /// What a worker needs to get in.
    pub(super) fn access_for_workers(&self) -> Result<String, String> {
        read_private(&self.worker_access)
            .map_err(|error| format!("{}: {error}", self.worker_access.display()))
    }

    /// Waits until it has ended; returns how.
    pub(super) async fn ended(&self) -> String {
        let _notice = self.ended.readable().await;
        match os::wait(self.process) {
            Ok((status, _)) => match (status.code(), status.signal()) {
                (_, Some(signal)) => format!("the coordinator was ended by {}", os::signal_name(signal)),
                (code, None) => format!("the coordinator ended with status {}", code.unwrap_or_default()),
            },
            Err(error) => format!("the coordinator ended: {}", reason(&error)),
        }
    }

    /// Has it drain, and kills it if it does not end. Nothing happens if it has ended.
    pub(super) async fn stop(&self) {
        let waits = [(Signal::SIGTERM, self.drain_timeout + END_TIMEOUT), (Signal::SIGKILL, END_TIMEOUT)];
        for (signal, timeout) in waits {
            if let Ok(Ok(_readable)) = tokio::time::timeout(Duration::ZERO, self.ended.readable()).await {
                break;
            }
            // It was not waited for, so this is it or nobody.
            let _gone = kill(self.process, signal);
            if tokio::time::timeout(timeout, self.ended.readable()).await.is_ok() {
                break;
            }
        }
        let _status = os::wait(self.process);
    }
}

fn spawn(table: &CoordinatorTable, log: &Log) -> io::Result<(Pid, os::ExitNotice, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let (null, log) = (File::open("/dev/null")?, log.open()?);
    let words = std::iter::once(NAME.to_owned()).chain(table.flags()).map(Into::into);
    let process = this_program::start(words, [null.as_fd(), writer.as_fd(), log.as_fd()], true)?;
    let notice = os::exit_notice(process)?;
    Ok((process, notice, pipe::Receiver::from_owned_fd(reader.into())?))
}
