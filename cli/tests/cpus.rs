//! `poolmap cpus`, from the words of its command line to what it prints.
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

use std::error::Error;

use clap::Parser;
use poolmap::cpus::{self, CpusArgs};
use serde_json::Value;

#[derive(Parser)]
#[command(name = "poolmap cpus")]
struct Command {
    #[command(flatten)]
    args: CpusArgs,
}

/// What the command prints, or why it refuses.
fn cpus(words: &str) -> Result<String, Box<dyn Error>> {
    let words = std::iter::once("poolmap cpus").chain(words.split_whitespace());
    let command = Command::try_parse_from(words)?;
    let mut out = Vec::new();
    cpus::run(&command.args, &mut out)?;
    Ok(String::from_utf8(out)?)
}

/// The first line of its refusal.
fn refusal(words: &str) -> String {
    let error = cpus(words).err().map_or_else(String::new, |error| error.to_string());
    error.lines().take(1).collect()
}

#[test]
fn one_line_tells_people_why() -> Result<(), Box<dyn Error>> {
    insta::assert_snapshot!(cpus("--as-if cpus=8,os=linux")?, @"8 logical processors, divided by 2: 4 slots");
    insta::assert_snapshot!(cpus("--as-if cpus=8 --max-slots 3")?, @"8 logical processors, divided by 2, at most 3 as asked: 3 slots");
    insta::assert_snapshot!(cpus("--as-if cpus=8 -j 20")?, @"8 logical processors, as asked: 20 slots");
    insta::assert_snapshot!(cpus("--as-if cpus=192,os=win32,python=3.13.9")?, @"192 logical processors, divided by 2, at most 61 (the limit of process pools on Windows): 61 slots");
    Ok(())
}

#[test]
fn one_object_tells_scripts_all_that_went_in() -> Result<(), Box<dyn Error>> {
    insta::assert_snapshot!(cpus("--json --as-if cpus=128,os=windows,python=3.11")?, @r#"{"cpus":128,"slots":61,"rule":"platform-limit","divisor":2.0,"max_slots":null,"platform_limit":"auto","os":"windows","python":"3.11"}"#);
    insta::assert_snapshot!(cpus("--json --divisor 1.5 --max-slots 4 --as-if cpus=8,os=linux")?, @r#"{"cpus":8,"slots":4,"rule":"max-slots","divisor":1.5,"max_slots":4,"platform_limit":"auto","os":"linux","python":null}"#);
    Ok(())
}

#[test]
fn this_machine_has_processors_and_slots() -> Result<(), Box<dyn Error>> {
    let report: Value = serde_json::from_str(&cpus("--json --divisor 1")?)?;
    assert_eq!(report["cpus"], report["slots"]);
    assert!(report["cpus"].as_u64() >= Some(1), "{report}");
    Ok(())
}

#[test]
fn another_machine_that_cannot_be_is_refused_and_says_what_can() {
    insta::assert_snapshot!(refusal("--as-if cores=4"), @"error: invalid value 'cores=4' for '--as-if <KEY=VALUE,...>': there is no key 'cores'; the keys are cpus, os and python");
    insta::assert_snapshot!(refusal("--as-if cpus=0"), @"error: invalid value 'cpus=0' for '--as-if <KEY=VALUE,...>': cpus '0' is not a whole number of at least 1");
    insta::assert_snapshot!(refusal("--as-if os=beos"), @"error: invalid value 'os=beos' for '--as-if <KEY=VALUE,...>': os 'beos' is not one of linux, macos, windows, darwin, win32");
    insta::assert_snapshot!(refusal("--as-if cpus=4,python=three"), @"error: invalid value 'cpus=4,python=three' for '--as-if <KEY=VALUE,...>': python 'three' is not a version such as 3.11 or 3.13.9");
}

#[test]
fn every_calibration_row_holds_through_the_command_line() -> Result<(), Box<dyn Error>> {
    let vectors: Value = serde_json::from_str(include_str!("../../worker/tests/vectors/calibration.json"))?;
    for row in vectors["rows"].as_array().ok_or("no rows")? {
        let python =
            row[1].as_array().ok_or("no version")?.iter().map(Value::to_string).collect::<Vec<_>>().join(".");
        let os = row[0].as_str().ok_or("no platform")?;
        let limit = match (row[5].as_bool(), row[6].as_bool()) {
            (Some(true), _) => "off",
            (_, Some(true)) => "strict",
            _ => "auto",
        };
        let (cpu_count, divisor, max) = (&row[2], &row[3], &row[4]);
        let size = cpus(&format!(
            "--json --divisor {divisor} --max-slots {max} --platform-limit {limit} \
             --as-if cpus={cpu_count},os={os},python={python}"
        ));
        match size {
            Ok(report) => assert_eq!(serde_json::from_str::<Value>(&report)?["slots"], row[7], "{row}"),
            Err(_) => assert_eq!(row[7], "error", "{row}"),
        }
    }
    Ok(())
}
