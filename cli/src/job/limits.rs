//! The flags that say what happens when tasks fail, hang or kill their children.

use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use poolmap_client::{Halt, JobSpec, halt};

use super::args::parse_count;
use crate::exit::Failure;
use crate::quantity::parse_time;

/// Limits and retries.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Failures")]
pub(crate) struct LimitFlags {
    /// Stop a task that takes longer than TIME, such as 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    timeout: Option<Duration>,

    /// Stop the whole job after TIME
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    job_timeout: Option<Duration>,

    /// Try a task that failed up to N times more
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    retries: u32,

    /// Wait before the first retry; doubled for each further one
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    retry_delay: Option<Duration>,

    /// Fail a task that has killed its child N times
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse_count::<NonZeroU32>, allow_negative_numbers = true)]
    crash_limit: NonZeroU32,

    /// Stop the job when tasks have failed: never, first, N of them, or N% of all
    #[arg(long, value_name = "WHEN", default_value = "never", allow_negative_numbers = true)]
    halt: HaltFlag,

    /// Near the end, let idle slots run copies of tasks that take unusually long; the first outcome counts
    #[arg(long)]
    speculate: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HaltFlag {
    Never,
    Failures(NonZeroU64),
    Percent(NonZeroU32),
}

impl LimitFlags {
    /// Time a task may take.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.retry_delay.is_some() && self.retries == 0 {
            return Err(Failure::Usage(
                "--retry-delay needs --retries: without, nothing is tried again".to_owned(),
            ));
        }
        match (self.timeout, self.job_timeout) {
            (Some(task), Some(job)) if job < task => Err(Failure::Usage(format!(
                "--job-timeout {} is shorter than --timeout {}: no task could ever reach its own limit",
                humantime::format_duration(job),
                humantime::format_duration(task),
            ))),
            _ => Ok(()),
        }
    }

    /// Adds the limits to what is submitted.
    pub(crate) fn apply(&self, spec: JobSpec) -> JobSpec {
        JobSpec {
            crash_limit: self.crash_limit.get(),
            retries: self.retries,
            retry_delay_ms: self.retry_delay.map_or(0, millis),
            halt: self.halt.message(),
            speculate: self.speculate,
            timeout_ms: self.job_timeout.map_or(0, millis),
            ..spec
        }
    }
}

impl HaltFlag {
    fn message(self) -> Option<Halt> {
        let when = match self {
            Self::Never => return None,
            Self::Failures(failures) => halt::When::Failures(failures.get()),
            Self::Percent(percent) => halt::When::Percent(percent.get()),
        };
        Some(Halt { when: Some(when) })
    }
}

impl FromStr for HaltFlag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not never, first, a number of at least 1, or a share from 1% to 100%";
        match text {
            "never" => Ok(Self::Never),
            "first" => Ok(Self::Failures(NonZeroU64::MIN)),
            _ => match text.strip_suffix('%') {
                Some(percent) => {
                    let percent: NonZeroU32 = percent.parse().map_err(|_| WRONG)?;
                    if percent.get() <= 100 { Ok(Self::Percent(percent)) } else { Err(WRONG) }
                }
                None => text.parse().map(Self::Failures).map_err(|_| WRONG),
            },
        }
    }
}

/// Milliseconds, at least one.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_halts_never_or_for_a_number_or_share_of_failures() {
        assert_eq!("never".parse(), Ok(HaltFlag::Never));
        assert_eq!("first".parse(), Ok(HaltFlag::Failures(NonZeroU64::MIN)));
        assert!(matches!("7".parse(), Ok(HaltFlag::Failures(failures)) if failures.get() == 7));
        assert!(matches!("100%".parse(), Ok(HaltFlag::Percent(percent)) if percent.get() == 100));
        for wrong in ["0", "0%", "101%", "-1", "some", "%", ""] {
            assert!(wrong.parse::<HaltFlag>().is_err(), "{wrong}");
        }
    }
}
