//! How much memory this worker may use, and how much of that is left: of the machine, and of each control group above it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cgroup::{Groups, Version};

/// The memory of the machine or of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All that can be used.
    pub(crate) limit_bytes: u64,
    /// What can still be used, by anyone, before the kernel has to kill. Memory that only caches files counts as
    /// available.
    pub(crate) available_bytes: u64,
}

impl Memory {
    /// How much of it is in use, from 0 to 1.
    pub(crate) fn used_share(&self) -> f64 {
        if self.limit_bytes == 0 {
            return 1.0;
        }
        1.0 - self.available_bytes.min(self.limit_bytes) as f64 / self.limit_bytes as f64
    }

    /// The one that is used up sooner. Their limits and remainders must not be mixed: a machine may have less left in
    /// bytes, and yet be far from its end.
    fn tighter(self, other: Self) -> Self {
        if other.used_share() > self.used_share() { other } else { self }
    }
}

/// Where this worker's limits stand. They are read anew each time, since they can be changed while it runs.
#[derive(Debug)]
pub(crate) struct Limits {
    meminfo: PathBuf,
    /// Interface and folder of each group from the worker's own upwards.
    groups: Vec<(Version, PathBuf)>,
}

impl Limits {
    /// Finds them for this process.
    pub(crate) fn find() -> Self {
        Self::find_in(Path::new("/proc"))
    }

    fn find_in(proc: &Path) -> Self {
        let groups = Groups::find(proc, "memory");
        let groups = groups
            .iter()
            .flat_map(|groups| groups.folders().map(|folder| (groups.version, folder.to_owned())));
        Self { meminfo: proc.join("meminfo"), groups: groups.collect() }
    }

    /// The memory of whichever has the greatest share in use: the machine, or a group with a limit. It is there that
    /// the kernel kills first. Takes a tenth or two of a millisecond.
    pub(crate) fn read(&self) -> io::Result<Memory> {
        let machine = machine(&fs::read_to_string(&self.meminfo)?)?;
        let groups =
            self.groups.iter().filter_map(|(version, folder)| group(*version, folder, machine.limit_bytes));
        Ok(groups.fold(machine, Memory::tighter))
    }
}

/// The machine's, from the contents of `/proc/meminfo`.
fn machine(meminfo: &str) -> io::Result<Memory> {
    let bytes = |name: &str| {
        let kib =
            field(meminfo, name).ok_or_else(|| io::Error::other(format!("/proc/meminfo has no {name}")))?;
        Ok::<_, io::Error>(kib.saturating_mul(1024))
    };
    Ok(Memory { limit_bytes: bytes("MemTotal:")?, available_bytes: bytes("MemAvailable:")? })
}

/// A group's; `None` if it has no limit that the machine itself does not have, or is gone.
fn group(version: Version, folder: &Path, machine_bytes: u64) -> Option<Memory> {
    let file = |name| fs::read_to_string(folder.join(name)).ok();
    let number = |name| file(name)?.trim().parse::<u64>().ok();
    let (limit, usage, cache) = match version {
        Version::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        Version::V2 => ("memory.max", "memory.current", "inactive_file"),
    };
    // Without a limit version 2 says "max", and version 1 a number near 2^63.
    let limit_bytes = number(limit).filter(|limit| *limit < machine_bytes)?;
    let cached = field(&file("memory.stat")?, cache).unwrap_or(0);
    let used = number(usage)?.saturating_sub(cached);
    Some(Memory { limit_bytes, available_bytes: limit_bytes.saturating_sub(used) })
}

/// The number that follows a name at the beginning of a line.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? == name { words.next()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::{hierarchy, mounted};

    const MEMINFO: &str = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n";

    /// Limits of a process in `groups` (as in `/proc/self/cgroup`), with files in a hierarchy mounted as `filesystem`.
    fn read(groups: &str, filesystem: &str, files: &[(&str, &str)]) -> io::Result<Memory> {
        let sys = hierarchy(files)?;
        let mounts = mounted(sys.path(), "/", filesystem);
        let proc = hierarchy(&[("meminfo", MEMINFO), ("self/cgroup", groups), ("self/mountinfo", &mounts)])?;
        Limits::find_in(proc.path()).read()
    }

    #[test]
    fn without_groups_the_machine_is_the_limit() -> io::Result<()> {
        let memory = read("", "cgroup2 cgroup2 rw", &[])?;
        assert_eq!(memory, Memory { limit_bytes: 1_024_000, available_bytes: 614_400 });
        assert!((memory.used_share() - 0.4).abs() < 1e-9);
        Ok(())
    }

    #[test]
    fn the_tightest_group_on_the_way_up_counts_and_caches_do_not() -> io::Result<()> {
        let files = [
            ("pod/memory.max", "500000\n"),
            ("pod/memory.current", "450000\n"),
            ("pod/memory.stat", "anon 400000\nfile 50000\ninactive_file 20000\nactive_file 30000\n"),
            ("pod/app/memory.max", "max\n"),
            ("pod/app/memory.current", "450000\n"),
            ("pod/app/memory.stat", "inactive_file 0\n"),
            ("pod/app/job/memory.max", "900000\n"),
            ("pod/app/job/memory.current", "450000\n"),
            ("pod/app/job/memory.stat", "inactive_file 20000\n"),
        ];
        let memory = read("0::/pod/app/job\n", "cgroup2 cgroup2 rw", &files)?;
        assert_eq!(memory, Memory { limit_bytes: 500_000, available_bytes: 70_000 });
        Ok(())
    }

    #[test]
    fn version_1_has_other_names_for_the_same() -> io::Result<()> {
        let files = [
            ("a/memory.limit_in_bytes", "400000\n"),
            ("a/memory.usage_in_bytes", "350000\n"),
            ("a/memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.usage_in_bytes", "999999999\n"),
            ("memory.stat", "total_inactive_file 0\n"),
        ];
        let memory = read("4:memory:/a\n0::/\n", "cgroup cgroup rw,memory", &files)?;
        assert_eq!(memory, Memory { limit_bytes: 400_000, available_bytes: 100_000 });
        Ok(())
    }

    #[test]
    fn a_machine_that_is_fuller_than_a_group_counts_though_it_has_more_left() -> io::Result<()> {
        let files = [
            ("a/memory.max", "100000\n"),
            ("a/memory.current", "30000\n"),
            ("a/memory.stat", "inactive_file 0\n"),
        ];
        let memory = read("0::/a\n", "cgroup2 cgroup2 rw", &files)?;
        assert_eq!(memory.limit_bytes, 1_024_000);
        Ok(())
    }

    #[test]
    fn a_group_that_is_over_its_limit_has_nothing_left() -> io::Result<()> {
        let files = [("a/memory.max", "1000\n"), ("a/memory.current", "2000\n"), ("a/memory.stat", "")];
        let memory = read("0::/a\n", "cgroup2 cgroup2 rw", &files)?;
        assert_eq!(memory, Memory { limit_bytes: 1000, available_bytes: 0 });
        Ok(())
    }

    #[test]
    fn files_that_make_no_sense_mean_no_limit_but_a_machine_without_figures_is_an_error() -> io::Result<()> {
        for files in [&[("a/memory.max", "much\n")][..], &[("a/memory.max", "5\n"), ("a/memory.stat", "")]] {
            assert_eq!(read("0::/a\n", "cgroup2 cgroup2 rw", files)?.limit_bytes, 1_024_000, "{files:?}");
        }
        assert!(machine("MemTotal: 5 kB\n").is_err());
        Ok(())
    }

    #[test]
    fn this_machine_has_memory() -> io::Result<()> {
        let memory = Limits::find().read()?;
        assert!(memory.limit_bytes > 1 << 20 && memory.available_bytes <= memory.limit_bytes, "{memory:?}");
        Ok(())
    }
}
