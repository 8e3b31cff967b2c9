//! Measures poolmap side by side with what people use today: `cargo run --release -p poolmap-bench`.
//!
//! A row is one piece of work done by several contenders, poolmap first. They run in turn (A B C, A B C, …), each a whole
//! process, each output checked. What is measured is told by `rows/`; how by `process`; what becomes of it by `report`.

mod check;
mod contest;
mod inputs;
mod machine;
mod memory;
mod metric;
mod process;
mod report;
mod rows;
mod series;
mod setup;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::contest::RowResult;
use crate::machine::Machine;
use crate::report::Results;
use crate::setup::Tools;

/// Measure poolmap side by side with its peers and write the table.
#[derive(Parser)]
#[command(name = "poolmap-bench", version)]
struct Arguments {
    /// Only these rows: `1,4` or `4b`
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,

    /// Runs of each contender; rows that take milliseconds are run more often
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// A tenth of the tasks, to see that everything works; keeps no results
    #[arg(long)]
    quick: bool,

    /// Measure the binaries in this folder instead of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,

    /// List the rows and stop
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = choose(&arguments.rows)?;
    if arguments.list {
        let lines: Vec<String> = chosen.iter().map(|row| format!("{:3} {}", row.id, row.title)).collect();
        return report::say(&lines.join("\n"));
    }
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = setup::prepare(home, arguments.binaries.as_deref(), arguments.quick)?;
    let machine = Machine::look(&tools)?;
    report::say(&machine.line())?;

    let mut measured = Vec::new();
    for row in chosen {
        measured.push(measure(row, &tools, arguments.runs)?);
    }
    report::say(&report::goals_text(&measured))?;
    // A gigabyte of inputs and results.
    std::fs::remove_dir_all(&tools.scratch).context("emptying bench/.peers/scratch")?;
    if arguments.quick {
        return report::say(
            "--quick: nothing was kept; bench/results.json and bench/README.md are as before.",
        );
    }
    let mut results = Results::load(home, machine)?;
    results.replace(measured);
    results.store(home)
}

fn choose(wanted: &[String]) -> Result<Vec<&'static rows::RowEntry>> {
    if let Some(unknown) = wanted.iter().find(|name| !rows::ALL.iter().any(|row| row.is_called(name))) {
        bail!("no row is called {unknown:?}; `--list` shows them all");
    }
    Ok(rows::ALL
        .iter()
        .filter(|row| wanted.is_empty() || wanted.iter().any(|name| row.is_called(name)))
        .collect())
}

fn measure(entry: &rows::RowEntry, tools: &Tools, runs: u32) -> Result<RowResult> {
    let row = (entry.build)(tools).with_context(|| format!("preparing row {}", entry.id))?;
    let result = contest::run(entry, &row, &tools.scratch, runs);
    report::say(&report::row_text(&result))?;
    Ok(result)
}
