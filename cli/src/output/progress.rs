//! The progress line on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::counts::Counts;

/// Redraws of the line on a terminal, at most, per second.
const REDRAWS_PER_SECOND: u8 = 10;
/// How often the line is redrawn while nothing ends, so that its times move on.
const IDLE_REDRAW: Duration = Duration::from_millis(500);
/// How often a line is written where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(1);

const WHILE_READING: &str = "{spinner} {human_pos} done · {per_sec} · {elapsed}{msg}";
const WITH_TOTAL: &str = "[{bar:30}] {human_pos}/{human_len} · {per_sec} · {eta} left{msg}";

/// Whether a progress line is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// If standard error is a terminal.
    #[default]
    Auto,
    /// Even into a file or pipe: there as one whole line a second.
    Always,
    /// Not at all.
    Never,
}

/// The progress of one job, for people. Shared by the thread that reads tasks and the one that writes results.
pub struct Progress {
    line: Line,
}

enum Line {
    Absent,
    Terminal(ProgressBar),
    Plain(Mutex<Plain>),
}

impl Progress {
    /// Shows a line at once on a terminal, and elsewhere after a second.
    #[must_use]
    pub fn new(mode: ProgressMode) -> Self {
        let line = match (mode, std::io::stderr().is_terminal()) {
            (ProgressMode::Never, _) | (ProgressMode::Auto, false) => Line::Absent,
            (ProgressMode::Always, false) => Line::Plain(Mutex::new(Plain::new(Instant::now()))),
            (ProgressMode::Auto | ProgressMode::Always, true) => Line::Terminal(terminal_line()),
        };
        Self { line }
    }

    /// The input has ended: so many tasks there are.
    pub fn set_total(&self, tasks: u64) {
        match &self.line {
            Line::Absent => {}
            Line::Terminal(bar) => {
                bar.set_length(tasks);
                bar.set_style(style(WITH_TOTAL));
            }
            Line::Plain(plain) => plain.lock().unwrap_or_else(PoisonError::into_inner).total = Some(tasks),
        }
    }

    /// Runs `write` while the line is off the terminal, so that what it writes stands on lines of its own.
    pub fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        match &self.line {
            Line::Terminal(bar) => bar.suspend(write),
            Line::Absent | Line::Plain(_) => write(),
        }
    }

    /// Takes the line away for good.
    pub fn finish(&self) {
        if let Line::Terminal(bar) = &self.line {
            bar.finish_and_clear();
        }
    }

    /// Tells where the job stands. Cheap: most calls draw nothing.
    pub(super) fn show(&self, counts: &Counts) {
        match &self.line {
            Line::Absent => {}
            Line::Terminal(bar) => {
                if counts.failed() > 0 {
                    bar.set_message(format!(" · {} failed", HumanCount(counts.failed())));
                }
                bar.set_position(counts.done);
            }
            Line::Plain(plain) => {
                let line = plain.lock().unwrap_or_else(PoisonError::into_inner).line(counts, Instant::now());
                // Nobody can be told that standard error is gone.
                drop(std::io::stderr().write_all(line.unwrap_or_default().as_bytes()));
            }
        }
    }
}

fn terminal_line() -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
    let bar = ProgressBar::with_draw_target(None, target).with_style(style(WHILE_READING));
    bar.enable_steady_tick(IDLE_REDRAW);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Progress where there is no terminal.
struct Plain {
    begun: Instant,
    written: Instant,
    total: Option<u64>,
}

impl Plain {
    fn new(now: Instant) -> Self {
        Self { begun: now, written: now, total: None }
    }

    /// The line to write, if it is time for one.
    fn line(&mut self, counts: &Counts, now: Instant) -> Option<String> {
        if now.duration_since(self.written) < PLAIN_INTERVAL {
            return None;
        }
        self.written = now;
        let rate = counts.done as f64 / now.duration_since(self.begun).as_secs_f64();
        let total = self.total.map(|total| format!("/{}", HumanCount(total))).unwrap_or_default();
        let left =
            self.total.map(|total| time_left(total.saturating_sub(counts.done), rate)).unwrap_or_default();
        let (done, failed) = (HumanCount(counts.done), HumanCount(counts.failed()));
        Some(format!("{done}{total} done · {rate:.1}/s{left} · {failed} failed\n"))
    }
}

fn time_left(tasks: u64, rate: f64) -> String {
    let left = Duration::try_from_secs_f64((tasks as f64 / rate).ceil());
    left.map(|left| format!(" · {} left", indicatif::HumanDuration(left))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_comes_at_most_once_a_second() {
        let begun = Instant::now();
        let mut plain = Plain::new(begun);
        let counts = Counts { done: 1500, ..Counts::default() };
        assert_eq!(plain.line(&counts, begun + Duration::from_millis(999)), None);
        let line = plain.line(&counts, begun + Duration::from_secs(1));
        assert_eq!(line.as_deref(), Some("1,500 done · 1500.0/s · 0 failed\n"));
        assert_eq!(plain.line(&counts, begun + Duration::from_millis(1999)), None);
        plain.total = Some(6000);
        let line = plain.line(&counts, begun + Duration::from_secs(2));
        assert_eq!(line.as_deref(), Some("1,500/6,000 done · 750.0/s · 6 seconds left · 0 failed\n"));
    }

    #[test]
    fn both_forms_of_the_line_can_be_drawn() {
        for template in [WHILE_READING, WITH_TOTAL] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
