//! Starting one worker at the end of a line, here or on another host, and keeping it there until it is told to end.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::file::Settings;
use super::folder::Log;
use super::program::OWN_PROGRAM;
use super::ssh::{Host, SILENCE_SECONDS, SSH_FAILED};
use crate::reason::reason;

/// Time that a worker has to end once its line was cut, a little more than its own end takes.
const PATIENCE: Duration = Duration::from_secs(8);

/// A worker to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) name: String,
    /// Absent: here.
    pub(crate) host: Option<Host>,
    pub(crate) settings: Settings,
    /// The content of an access file.
    pub(crate) access: Arc<str>,
    /// Name of this build.
    pub(crate) build: Arc<str>,
    pub(crate) log: Log,
}

/// How a worker ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) why: String,
    /// It was told to, here or by somebody who drained it.
    pub(crate) was_told: bool,
}

impl End {
    fn by_itself(why: String) -> Self {
        Self { why, was_told: false }
    }

    fn told(why: &str) -> Self {
        Self { why: why.to_owned(), was_told: true }
    }
}

impl Launch {
    /// Starts the worker and waits for its end, which comes when `cut` says so. What the user should know is told by `note`.
    pub(crate) async fn run(&self, cut: &CancellationToken, note: impl Fn(String)) -> End {
        let command = tokio::select! {
            command = self.command(note) => command,
            () = cut.cancelled() => return End::told("it was told to end"),
        };
        match command {
            Ok(command) => {
                let ended = self.run_command(command, cut).await;
                ended.unwrap_or_else(|error| End::by_itself(reason(&error)))
            }
            Err(why) => End::by_itself(why),
        }
    }

    async fn command(&self, note: impl Fn(String)) -> Result<Command, String> {
        let words = self.words();
        let Some(host) = &self.host else {
            let mut command = Command::new(OWN_PROGRAM);
            let variables = self.settings.environment.iter().map(|(name, value)| (name.to_string(), value));
            command.arg0("poolmap").args(words).envs(variables).kill_on_drop(true);
            return Ok(command);
        };
        let ready = host.prepare(&self.settings, &self.build).await.map_err(|error| error.to_string())?;
        ready.note.clone().into_iter().for_each(note);
        Ok(host.poolmap(&ready, &self.settings, &words))
    }

    /// The worker's command line.
    fn words(&self) -> Vec<String> {
        let access_bytes = format!("--access-bytes={}", self.access.len());
        let mut words = ["cluster", "tether", &access_bytes, "--"].map(str::to_owned).to_vec();
        words.push(format!("--name={}", self.name));
        if self.host.is_some() {
            words.push(format!("--reconnect-timeout={SILENCE_SECONDS}s"));
        }
        words.extend(self.settings.flags.iter().cloned());
        words
    }

    async fn run_command(&self, mut command: Command, cut: &CancellationToken) -> std::io::Result<End> {
        let log = self.log.open()?;
        let mut child = command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut line = child.stdin.take();
        if let Some(line) = &mut line {
            // One that does not read it has written why to its log.
            let _closed = line.write_all(self.access.as_bytes()).await;
        }
        tokio::select! {
            status = child.wait() => return Ok(self.end(status?)),
            () = cut.cancelled() => {}
        }
        drop(line);
        if let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await {
            return Ok(self.end(status?));
        }
        child.kill().await?;
        Ok(End::told("it did not end by itself"))
    }

    fn end(&self, status: ExitStatus) -> End {
        match (&self.host, status.code()) {
            (Some(_), Some(SSH_FAILED)) => End::by_itself("its ssh connection ended".to_owned()),
            (_, Some(0)) => End::told("it has left"),
            _ => End::by_itself(format!("it ended with {status}")),
        }
    }
}
