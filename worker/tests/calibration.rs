//! The sizing rule against rows of inputs and sizes.

use std::error::Error;
use std::num::NonZeroU32;

use poolmap_worker::sizing::{Divisor, InvalidDivisor, Machine, PlatformLimit, PythonVersion, Rule};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    rows: Vec<Row>,
}

/// The columns of `calibration.json`, in their order.
#[derive(Debug, Deserialize)]
struct Row {
    platform: String,
    python: (u32, u32, u32),
    cpus: NonZeroU32,
    divisor: f64,
    max: i64,
    is_skipped: bool,
    is_strict: bool,
    size: Expected,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
enum Expected {
    Slots(u32),
    Refused(String),
}

impl Row {
    fn size(&self) -> Result<Expected, Box<dyn Error>> {
        let divisor = match Divisor::new(self.divisor) {
            Ok(divisor) => divisor,
            Err(InvalidDivisor) => return Ok(Expected::Refused("error".to_owned())),
        };
        let platform_limit = match (self.is_skipped, self.is_strict) {
            (true, _) => PlatformLimit::Off,
            (false, true) => PlatformLimit::Strict,
            (false, false) => PlatformLimit::Auto,
        };
        let max_slots = u32::try_from(self.max).ok().and_then(NonZeroU32::new);
        let rule = Rule { slots: None, divisor, max_slots, platform_limit };
        let (major, minor, _) = self.python;
        let python = Some(PythonVersion { major, minor });
        let machine = Machine { cpus: self.cpus, os: self.platform.parse()?, python };
        Ok(Expected::Slots(rule.size(&machine).slots.get()))
    }
}

#[test]
fn every_row_has_its_size() -> Result<(), Box<dyn Error>> {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/calibration.json"))?;
    assert!(!vectors.rows.is_empty());
    for row in &vectors.rows {
        assert_eq!(row.size()?, row.size, "{row:?}");
    }
    Ok(())
}
