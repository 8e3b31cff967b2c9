//! Programs in Python that call a pool: the package beside the standard library's pools and joblib.

pub(super) mod large;
pub(super) mod latency;
pub(super) mod many;
pub(super) mod recycling;
pub(super) mod start;
pub(super) mod waiting;

use anyhow::Result;

use super::script;
use crate::process::Program;
use crate::setup::{Tools, need};

/// A script of ours that imports the package, which must be installed for it.
fn with_package(tools: &Tools, name: &str) -> Result<Program> {
    need(&tools.wheel)?;
    Ok(script(tools, name))
}
