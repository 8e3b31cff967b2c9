//! What the sizing rule knows of a machine, this one or another.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// A machine as the sizing rule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Logical processors that the pool may use.
    pub cpus: NonZeroU32,
    /// The operating system.
    pub os: Os,
    /// The Python that runs the pool's tasks, if any does.
    pub python: Option<PythonVersion>,
}

/// An operating system, as far as sizing tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
    /// Windows, whose waits take a limited number of handles.
    Windows,
    /// Any other.
    Other,
}

impl Os {
    /// Names that [`FromStr`] understands; the first three are those that [`fmt::Display`] prints.
    pub const NAMES: [&str; 5] = ["linux", "macos", "windows", "darwin", "win32"];

    /// The one this program was built for.
    #[must_use]
    pub fn current() -> Self {
        std::env::consts::OS.parse().unwrap_or(Self::Other)
    }
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "linux",
            Self::MacOs => "macos",
            Self::Windows => "windows",
            Self::Other => "other",
        })
    }
}

impl FromStr for Os {
    type Err = UnknownOs;

    /// Reads a name as Rust or Python spell it.
    fn from_str(name: &str) -> Result<Self, UnknownOs> {
        match name {
            "linux" => Ok(Self::Linux),
            "macos" | "darwin" => Ok(Self::MacOs),
            "windows" | "win32" => Ok(Self::Windows),
            _ => Err(UnknownOs),
        }
    }
}

/// Not the name of an operating system that sizing knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of {}", Os::NAMES.join(", "))]
pub struct UnknownOs;

/// A Python version, as far as sizing tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonVersion {
    /// The 3 of 3.14.
    pub major: u32,
    /// The 14 of 3.14.
    pub minor: u32,
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for PythonVersion {
    type Err = InvalidPythonVersion;

    /// Reads `3.14` or `3.14.0`; what follows the minor version does not matter.
    fn from_str(version: &str) -> Result<Self, InvalidPythonVersion> {
        let mut parts = version.splitn(3, '.').map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self { major, minor }),
            _ => Err(InvalidPythonVersion),
        }
    }
}

/// Not a Python version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version such as 3.11 or 3.13.9")]
pub struct InvalidPythonVersion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_systems_have_the_names_of_rust_and_of_python() {
        assert_eq!("windows".parse(), Ok(Os::Windows));
        assert_eq!("win32".parse(), Ok(Os::Windows));
        assert_eq!("darwin".parse(), Ok(Os::MacOs));
        assert_eq!("beos".parse::<Os>(), Err(UnknownOs));
    }

    #[test]
    fn a_python_version_needs_major_and_minor() {
        assert_eq!("3.14".parse(), Ok(PythonVersion { major: 3, minor: 14 }));
        assert_eq!("3.13.0rc1".parse(), Ok(PythonVersion { major: 3, minor: 13 }));
        for wrong in ["", "3", "3.", "three.one", ".3", "-3.1"] {
            assert_eq!(wrong.parse::<PythonVersion>(), Err(InvalidPythonVersion), "{wrong:?}");
        }
    }

    #[test]
    fn later_pythons_compare_greater() {
        assert!(PythonVersion { major: 3, minor: 9 } < PythonVersion { major: 3, minor: 14 });
    }
}
