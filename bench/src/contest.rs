//! One row: its contenders run in turn, poolmap first, and what came of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::check::Check;
use crate::machine::Clock;
use crate::memory::MemorySample;
use crate::metric::{Better, Metric};
use crate::process::{self, Program, Run};
use crate::rows::RowEntry;
use crate::series::Spread;

/// One way to do the row's work.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Or why there is none: not installed.
    pub(crate) program: Result<Program>,
    pub(crate) check: Check,
}

/// What poolmap, the first contender, is asked to reach.
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// So many times as good as that contender, in the median of the rounds.
    Times(f64, &'static str),
    /// So much more than that contender at most, in the medians.
    Above(f64, &'static str),
}

/// A piece of work, ready to be done by each contender.
pub(crate) struct Row {
    pub(crate) metric: Metric,
    /// Shown beside it.
    pub(crate) also: Vec<Metric>,
    pub(crate) contenders: Vec<Contender>,
    pub(crate) goals: Vec<Goal>,
    /// Rounds per round asked for: more than 1 where a run takes milliseconds.
    pub(crate) rounds_factor: u32,
}

/// A row as it was measured.
#[derive(Serialize, Deserialize)]
pub(crate) struct RowResult {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) rounds: u32,
    pub(crate) measured_at: String,
    /// Share of all processors' time that went to programs which have no part in this, while the row was measured.
    pub(crate) others_share: f64,
    pub(crate) contenders: Vec<ContenderResult>,
    pub(crate) goals: Vec<GoalResult>,
}

/// How one contender did.
#[derive(Serialize, Deserialize)]
pub(crate) struct ContenderResult {
    pub(crate) name: String,
    /// Why there are no values: not installed, or what went wrong.
    pub(crate) absent: Option<String>,
    pub(crate) values: Vec<f64>,
    pub(crate) spread: Option<Spread>,
    /// How many times better poolmap was, round by round.
    pub(crate) poolmap_is_times_better: Option<Spread>,
    pub(crate) cpu_s: Option<Spread>,
    pub(crate) max_rss_mb: Option<Spread>,
    pub(crate) also: BTreeMap<String, Spread>,
    /// Of the last run, where memory is the matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) memory: Vec<MemorySample>,
}

/// Whether a goal was reached, and by how much.
#[derive(Serialize, Deserialize)]
pub(crate) struct GoalResult {
    pub(crate) text: String,
    pub(crate) measured: Option<f64>,
    pub(crate) is_reached: bool,
}

/// Runs all contenders of `row` in turn, `rounds` times. One that fails is left out from then on, with the reason.
pub(crate) fn run(entry: &RowEntry, row: &Row, scratch: &Path, rounds: u32) -> RowResult {
    let rounds = rounds * row.rounds_factor;
    let before = Clock::read();
    let mut runs: Vec<Result<Vec<Run>>> = row.contenders.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..rounds {
        for (contender, runs) in row.contenders.iter().zip(&mut runs) {
            if let Ok(done) = runs {
                match one_run(contender, &row.metric, &scratch.join("out"), round) {
                    Ok(run) => done.push(run),
                    Err(error) => *runs = Err(error),
                }
            }
        }
    }
    let contenders = judge(row, &runs);
    RowResult {
        id: entry.id.into(),
        title: entry.title.into(),
        unit: row.metric.label.into(),
        better: row.metric.better,
        rounds,
        measured_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        others_share: Clock::read().others_share_since(&before),
        goals: row.goals.iter().map(|goal| goal.judge(row.metric.label, &contenders)).collect(),
        contenders,
    }
}

fn one_run(contender: &Contender, metric: &Metric, out: &Path, round: u32) -> Result<Run> {
    let program = contender.program.as_ref().map_err(|absent| anyhow::anyhow!("{absent}"))?;
    let run = process::run(program, out).with_context(|| format!("run {} failed", round + 1))?;
    (contender.check)(&run, out).with_context(|| format!("run {} gave wrong results", round + 1))?;
    metric.read(&run).context("it did not tell what was to be measured")?;
    Ok(run)
}

fn judge(row: &Row, runs: &[Result<Vec<Run>>]) -> Vec<ContenderResult> {
    let values = |runs: &[Run]| -> Vec<f64> { runs.iter().filter_map(|run| row.metric.read(run)).collect() };
    let ours = runs.first().and_then(|runs| runs.as_deref().ok()).map(values).unwrap_or_default();
    let judged = row.contenders.iter().zip(runs).enumerate().map(|(place, (contender, runs))| {
        let (runs, absent) = match runs {
            Ok(runs) => (runs.as_slice(), None),
            Err(error) => (&[][..], Some(format!("{error:#}"))),
        };
        let theirs = values(runs);
        let ratios = ours.iter().zip(&theirs).map(|(&ours, &theirs)| row.metric.better.ratio(ours, theirs));
        ContenderResult {
            name: contender.name.into(),
            absent,
            spread: Spread::of(theirs.iter().copied()),
            // poolmap itself, the first, is compared with nobody.
            poolmap_is_times_better: if place == 0 { None } else { Spread::of(ratios) },
            cpu_s: Spread::of(runs.iter().map(|run| run.cpu_s)),
            max_rss_mb: Spread::of(runs.iter().map(|run| run.max_rss_bytes as f64 / 1e6)),
            also: also(row, runs),
            memory: runs.last().map(|run| thinned(&run.memory)).unwrap_or_default(),
            values: theirs,
        }
    });
    judged.collect()
}

fn also(row: &Row, runs: &[Run]) -> BTreeMap<String, Spread> {
    let spread = |metric: &Metric| Spread::of(runs.iter().filter_map(|run| metric.read(run)));
    row.also.iter().filter_map(|metric| Some((metric.label.to_owned(), spread(metric)?))).collect()
}

/// Enough of the samples to draw a line.
fn thinned(samples: &[MemorySample]) -> Vec<MemorySample> {
    samples.iter().step_by(samples.len() / 40 + 1).copied().collect()
}

impl Goal {
    fn judge(&self, unit: &str, contenders: &[ContenderResult]) -> GoalResult {
        let ours = contenders.first().and_then(|poolmap| poolmap.spread).map(|spread| spread.median);
        let (text, measured) = match self {
            Self::AtLeast(bound) => (format!("≥ {} {unit}", crate::report::number(*bound)), ours),
            Self::AtMost(bound) => (format!("≤ {} {unit}", crate::report::number(*bound)), ours),
            Self::Times(bound, peer) => {
                let peer = contenders.iter().find(|contender| contender.name == *peer);
                let ratio = peer.and_then(|peer| peer.poolmap_is_times_better);
                let name = peer.map_or("", |peer| peer.name.as_str());
                (format!("≥ {bound} × {name}"), ratio.map(|ratio| ratio.median))
            }
            Self::Above(bound, peer) => {
                let peer = contenders.iter().find(|contender| contender.name == *peer);
                let theirs = peer.and_then(|peer| peer.spread).map(|spread| spread.median);
                let more = ours.zip(theirs).map(|(ours, theirs)| ours - theirs);
                let name = peer.map_or("", |peer| peer.name.as_str());
                (format!("≤ {bound} {unit} more than {name}"), more)
            }
        };
        let is_reached = measured.is_some_and(|measured| match self {
            Self::AtLeast(bound) | Self::Times(bound, _) => measured >= *bound,
            Self::AtMost(bound) | Self::Above(bound, _) => measured <= *bound,
        });
        GoalResult { text, measured, is_reached }
    }
}
