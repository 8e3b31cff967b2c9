//! The rule that sizes a pool, for Python.

use std::num::NonZeroU32;

use poolmap_worker::sizing::machine::PythonVersion;
use poolmap_worker::sizing::{Divisor, PlatformLimit, Rule, detect};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// How many slots a pool on this machine has.
#[pyfunction]
#[pyo3(signature = (divisor, max_workers, platform_limit))]
pub(crate) fn pool_size(
    py: Python<'_>,
    divisor: f64,
    max_workers: Option<i64>,
    platform_limit: &str,
) -> PyResult<u32> {
    let divisor =
        Divisor::new(divisor).map_err(|error| PyValueError::new_err(format!("divisor: {error}")))?;
    let platform_limit = match platform_limit {
        "auto" => PlatformLimit::Auto,
        "strict" => PlatformLimit::Strict,
        "off" => PlatformLimit::Off,
        other => {
            let text = format!("platform_limit is 'auto', 'strict' or 'off', not '{other}'");
            return Err(PyValueError::new_err(text));
        }
    };
    let most = max_workers.filter(|most| *most > 0).map(|most| u32::try_from(most).unwrap_or(u32::MAX));
    let max_slots = most.and_then(NonZeroU32::new);
    let rule = Rule { slots: None, divisor, max_slots, platform_limit };
    let version = py.version_info();
    let python = PythonVersion { major: version.major.into(), minor: version.minor.into() };
    let machine = detect::this_machine(Some(python));
    tracing::info!("{}", rule.explain(&machine));
    Ok(rule.size(&machine).slots.get())
}
