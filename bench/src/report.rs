//! What becomes of the results: text for the terminal, `results.json`, and the table in `README.md`.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::contest::{ContenderResult, RowResult};
use crate::machine::Machine;
use crate::metric::Better;
use crate::rows;
use crate::series::Spread;

const BEGIN: &str = "<!-- results: written by the program from here -->";
const END: &str = "<!-- results: to here -->";

/// The content of `results.json`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    machine: Machine,
    rows: Vec<RowResult>,
}

impl Results {
    /// The results kept so far; none if they are of another machine or of other versions, because rows of both in one table would mislead.
    pub(crate) fn load(home: &Path, machine: Machine) -> Result<Self> {
        let path = home.join("results.json");
        if !path.exists() {
            return Ok(Self { machine, rows: Vec::new() });
        }
        let kept: Self = serde_json::from_slice(&fs::read(&path)?)
            .with_context(|| format!("reading {}; delete it to start afresh", path.display()))?;
        let rows = if kept.machine == machine { kept.rows } else { Vec::new() };
        Ok(Self { machine, rows })
    }

    /// Puts `measured` in the place of earlier results of the same rows.
    pub(crate) fn replace(&mut self, measured: Vec<RowResult>) {
        self.rows.retain(|old| measured.iter().all(|new| new.id != old.id));
        self.rows.extend(measured);
        self.rows.sort_by_key(|row| rows::ALL.iter().position(|entry| entry.id == row.id));
    }

    /// Writes `results.json` and the marked part of `README.md` in `home`.
    pub(crate) fn store(&self, home: &Path) -> Result<()> {
        fs::write(home.join("results.json"), serde_json::to_string_pretty(self)? + "\n")?;
        let path = home.join("README.md");
        let readme = fs::read_to_string(&path).context("reading bench/README.md")?;
        let (before, rest) =
            readme.split_once(BEGIN).context("bench/README.md has lost the mark before its table")?;
        let (_, after) = rest.split_once(END).context("bench/README.md has lost the mark after its table")?;
        fs::write(&path, format!("{before}{BEGIN}\n{}{END}{after}", self.markdown()))?;
        say("bench/results.json and bench/README.md are written.")
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n{}\n\n", self.machine.line());
        text += &goals_text(&self.rows);
        for row in &self.rows {
            text += "\n";
            text += &row_text(row);
        }
        text + "\n"
    }
}

/// What was to be reached and what was.
pub(crate) fn goals_text(rows: &[RowResult]) -> String {
    let goals = rows.iter().flat_map(|row| {
        row.goals.iter().map(|goal| {
            let measured = goal.measured.map_or("–".into(), number);
            let verdict = if goal.is_reached { "yes" } else { "**no**" };
            [format!("{} {}", row.id, row.title), goal.text.clone(), measured, verdict.into()]
        })
    });
    table(["work", "reach", "measured", "reached"], goals)
}

/// One row as markdown, which reads well on a terminal too.
pub(crate) fn row_text(row: &RowResult) -> String {
    let better = match row.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let mut text = format!("### {} {}\n\n", row.id, row.title);
    let head = ["", &row.unit, "poolmap is × better", "CPU s", "largest process MB", "also"];
    text += &table(head, row.contenders.iter().map(contender_cells));
    let (rounds, at) = (row.rounds, &row.measured_at);
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n{better}; {rounds} rounds, {at}, others used {:.0} % of the processors",
        row.others_share * 100.0
    );
    text
}

fn contender_cells(contender: &ContenderResult) -> [String; 6] {
    let medians = |spread: Option<Spread>| spread.map_or("–".into(), |spread| number(spread.median));
    let also = contender.also.iter().map(|(label, spread)| format!("{} {label}", number(spread.median)));
    let spread = |spread: Option<Spread>| match spread {
        Some(Spread { median, min, max }) => format!("{} ({}–{})", number(median), number(min), number(max)),
        None => "–".into(),
    };
    [
        contender.name.clone(),
        contender.absent.clone().unwrap_or_else(|| spread(contender.spread)),
        spread(contender.poolmap_is_times_better),
        medians(contender.cpu_s),
        medians(contender.max_rss_mb),
        also.collect::<Vec<_>>().join(", "),
    ]
}

/// A markdown table whose columns are aligned in the source too.
fn table<const N: usize>(head: [&str; N], body: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(body);
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rule = widths.map(|width| "-".repeat(width.max(1)));
    lines.insert(1, rule);
    let mut text = String::new();
    for line in &lines {
        for (width, cell) in widths.iter().zip(line) {
            let cell = cell.replace(['\n', '|'], " ");
            let _ = write!(text, "| {cell:width$} ");
        }
        text += "|\n";
    }
    text
}

/// Three digits that count, thousands apart: 612,345 · 61.2 · 0.973.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if decimals > 0 {
        return text;
    }
    let mut grouped = String::new();
    for (position, digit) in text.chars().enumerate() {
        let to_come = text.len() - position;
        if position > 0 && to_come % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A line or more on stdout.
pub(crate) fn say(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("writing to stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_part_thousands() {
        let shown = [1_234_567.8, 999.6, 61.24, 7.0, 0.973_4, 0.0, -1500.0].map(number);
        assert_eq!(shown, ["1,234,568", "1,000", "61.2", "7.00", "0.973", "0", "-1,500"]);
    }

    #[test]
    fn a_table_is_aligned_and_a_bar_in_a_cell_does_not_break_it() {
        let text = table(["a", "b"], [["1|2".to_owned(), "xyz".to_owned()]]);
        assert_eq!(text, "| a   | b   |\n| --- | --- |\n| 1 2 | xyz |\n");
    }
}
