//! `poolmap cluster status`: who is there; and how a steward is asked.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::FileArgs;
use super::file::ClusterFile;
use super::folder::Folder;
use super::talk::{GroupReport, Question, Report, State, WorkerReport, counted};
use crate::connect::blocking;
use crate::exit::{Failure, LOST};

/// Time that a steward has to answer. It may just be asking a coordinator that does not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Show which workers of a cluster were launched, have joined, or are lost
#[derive(Args, Clone, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Shows it. The exit status is 3 if the cluster is not up.
pub(super) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let name = ClusterFile::name_of(&args.file.file)?;
    let folder = Folder::of(&name)?;
    let report = blocking(ask(&folder, Question::Status))?;
    let mut stdout = io::stdout().lock();
    let Some(report) = report else {
        let ended = folder.record().ended;
        if args.json {
            writeln!(stdout, "{}", serde_json::json!({ "name": name, "up": false, "ended": ended }))?;
        } else {
            let why = ended.map(|why| format!(": {why}; logs are in {}", folder.logs().display()));
            writeln!(stdout, "the cluster {name} is not up{}", why.unwrap_or_default())?;
        }
        return Ok(ExitCode::from(LOST));
    };
    if args.json {
        let mut object = serde_json::to_value(&report).map_err(io::Error::from)?;
        if let Some(object) = object.as_object_mut() {
            object.insert("up".to_owned(), true.into());
        }
        writeln!(stdout, "{object}")?;
    } else {
        print(&report, &mut stdout)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report, out: &mut impl io::Write) -> io::Result<()> {
    let up_for = humantime::format_duration(Duration::from_secs(report.seconds));
    writeln!(out, "{}: up for {up_for}, coordinator at {}", report.name, report.addresses.join(", "))?;
    let rows = report.groups.iter().map(|group| (group, counts(group)));
    for (group, counts) in rows {
        writeln!(out, "{:<16} {:<6} {counts}", group.name, group.launcher.to_string())?;
        if let Some(trouble) = &group.trouble {
            writeln!(out, "  {}", trouble.replace('\n', "\n  "))?;
        }
        let is_worth_telling = |worker: &&WorkerReport| worker.state != State::Joined || worker.why.is_some();
        for worker in group.workers.iter().filter(is_worth_telling) {
            let why = worker.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(out, "  {} {}{why}", worker.name, worker.state.word())?;
        }
    }
    writeln!(out, "access for clients: {}\nlogs: {}", report.access.display(), report.logs.display())
}

/// How many workers of a group are in which state.
fn counts(group: &GroupReport) -> String {
    let count = |state| group.workers.iter().filter(|worker| worker.state == state).count();
    let slots = group.workers.iter().map(|worker| worker.slots as usize).sum();
    let (joined, all) = (count(State::Joined), group.workers.len());
    let joined = format!("{joined} of {all} joined, {}", counted(slots, "slot"));
    let others = [State::Launched, State::Queued, State::Lost].map(|state| (count(state), state.word()));
    let others =
        others.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    std::iter::once(joined).chain(others).collect()
}

/// Asks the steward of a cluster; `None` if it has none.
pub(super) async fn ask(folder: &Folder, question: Question) -> Result<Option<Report>, Failure> {
    let Some(mut line) = send(folder, question).await? else { return Ok(None) };
    let mut answer = String::new();
    let read = tokio::time::timeout(ANSWER_TIMEOUT, line.read_line(&mut answer)).await;
    let silent = || Failure::Lost(format!("the steward of {} does not answer", folder.path().display()));
    match read.map_err(|_| silent())? {
        Ok(length) if length > 0 => {}
        // It was just about to end.
        Ok(_) => return Ok(None),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(Failure::system("asking the cluster's steward")(error)),
    }
    serde_json::from_str(&answer).map(Some).map_err(|error| {
        Failure::Lost(format!("the cluster's steward is of another version of poolmap: {error}"))
    })
}

/// Sends a question to the steward of a cluster; `None` if it has none.
pub(super) async fn send(
    folder: &Folder,
    question: Question,
) -> Result<Option<BufReader<UnixStream>>, Failure> {
    let asking = || Failure::system("asking the cluster's steward");
    let mut stream = match UnixStream::connect(folder.socket()).await {
        Ok(stream) => stream,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(asking()(error)),
    };
    let line = serde_json::to_string(&question).map_err(io::Error::from).map_err(asking())?;
    match stream.write_all(format!("{line}\n").as_bytes()).await {
        Ok(()) => Ok(Some(BufReader::new(stream))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(asking()(error)),
    }
}

/// Whether there is no steward at the socket, or not any more.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotFound)
}
