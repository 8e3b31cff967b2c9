//! `poolmap cpus`: how a pool is sized, here or on another machine, and why.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::str::FromStr;

use clap::Args;
use poolmap_worker::sizing::machine::{InvalidPythonVersion, Machine, Os, PythonVersion, UnknownOs};
use poolmap_worker::sizing::{Rule, detect};
use serde::Serialize;

use crate::sizing_flags::SizingFlags;

const EXAMPLES: &str = "\
Examples:
  poolmap cpus                                         how many tasks run at once here, and why
  poolmap cpus --divisor 1 --json                      one object, for scripts
  poolmap cpus --as-if cpus=128,os=windows,python=3.11 the same for another machine";

/// Show how this machine's pool is sized, and why.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CpusArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Answer for another machine: cpus=N, os=linux|macos|windows and python=3.N, any of them, separated by commas
    #[arg(long, value_name = "KEY=VALUE,...")]
    as_if: Option<AsIf>,

    #[command(flatten)]
    sizing: SizingFlags,
}

/// Prints the size of the pool that the arguments describe.
pub fn run(args: &CpusArgs, out: &mut impl Write) -> io::Result<()> {
    let rule = args.sizing.rule();
    let machine = args.as_if.as_ref().map_or_else(|| detect::this_machine(None), AsIf::machine);
    if args.json {
        serde_json::to_writer(&mut *out, &Report::new(&rule, &machine))?;
        writeln!(out)
    } else {
        writeln!(out, "{}", rule.explain(&machine))
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    cpus: NonZeroU32,
    slots: NonZeroU32,
    /// The flag that decided.
    rule: String,
    divisor: f64,
    max_slots: Option<NonZeroU32>,
    platform_limit: String,
    os: String,
    python: Option<String>,
}

impl Report {
    fn new(rule: &Rule, machine: &Machine) -> Self {
        let size = rule.size(machine);
        Self {
            cpus: machine.cpus,
            slots: size.slots,
            rule: size.decided_by.to_string(),
            divisor: rule.divisor.get(),
            max_slots: rule.max_slots,
            platform_limit: rule.platform_limit.to_string(),
            os: machine.os.to_string(),
            python: machine.python.map(|version| version.to_string()),
        }
    }
}

/// A machine to answer for; what is not said is as on this one.
#[derive(Clone, Copy, Debug, Default)]
struct AsIf {
    cpus: Option<NonZeroU32>,
    os: Option<Os>,
    python: Option<PythonVersion>,
}

impl AsIf {
    fn machine(&self) -> Machine {
        Machine {
            cpus: self.cpus.unwrap_or_else(detect::cpus),
            os: self.os.unwrap_or_else(Os::current),
            python: self.python,
        }
    }

    fn set(&mut self, pair: &str) -> Result<(), InvalidAsIf> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let named = || value.to_owned();
        match key {
            "cpus" => self.cpus = Some(value.parse().map_err(|_| InvalidAsIf::Cpus(named()))?),
            "os" => self.os = Some(value.parse().map_err(|why| InvalidAsIf::Os(named(), why))?),
            "python" => self.python = Some(value.parse().map_err(|why| InvalidAsIf::Python(named(), why))?),
            _ => return Err(InvalidAsIf::Key(key.to_owned())),
        }
        Ok(())
    }
}

impl FromStr for AsIf {
    type Err = InvalidAsIf;

    fn from_str(pairs: &str) -> Result<Self, InvalidAsIf> {
        let mut as_if = Self::default();
        pairs.split(',').try_for_each(|pair| as_if.set(pair))?;
        Ok(as_if)
    }
}

#[derive(Debug, thiserror::Error)]
enum InvalidAsIf {
    #[error("there is no key '{0}'; the keys are cpus, os and python")]
    Key(String),
    #[error("cpus '{0}' is not a whole number of at least 1")]
    Cpus(String),
    #[error("os '{0}' is {1}")]
    Os(String, UnknownOs),
    #[error("python '{0}' is {1}")]
    Python(String, InvalidPythonVersion),
}
