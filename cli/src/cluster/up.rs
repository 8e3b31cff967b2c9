//! `poolmap cluster up`: starts a cluster's steward and waits until it says how that went.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;

use super::FileArgs;
use super::file::ClusterFile;
use super::folder::Folder;
use super::status::ask;
use super::talk::{Event, Question, Report, State, Trouble, counted};
use crate::connect::blocking;
use crate::exit::{Failure, INTERRUPTED, say};
use crate::quantity::parse_time;
use crate::signals::Signals;
use crate::this_program;

/// Start the coordinator and all workers of a cluster, and wait until they have joined
#[derive(Args, Clone, Debug)]
pub(super) struct UpArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Time that the workers have to join; what Slurm has not given a node by then goes on waiting there
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "60s", allow_hyphen_values = true)]
    timeout: Duration,

    /// If some workers cannot be started, keep those that can
    #[arg(long)]
    keep: bool,
}

/// Starts the cluster.
pub(super) fn run(args: &UpArgs) -> Result<ExitCode, Failure> {
    let file = ClusterFile::read(&args.file.file)?;
    if file.groups.is_empty() && file.kubernetes.is_some() {
        let path = args.file.file.display();
        return Err(Failure::Usage(format!(
            "{path} describes a cluster in Kubernetes, which is started there\n\
             Run: poolmap cluster manifest {path} | kubectl apply -f -"
        )));
    }
    blocking(async {
        let folder = Folder::of(&file.name)?;
        match ask(&folder, Question::Status).await? {
            Some(report) => tell_up(&report, " already"),
            None => start(args, &file.name, &folder).await,
        }
    })
}

async fn start(args: &UpArgs, name: &str, folder: &Folder) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new()?;
    folder.make().map_err(Failure::system(format!("making {}", folder.path().display())))?;
    let (line, events) =
        start_steward(args, folder).map_err(Failure::system("starting the cluster's steward"))?;
    let mut line = Some(line);
    let mut events = BufReader::new(events).lines();
    let mut failed = Vec::new();
    loop {
        tokio::select! {
            event = events.next_line() => match event.ok().flatten().map(|text| serde_json::from_str(&text)) {
                Some(Ok(Event::Note(note))) => say(&note),
                Some(Ok(Event::Failed(troubles))) => {
                    troubles.iter().for_each(tell_trouble);
                    failed = troubles;
                }
                Some(Ok(Event::Up(report))) => {
                    let told = tell_up(&report, "");
                    return if failed.is_empty() { told } else { Err(partly_up(name, failed.len())) };
                }
                Some(Err(_)) => {}
                None if line.is_none() => return Ok(ExitCode::from(INTERRUPTED)),
                None => return Err(not_up(name, folder, failed.len())),
            },
            () = signals.next() => {
                say("stopping what was started");
                line = None;
            }
        }
    }
}

/// Starts it in a session of its own. It ends what it has started if the line is closed before it says that the cluster is up.
fn start_steward(args: &UpArgs, folder: &Folder) -> io::Result<(PipeWriter, pipe::Receiver)> {
    let (stdin, line) = io::pipe()?;
    let (events, stdout) = io::pipe()?;
    let log: File = OpenOptions::new()
        .write(true)
        .truncate(true)
        .create(true)
        .mode(0o600)
        .open(folder.path().join("steward.log"))?;
    let mut words: Vec<OsString> = vec!["cluster".into(), "steward".into(), "--timeout".into()];
    words.push(format!("{}s", args.timeout.as_secs_f64()).into());
    words.extend(args.keep.then(|| "--keep".into()));
    words.push(std::path::absolute(&args.file.file)?.into());
    // It outlives this process, and whoever is its parent then waits for it.
    let _process = this_program::start(words, [stdin.as_fd(), stdout.as_fd(), log.as_fd()], false)?;
    Ok((line, pipe::Receiver::from_owned_fd(events.into())?))
}

fn tell_trouble(trouble: &Trouble) {
    let first = format!("{}: {}", trouble.what, trouble.why);
    let last = trouble.last_lines.iter().map(|line| format!("  | {line}"));
    say(&std::iter::once(first).chain(last).collect::<Vec<_>>().join("\n"));
}

fn partly_up(name: &str, failed: usize) -> Failure {
    Failure::Lost(format!(
        "{failed} of the workers of {name} are missing; stop the others with: poolmap cluster down"
    ))
}

fn not_up(name: &str, folder: &Folder, failed: usize) -> Failure {
    if failed > 0 {
        return Failure::Lost(format!(
            "the cluster {name} is not up, and all that was started for it was stopped\n\
             Put that right, or keep what can be started: poolmap cluster up --keep"
        ));
    }
    let log = folder.path().join("steward.log");
    let last = std::fs::read_to_string(&log).unwrap_or_default();
    let last = super::folder::last_lines(&last).join("\n");
    Failure::Lost(
        format!("the cluster {name} is not up: its steward has ended\n{last}").trim_end().to_owned(),
    )
}

/// Says that a cluster is up, and how to use it.
fn tell_up(report: &Report, already: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    let queued = match report.count(State::Queued) {
        0 => String::new(),
        queued => format!(" ({queued} more wait in Slurm's queue)"),
    };
    writeln!(
        stdout,
        "the cluster {} is up{already}: {}, {}{queued}; coordinator at {}",
        report.name,
        counted(report.count(State::Joined), "worker"),
        counted(report.slots(), "slot"),
        report.addresses.join(", "),
    )?;
    let usual = poolmap_proto::access::find(None, poolmap_proto::access::Role::Client);
    if usual.is_ok_and(|usual| usual != report.access) {
        writeln!(stdout, "clients reach it with: --access {}", report.access.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
