//! The machine this process runs on.

use std::num::NonZeroU32;

use super::machine::{Machine, Os, PythonVersion};
use super::quota;
use super::rule::whole_cpus;

/// This machine, with the Python that will run its tasks.
#[must_use]
pub fn this_machine(python: Option<PythonVersion>) -> Machine {
    Machine { cpus: cpus(), os: Os::current(), python }
}

/// Logical processors that this process may use: its affinity mask and its control groups count, not only the
/// machine. A fractional quota rounds up.
#[must_use]
pub fn cpus() -> NonZeroU32 {
    // num_cpus knows the mask, and of quotas only that of the process's own group.
    let available = u32::try_from(num_cpus::get()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
    quota::cpu_quota().map_or(available, |quota| available.min(whole_cpus(quota)))
}
