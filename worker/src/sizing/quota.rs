//! The share of processor time that control groups leave to this process.

use std::fs;
use std::path::Path;

use crate::cgroup::{Groups, Version};

/// The tightest quota over this process, in processors (1.5: three milliseconds of work every two); `None` where
/// there is none, or nothing that says so.
#[must_use]
pub fn cpu_quota() -> Option<f64> {
    tightest(&Groups::find(Path::new("/proc"), "cpu")?)
}

/// The tightest quota of any of these groups.
fn tightest(groups: &Groups) -> Option<f64> {
    groups.folders().filter_map(|folder| quota(groups.version, folder)).min_by(f64::total_cmp)
}

/// The quota that stands in a group's folder.
fn quota(version: Version, folder: &Path) -> Option<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let file = |name| fs::read_to_string(folder.join(name)).ok();
    let (quota_us, period_us) = match version {
        Version::V1 => (number(&file("cpu.cfs_quota_us")?)?, number(&file("cpu.cfs_period_us")?)?),
        Version::V2 => {
            let file = file("cpu.max")?;
            let (quota, period) = file.trim().split_once(' ')?;
            (number(quota)?, number(period)?)
        }
    };
    // Version 1 says -1 where version 2 says "max".
    (quota_us > 0.0 && period_us > 0.0).then_some(quota_us / period_us)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::cgroup::tests::{hierarchy, mounted};

    fn tightest_of(groups: &str, mounts: &str) -> Option<f64> {
        tightest(&Groups::parse("cpu", groups, mounts)?)
    }

    #[test]
    fn the_tightest_quota_on_the_way_up_counts() -> io::Result<()> {
        let root = hierarchy(&[
            ("pod/cpu.max", "150000 100000\n"),
            ("pod/app/cpu.max", "max 100000\n"),
            ("pod/app/job/cpu.max", "800000 100000\n"),
        ])?;
        let mounts = mounted(root.path(), "/", "cgroup2 cgroup2 rw");
        assert_eq!(tightest_of("0::/pod/app/job\n", &mounts), Some(1.5));
        assert_eq!(tightest_of("0::/elsewhere\n", &mounts), None);
        Ok(())
    }

    #[test]
    fn version_1_counts_where_it_has_the_processors() -> io::Result<()> {
        let root = hierarchy(&[
            ("a/cpu.cfs_quota_us", "50000\n"),
            ("a/cpu.cfs_period_us", "100000\n"),
            ("cpu.cfs_quota_us", "-1\n"),
            ("cpu.cfs_period_us", "100000\n"),
        ])?;
        let mounts = mounted(root.path(), "/", "cgroup cgroup rw,cpu,cpuacct");
        assert_eq!(tightest_of("0::/b\n3:cpuset:/b\n1:cpu,cpuacct:/a\n", &mounts), Some(0.5));
        assert_eq!(tightest_of("1:cpu,cpuacct:/b\n", &mounts), None);
        Ok(())
    }

    #[test]
    fn a_mount_that_shows_only_a_container_is_understood() -> io::Result<()> {
        let root = hierarchy(&[("cpu.max", "250000 100000\n")])?;
        let mounts = mounted(root.path(), "/docker/1f", "cgroup2 cgroup2 rw");
        assert_eq!(tightest_of("0::/docker/1f\n", &mounts), Some(2.5));
        assert_eq!(tightest_of("0::/docker/2e\n", &mounts), None);
        Ok(())
    }

    #[test]
    fn files_that_make_no_sense_mean_no_quota() -> io::Result<()> {
        let root = hierarchy(&[("a/cpu.max", "100000 0\n"), ("b/cpu.max", "much\n"), ("c/cpu.max", "")])?;
        let mounts = mounted(root.path(), "/", "cgroup2 cgroup2 rw");
        for group in ["0::/a", "0::/b", "0::/c"] {
            assert_eq!(tightest_of(group, &mounts), None, "{group:?}");
        }
        Ok(())
    }
}
