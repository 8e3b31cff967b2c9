//! Workers on other hosts, through the system's ssh with its user's configuration, agent and jump hosts.
//!
//! Each host is looked at first: whether it answers, what machine it is, which Python it has, and whether it has this build of
//! poolmap, which is copied there if not. Words for a host's shell are few and quoted, as that may be any shell.

mod probe;

use std::io;
use std::process::Stdio;

use poolmap_worker::runtime::command::quote::quote;
use tokio::process::Command;

use self::probe::Probe;
use super::file::Settings;
use super::folder::last_lines;
use super::program::OWN_PROGRAM;

/// What ssh does without asking its user, who may change it with `arguments`.
const OPTIONS: [&str; 6] = [
    "-T",
    "-oBatchMode=yes",
    "-oConnectTimeout=10",
    // After [`SILENCE_SECONDS`] a host is gone.
    "-oServerAliveInterval=10",
    "-oServerAliveCountMax=3",
    "-oClearAllForwardings=yes",
];
/// Time after which either end takes a line that was cut without a word for dead: ssh here, and the worker there, which does not
/// reach its coordinator.
pub(super) const SILENCE_SECONDS: u32 = 30;
/// Where copies of poolmap lie on a host, one folder for each build; its shell knows.
const PLACE: &str = "${XDG_CACHE_HOME:-$HOME/.cache}/poolmap";
/// What ssh itself exits with when it fails.
pub(super) const SSH_FAILED: i32 = 255;

/// A host, and how to reach it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// As ssh takes it.
    pub(crate) name: String,
    /// Further arguments of ssh.
    pub(crate) arguments: Vec<String>,
}

/// A host cannot have a worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    #[error("cannot start ssh: {}", crate::reason::reason(.0))]
    Start(#[source] io::Error),
    /// What ssh said itself.
    #[error("ssh cannot reach it: {0}")]
    Unreachable(String),
    /// What the host's shell said.
    #[error("{doing} failed: {said}")]
    Refused { doing: &'static str, said: String },
    #[error(
        "it is {theirs}, and this program is for {ours}; install poolmap there and name it: program = \"PATH\""
    )]
    OtherMachine { theirs: String, ours: String },
    #[error("{program} is no poolmap there ({said})")]
    NoProgram { program: String, said: String },
    #[error("it has poolmap {theirs} at {program}, and this is {ours}; install the same version")]
    OtherVersion { program: String, theirs: String, ours: &'static str },
    #[error("{python} is no Python there ({said}); name one that is: python = \"PATH\"")]
    NoPython { python: String, said: String },
    #[error(
        "{python} is Python {version} there, and 3.9 or newer is needed; name another: python = \"PATH\""
    )]
    OldPython { python: String, version: String },
}

impl Host {
    /// Looks at the host, and brings it poolmap if it has not this build of it.
    pub(crate) async fn prepare(&self, settings: &Settings, build: &str) -> Result<Ready, HostError> {
        let probe = self.probe(settings, build).await?;
        let note = probe.check(settings)?;
        if let Some(program) = &settings.program {
            return Ok(Ready { program: quoted(program), note });
        }
        if !probe.has_program() {
            self.copy_program(build).await?;
        }
        Ok(Ready { program: format!(r#""{PLACE}/{build}/poolmap""#), note })
    }

    async fn probe(&self, settings: &Settings, build: &str) -> Result<Probe, HostError> {
        let script = probe::script(settings, build);
        let output = self.command(&script).stdin(Stdio::null()).output().await.map_err(HostError::Start)?;
        check("looking at the host", output.status.code(), &output.stderr)?;
        Ok(Probe::read(&String::from_utf8_lossy(&output.stdout)))
    }

    async fn copy_program(&self, build: &str) -> Result<(), HostError> {
        // A copy is complete before it gets its name.
        let script = format!(
            r#"set -e; umask 077; D="{PLACE}/{build}"; mkdir -p "$D"; cat > "$D/.poolmap.$$"; chmod 700 "$D/.poolmap.$$"; mv -f "$D/.poolmap.$$" "$D/poolmap""#
        );
        let own = std::fs::File::open(OWN_PROGRAM).map_err(HostError::Start)?;
        let output = self.command(&script).stdin(own).output().await.map_err(HostError::Start)?;
        check("copying poolmap to it", output.status.code(), &output.stderr)
    }

    /// What runs poolmap there with these words.
    pub(crate) fn poolmap(&self, ready: &Ready, settings: &Settings, words: &[String]) -> Command {
        let variables = settings.environment.iter().map(|(name, value)| quoted(&format!("{name}={value}")));
        let words = words.iter().map(|word| quoted(word));
        let line: Vec<_> = variables.chain([ready.program.clone()]).chain(words).collect();
        self.command(&format!("exec env {}", line.join(" ")))
    }

    /// ssh with a script for this host.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("ssh");
        // What comes first counts, so the user's own arguments do.
        command.args(&self.arguments).args(OPTIONS).arg("--").arg(&self.name);
        command.arg(format!("exec sh -c {}", quoted(script))).kill_on_drop(true);
        command
    }
}

/// A host that may have a worker.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// poolmap there, as a word of its shell.
    program: String,
    /// What its user should know.
    pub(crate) note: Option<String>,
}

fn check(doing: &'static str, status: Option<i32>, stderr: &[u8]) -> Result<(), HostError> {
    let said = last_lines(&String::from_utf8_lossy(stderr)).join("\n");
    match status {
        Some(0) => Ok(()),
        Some(SSH_FAILED) => Err(HostError::Unreachable(said)),
        _ => Err(HostError::Refused { doing, said }),
    }
}

/// One word of a shell.
pub(super) fn quoted(word: &str) -> String {
    let mut bytes = Vec::new();
    quote(word.as_bytes(), &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
