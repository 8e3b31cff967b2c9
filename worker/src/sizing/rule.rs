//! The sizing rule: `ceil(cpus / divisor)`, at most the user's maximum, at most the platform's limit, at least 1.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::machine::{Machine, Os, PythonVersion};

/// Most processes that a pool of Python's standard library can have on Windows: one wait there takes 63 handles
/// (64, less one for the interrupt event), and a pool uses two of them for its own queues. `concurrent.futures`
/// refuses more (Python bpo-26903).
pub const WINDOWS_LIMIT: u32 = 61;

/// Most processes of a `multiprocessing.Pool` on Windows from Python 3.14 on, which splits a wait over 63 threads
/// of 63 handles each (Python gh-89240).
pub const WINDOWS_NESTED_LIMIT: u32 = 63 * 63;

/// The first Python with [`WINDOWS_NESTED_LIMIT`].
const NESTED_WAITS: PythonVersion = PythonVersion { major: 3, minor: 14 };

/// What a user asks of a pool's size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rule {
    /// So many slots, whatever else is said.
    pub slots: Option<NonZeroU32>,
    /// Logical processors per slot.
    pub divisor: Divisor,
    /// Never more slots than this.
    pub max_slots: Option<NonZeroU32>,
    /// Whether limits of the platform count.
    pub platform_limit: PlatformLimit,
}

impl Rule {
    /// The size of a pool on a machine.
    #[must_use]
    pub fn size(&self, machine: &Machine) -> Size {
        if let Some(slots) = self.slots {
            return Size { slots, decided_by: DecidedBy::Slots };
        }
        let divided = Size { slots: self.divisor.divide(machine.cpus), decided_by: DecidedBy::Divisor };
        let limit = self.platform_limit.on(machine);
        divided.at_most(self.max_slots, DecidedBy::MaxSlots).at_most(limit, DecidedBy::PlatformLimit)
    }

    /// One line for people: how many logical processors, which rule decided, how many slots.
    #[must_use]
    pub fn explain(&self, machine: &Machine) -> String {
        let Size { slots, decided_by } = self.size(machine);
        let (cpus, divisor) = (machine.cpus, self.divisor);
        let reason = match decided_by {
            DecidedBy::Slots => "as asked".to_owned(),
            DecidedBy::Divisor => format!("divided by {divisor}"),
            DecidedBy::MaxSlots => format!("divided by {divisor}, at most {slots} as asked"),
            DecidedBy::PlatformLimit => {
                format!("divided by {divisor}, at most {slots} (the limit of process pools on Windows)")
            }
        };
        format!("{cpus} logical {}, {reason}: {slots} {}", plural(cpus, "processor"), plural(slots, "slot"))
    }
}

fn plural(count: NonZeroU32, noun: &str) -> String {
    format!("{noun}{}", if count == NonZeroU32::MIN { "" } else { "s" })
}

/// The size of a pool, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Tasks that run at once.
    pub slots: NonZeroU32,
    /// The rule that had the last word.
    pub decided_by: DecidedBy,
}

impl Size {
    fn at_most(self, limit: Option<NonZeroU32>, decided_by: DecidedBy) -> Self {
        match limit {
            Some(limit) if limit < self.slots => Self { slots: limit, decided_by },
            _ => self,
        }
    }
}

/// Which part of a [`Rule`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecidedBy {
    /// The number that the user gave.
    Slots,
    /// Processors divided by the divisor.
    Divisor,
    /// The user's maximum.
    MaxSlots,
    /// The platform's limit.
    PlatformLimit,
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slots => "slots",
            Self::Divisor => "divisor",
            Self::MaxSlots => "max-slots",
            Self::PlatformLimit => "platform-limit",
        })
    }
}

/// Logical processors per slot: at least 1, by default 2 (one slot per physical core where cores have two threads).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divisor(f64);

impl Divisor {
    /// Checks a divisor.
    pub fn new(divisor: f64) -> Result<Self, InvalidDivisor> {
        if divisor >= 1.0 { Ok(Self(divisor)) } else { Err(InvalidDivisor) }
    }

    /// The divisor as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    fn divide(self, cpus: NonZeroU32) -> NonZeroU32 {
        whole_cpus(f64::from(cpus.get()) / self.0)
    }
}

impl Default for Divisor {
    fn default() -> Self {
        Self(2.0)
    }
}

impl fmt::Display for Divisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Divisor {
    type Err = InvalidDivisor;

    fn from_str(divisor: &str) -> Result<Self, InvalidDivisor> {
        divisor.parse().map_err(|_| InvalidDivisor).and_then(Self::new)
    }
}

/// Not a number of at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number of at least 1 (1: a slot per logical processor; 2: one per two of them)")]
pub struct InvalidDivisor;

/// Whether limits of the platform count. Only Windows has any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlatformLimit {
    /// What this Python's pools can do: [`WINDOWS_NESTED_LIMIT`] from 3.14 on, else [`WINDOWS_LIMIT`].
    #[default]
    Auto,
    /// What every Python's pools can do: [`WINDOWS_LIMIT`].
    Strict,
    /// No limit.
    Off,
}

impl PlatformLimit {
    fn on(self, machine: &Machine) -> Option<NonZeroU32> {
        let has_nested_waits = machine.python.is_some_and(|version| version >= NESTED_WAITS);
        match (machine.os, self) {
            (Os::Windows, Self::Auto) if has_nested_waits => NonZeroU32::new(WINDOWS_NESTED_LIMIT),
            (Os::Windows, Self::Auto | Self::Strict) => NonZeroU32::new(WINDOWS_LIMIT),
            (Os::Windows, Self::Off) | (Os::Linux | Os::MacOs | Os::Other, _) => None,
        }
    }
}

impl fmt::Display for PlatformLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Strict => "strict",
            Self::Off => "off",
        })
    }
}

/// A share of processors as a whole number: rounded up, so that a fraction is used rather than left; at least 1.
pub(super) fn whole_cpus(cpus: f64) -> NonZeroU32 {
    #[expect(clippy::cast_sign_loss, reason = "negative values saturate to 0, and become 1")]
    let whole = cpus.ceil() as u32;
    NonZeroU32::new(whole).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
    }

    fn machine(cpus: u32, os: Os, minor: u32) -> Machine {
        Machine { cpus: count(cpus), os, python: Some(PythonVersion { major: 3, minor }) }
    }

    #[test]
    fn divisors_below_one_and_what_is_no_number_are_refused() {
        for wrong in ["0", "0.999", "-1", "-2.5", "nan", "NaN", "-inf", "two", ""] {
            assert_eq!(wrong.parse::<Divisor>(), Err(InvalidDivisor), "{wrong:?}");
        }
        assert_eq!("1.5".parse().map(Divisor::get), Ok(1.5));
    }

    #[test]
    fn an_asked_for_size_is_not_questioned() {
        let rule = Rule { slots: NonZeroU32::new(500), max_slots: NonZeroU32::new(2), ..Rule::default() };
        let size = rule.size(&machine(4, Os::Windows, 9));
        assert_eq!(size, Size { slots: count(500), decided_by: DecidedBy::Slots });
    }

    #[test]
    fn windows_without_a_python_has_the_lower_limit() {
        let machine = Machine { python: None, ..machine(8192, Os::Windows, 14) };
        let size = Rule::default().size(&machine);
        assert_eq!(size, Size { slots: count(WINDOWS_LIMIT), decided_by: DecidedBy::PlatformLimit });
    }

    #[test]
    fn one_line_says_how_many_processors_what_decided_and_how_many_slots() {
        let at_most_3 = Rule { max_slots: NonZeroU32::new(3), ..Rule::default() };
        let five = Rule { slots: NonZeroU32::new(5), ..Rule::default() };
        assert_eq!(
            Rule::default().explain(&machine(1, Os::Linux, 11)),
            "1 logical processor, divided by 2: 1 slot"
        );
        assert_eq!(
            at_most_3.explain(&machine(8, Os::Linux, 11)),
            "8 logical processors, divided by 2, at most 3 as asked: 3 slots"
        );
        assert_eq!(five.explain(&machine(8, Os::Linux, 11)), "8 logical processors, as asked: 5 slots");
        assert_eq!(
            Rule::default().explain(&machine(128, Os::Windows, 11)),
            "128 logical processors, divided by 2, at most 61 (the limit of process pools on Windows): 61 slots"
        );
    }

    proptest! {
        #[test]
        fn a_pool_has_a_slot_and_never_more_than_processors_or_the_maximum(
            cpus in 1..=u32::MAX, divisor in 1.0..=f64::MAX, max in 0..100_u32,
        ) {
            let rule = Rule {
                divisor: Divisor::new(divisor).map_err(|e| TestCaseError::fail(e.to_string()))?,
                max_slots: NonZeroU32::new(max),
                ..Rule::default()
            };
            let size = rule.size(&machine(cpus, Os::Linux, 11));
            prop_assert!(size.slots.get() <= cpus);
            prop_assert!(max == 0 || size.slots.get() <= max);
        }
    }
}
