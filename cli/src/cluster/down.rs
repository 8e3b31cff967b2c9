//! `poolmap cluster down`: has the steward stop all, and clears up after one that was killed.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;

use super::FileArgs;
use super::file::ClusterFile;
use super::folder::{Folder, Held};
use super::slurm;
use super::status::send;
use super::talk::Question;
use crate::connect::blocking;
use crate::exit::{Failure, say};

/// What a steward needs to stop all, beyond the time that jobs have to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// How often, and with which pauses, the place of a steward is tried to be had.
const HOLD_ATTEMPTS: u32 = 50;
const HOLD_PAUSE: Duration = Duration::from_millis(20);

/// Let jobs end, stop all workers and the coordinator, and leave nothing
#[derive(Args, Clone, Debug)]
pub(super) struct DownArgs {
    #[command(flatten)]
    file: FileArgs,
}

/// Stops the cluster.
pub(super) fn run(args: &DownArgs) -> Result<ExitCode, Failure> {
    let name = ClusterFile::name_of(&args.file.file)?;
    let folder = Folder::of(&name)?;
    let was_up = blocking(stop(args, &folder))?;
    let told = if was_up { "is down" } else { "is not up" };
    writeln!(io::stdout(), "the cluster {name} {told}")?;
    Ok(ExitCode::SUCCESS)
}

/// Stops a cluster; returns whether it was up.
async fn stop(args: &DownArgs, folder: &Folder) -> Result<bool, Failure> {
    let was_up = stop_steward(args, folder).await?;
    if !folder.exists() {
        return Ok(was_up);
    }
    let clearing = || Failure::system(format!("clearing {}", folder.path().display()));
    let Some(_held) = hold(folder).await.map_err(clearing())? else {
        return Err(Failure::Lost("the cluster is just being started; try again when it is up".to_owned()));
    };
    slurm::cancel(&folder.record().slurm_jobs).await.map_err(Failure::Lost)?;
    folder.remove().map_err(clearing())?;
    Ok(was_up)
}

/// Takes the steward's place; one that has just ended may still have it for a moment.
async fn hold(folder: &Folder) -> io::Result<Option<Held>> {
    for _ in 0..HOLD_ATTEMPTS {
        if let Some(held) = folder.hold()? {
            return Ok(Some(held));
        }
        tokio::time::sleep(HOLD_PAUSE).await;
    }
    folder.hold()
}

async fn stop_steward(args: &DownArgs, folder: &Folder) -> Result<bool, Failure> {
    let Some(mut line) = send(folder, Question::Down).await? else { return Ok(false) };
    let drain_timeout = ClusterFile::read(&args.file.file).map(|file| file.coordinator.drain_timeout());
    let patience = drain_timeout.unwrap_or_default() + STOP_TIMEOUT;
    let mut rest = Vec::new();
    // It says nothing, and closes the connection with its end.
    if tokio::time::timeout(patience, line.read_to_end(&mut rest)).await.is_ok() {
        return Ok(true);
    }
    let steward = line.get_ref().peer_cred().ok().and_then(|credentials| credentials.pid());
    if let Some(steward) = steward {
        say(&format!(
            "its steward (process {steward}) has not ended after {} s and is killed",
            patience.as_secs()
        ));
        // As long as the connection is open, the number is that process's.
        let _gone = kill(Pid::from_raw(steward), Signal::SIGKILL);
        let _ended = line.read_to_end(&mut rest).await;
    }
    Ok(true)
}
