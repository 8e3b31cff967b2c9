//! The process that a cluster consists of on the host where it was started: parent of the coordinator, holder of the lines to
//! the workers, and the one who knows how all of them are.
//!
//! `up` starts it and leaves once it says that the cluster is up. What it holds ends with it, whichever way it dies: the
//! coordinator is killed by the kernel, the workers' lines are cut, and Slurm's jobs lose their coordinator.

mod coordinator;
mod crew;
mod eyes;
mod fleet;
mod socket;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::sync::{mpsc, oneshot};

use self::coordinator::Coordinator;
use self::eyes::Eyes;
use self::fleet::{Fleet, News};
use self::socket::{Asked, Socket};
use super::file::ClusterFile;
use super::folder::{Folder, Record};
use super::talk::{Event, Question, Report, Trouble};
use super::tether::line_end;
use crate::connect::blocking;
use crate::exit::{Failure, LOST};
use crate::quantity::parse_time;
use crate::reason::reason;
use crate::signals::Signals;

/// How often the coordinator is asked who is there, while `up` waits and later.
const FIRST_LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// News and questions that may wait; whoever has more waits.
const QUEUE: usize = 64;

/// Be the steward of a cluster
#[derive(Args, Clone, Debug)]
pub(crate) struct StewardArgs {
    file: PathBuf,

    /// Time that workers have to join
    #[arg(long, value_parser = parse_time)]
    timeout: Duration,

    /// Keep what has joined when something has not
    #[arg(long)]
    keep: bool,
}

/// Starts the cluster of a file and stays with it to its end. Call this on the main thread: the coordinator dies with it.
pub(crate) fn run(args: &StewardArgs) -> Result<ExitCode, Failure> {
    blocking(async {
        let file = ClusterFile::read(&args.file)?;
        let folder = Folder::of(&file.name)?;
        let preparing = || Failure::system(format!("preparing {}", folder.path().display()));
        folder.make().map_err(preparing())?;
        let Some(_held) = folder.hold().map_err(preparing())? else {
            return Err(Failure::Usage(format!("the cluster {} is up already", file.name)));
        };
        folder.begin().map_err(preparing())?;
        let ended = serve(args, file, &folder).await;
        match &ended {
            Ok(None) => {
                folder.remove().map_err(Failure::system(format!("removing {}", folder.path().display())))?;
            }
            Ok(Some(why)) => record_end(&folder, why),
            Err(failure) => {
                // `up` says it, and nothing has been started.
                tell(&Event::Failed(vec![trouble("the cluster", failure.to_string())]));
                folder.remove().map_err(Failure::system(format!("removing {}", folder.path().display())))?;
            }
        }
        Ok(if matches!(ended, Ok(None)) { ExitCode::SUCCESS } else { ExitCode::from(LOST) })
    })
}

fn record_end(folder: &Folder, why: &str) {
    let record = Record { ended: Some(why.to_owned()), ..folder.record() };
    if let Err(error) = folder.write_record(&record) {
        tracing::warn!("why the cluster has ended could not be written down: {}", reason(&error));
    }
}

/// Tells `up`, which may be gone.
fn tell(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let _gone = writeln!(std::io::stdout(), "{line}");
    }
}

fn trouble(what: &str, why: String) -> Trouble {
    Trouble { what: what.to_owned(), why, last_lines: Vec::new() }
}

/// Runs the cluster to its end; returns why it ended, unless that was asked for.
async fn serve(args: &StewardArgs, file: ClusterFile, folder: &Folder) -> Result<Option<String>, Failure> {
    let mut signals = Signals::new()?;
    let (asked, mut questions) = mpsc::channel(QUEUE);
    let _socket = Socket::listen(folder, asked).map_err(Failure::system("making the cluster's socket"))?;
    let coordinator = match Coordinator::start(&file.coordinator, folder).await {
        Ok(coordinator) => coordinator,
        Err(trouble) => {
            tell(&Event::Failed(vec![trouble]));
            return Ok(None);
        }
    };
    let (news, mut heard) = mpsc::channel(QUEUE);
    let mut steward = Steward::start(file, folder, coordinator, &news).await?;
    let mut phase = Phase::Starting { until: Instant::now() + args.timeout, keep: args.keep };
    let mut line_cut = line_end();
    let mut next_look = Instant::now();
    let why = loop {
        tokio::select! {
            Some(news) = heard.recv() => {
                if let Some(note) = steward.fleet.hear(news) {
                    tell(&Event::Note(note));
                }
            }
            () = tokio::time::sleep_until(next_look.into()) => {
                steward.look().await;
                match phase.judge(&steward) {
                    Verdict::Wait => {}
                    Verdict::Up => phase = Phase::Up,
                    Verdict::Down => break None,
                }
                next_look = Instant::now() + phase.look_interval();
            }
            Some(Asked { question, answer }) = questions.recv() => match question {
                Question::Status => {
                    let _gone = answer.send(steward.report());
                }
                Question::Down => {
                    steward.told_by = Some(answer);
                    break None;
                }
            },
            why = steward.coordinator.ended() => break Some(why),
            () = signals.next() => break None,
            // `up` has gone before it was told that all is well.
            _ = &mut line_cut, if matches!(phase, Phase::Starting { .. }) => break None,
        }
    };
    drop(heard);
    steward.stop().await;
    Ok(why)
}

/// A cluster that runs.
struct Steward {
    name: String,
    begun: Instant,
    folder: Folder,
    coordinator: Coordinator,
    eyes: Eyes,
    fleet: Fleet,
    /// The connection of who takes the cluster down. It closes when this process has ended.
    told_by: Option<oneshot::Sender<Report>>,
}

impl Steward {
    async fn start(
        file: ClusterFile,
        folder: &Folder,
        coordinator: Coordinator,
        news: &mpsc::Sender<News>,
    ) -> Result<Self, Failure> {
        let eyes = Eyes::open(&coordinator).await?;
        let fleet = Fleet::launch(&file, &coordinator, folder, news)?;
        let (name, folder) = (file.name, folder.clone());
        Ok(Self { name, begun: Instant::now(), folder, coordinator, eyes, fleet, told_by: None })
    }

    async fn look(&mut self) {
        if let Some(seen) = self.eyes.look().await {
            self.fleet.see(seen);
        }
    }

    fn report(&self) -> Report {
        Report {
            name: self.name.clone(),
            addresses: self.coordinator.addresses.iter().map(ToString::to_string).collect(),
            access: self.coordinator.client_access.clone(),
            logs: self.folder.logs(),
            seconds: self.begun.elapsed().as_secs(),
            groups: self.fleet.report(),
        }
    }

    /// Drains, then ends all that is left.
    async fn stop(mut self) {
        self.fleet.settle();
        self.coordinator.stop().await;
        self.fleet.end().await;
        // Only the end of this process says that nothing is left.
        self.told_by.into_iter().for_each(std::mem::forget);
    }
}

/// Whether the cluster has come up.
enum Phase {
    Starting { until: Instant, keep: bool },
    Up,
}

enum Verdict {
    Wait,
    Up,
    Down,
}

impl Phase {
    fn look_interval(&self) -> Duration {
        match self {
            Self::Starting { .. } => FIRST_LOOK_INTERVAL,
            Self::Up => LOOK_INTERVAL,
        }
    }

    fn judge(&self, steward: &Steward) -> Verdict {
        let Self::Starting { until, keep } = self else { return Verdict::Wait };
        if !steward.fleet.has_settled() && Instant::now() < *until {
            return Verdict::Wait;
        }
        let failed = steward.fleet.troubles();
        let is_up = failed.is_empty() || *keep;
        if !failed.is_empty() {
            tell(&Event::Failed(failed));
        }
        if is_up {
            tell(&Event::Up(steward.report()));
            Verdict::Up
        } else {
            Verdict::Down
        }
    }
}
