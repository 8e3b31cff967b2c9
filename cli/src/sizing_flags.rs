//! The flags that size a pool, the same on every command that has one.

use std::num::NonZeroU32;

use clap::{Args, ValueEnum};
use poolmap_worker::sizing::{Divisor, PlatformLimit, Rule};

/// How many tasks run at once.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Size of the pool")]
pub struct SizingFlags {
    /// Run N tasks at once, whatever the machine has [default: its logical processors over --divisor]
    #[arg(short = 'j', long, value_name = "N", value_parser = parse_slots, allow_negative_numbers = true)]
    slots: Option<NonZeroU32>,

    /// One slot per X logical processors, rounded up; at least 1
    #[arg(long, value_name = "X", default_value_t, allow_negative_numbers = true)]
    divisor: Divisor,

    /// At most N slots; 0 or less: no maximum
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_slots: Option<i64>,

    /// Which limit of the platform counts; only Windows has one
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    platform_limit: PlatformLimitFlag,
}

impl SizingFlags {
    /// The sizing rule that these flags ask for.
    #[must_use]
    pub fn rule(&self) -> Rule {
        Rule {
            slots: self.slots,
            divisor: self.divisor,
            max_slots: self.max_slots.and_then(maximum),
            platform_limit: self.platform_limit.into(),
        }
    }
}

fn parse_slots(slots: &str) -> Result<NonZeroU32, &'static str> {
    slots.parse().map_err(|_| "not a whole number of at least 1; leave it out to let the machine decide")
}

fn maximum(slots: i64) -> Option<NonZeroU32> {
    NonZeroU32::new(u32::try_from(slots.max(0)).unwrap_or(u32::MAX))
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum PlatformLimitFlag {
    /// On Windows at most 61 slots; 3969 if the tasks' Python is 3.14 or newer
    #[default]
    Auto,
    /// On Windows at most 61 slots
    Strict,
    /// No limit
    Off,
}

impl From<PlatformLimitFlag> for PlatformLimit {
    fn from(flag: PlatformLimitFlag) -> Self {
        match flag {
            PlatformLimitFlag::Auto => Self::Auto,
            PlatformLimitFlag::Strict => Self::Strict,
            PlatformLimitFlag::Off => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        sizing: SizingFlags,
    }

    fn rule(flags: &[&str]) -> Result<Rule, clap::Error> {
        let words = ["poolmap"].iter().chain(flags);
        Command::try_parse_from(words).map(|command| command.sizing.rule())
    }

    #[test]
    fn without_flags_the_rule_is_the_default_one() -> Result<(), clap::Error> {
        assert_eq!(rule(&[])?, Rule::default());
        Ok(())
    }

    #[test]
    fn a_maximum_of_zero_or_less_is_none() -> Result<(), clap::Error> {
        assert_eq!(rule(&["--max-slots", "0"])?.max_slots, None);
        assert_eq!(rule(&["--max-slots", "-1"])?.max_slots, None);
        assert_eq!(rule(&["--max-slots", "3"])?.max_slots, NonZeroU32::new(3));
        assert_eq!(rule(&["--max-slots", "99999999999"])?.max_slots, NonZeroU32::new(u32::MAX));
        Ok(())
    }

    #[test]
    fn values_that_make_no_pool_are_usage_errors_that_name_the_flag() {
        let wrong = [
            ("--divisor", "0"),
            ("--divisor", "0.5"),
            ("--divisor", "-1"),
            ("--divisor", "nan"),
            ("--slots", "0"),
            ("-j", "-2"),
            ("--slots", "all"),
        ];
        for (flag, value) in wrong {
            let error = rule(&[flag, value]).map_err(|error| error.to_string());
            let is_clear = matches!(&error, Err(text) if text.contains(value) && text.contains("at least 1"));
            assert!(is_clear, "{flag} {value}: {error:?}");
        }
    }
}
