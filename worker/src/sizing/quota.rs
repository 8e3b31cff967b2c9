//! The share of processor time that control groups leave to this process.
//!
//! A quota on any group above a process binds it as one on its own group does: a pod's, a service's, a session's.
//! So all groups from the process's own up to the mount's root are read, in both versions of the interface.

use std::fs;
use std::path::{Path, PathBuf};

/// The tightest quota over this process, in processors (1.5: three milliseconds of work every two); `None` where
/// there is none, or nothing that says so.
#[must_use]
pub fn cpu_quota() -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    tightest(&groups, &mounts)
}

/// The same, from the contents of a `cgroup` and a `mountinfo` file.
fn tightest(groups: &str, mounts: &str) -> Option<f64> {
    let group = groups.lines().filter_map(Group::parse).min_by_key(|group| group.version)?;
    let mut mounts = mounts.lines().filter_map(Mount::parse).filter(|mount| mount.version == group.version);
    let (own, top) = mounts.find_map(|mount| Some((mount.folder(group.path)?, mount.point)))?;
    let upwards = own.ancestors().take_while(|folder| folder.starts_with(&top));
    upwards.filter_map(|folder| group.version.quota(folder)).min_by(f64::total_cmp)
}

/// Ordered by which one counts: where version 1 has the processors, version 2 does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// The quota that stands in a group's folder.
    fn quota(self, folder: &Path) -> Option<f64> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let file = |name| fs::read_to_string(folder.join(name)).ok();
        let (quota_us, period_us) = match self {
            Self::V1 => (number(&file("cpu.cfs_quota_us")?)?, number(&file("cpu.cfs_period_us")?)?),
            Self::V2 => {
                let file = file("cpu.max")?;
                let (quota, period) = file.trim().split_once(' ')?;
                (number(quota)?, number(period)?)
            }
        };
        // Version 1 says -1 where version 2 says "max".
        (quota_us > 0.0 && period_us > 0.0).then_some(quota_us / period_us)
    }
}

/// A line of `/proc/self/cgroup`: which group of the processor hierarchy this process is in.
struct Group<'a> {
    version: Version,
    path: &'a Path,
}

impl<'a> Group<'a> {
    /// Reads `4:cpu,cpuacct:/path` or `0::/path`.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let version = match controllers {
            "" => Version::V2,
            _ if controllers.split(',').any(|controller| controller == "cpu") => Version::V1,
            _ => return None,
        };
        Some(Self { version, path: Path::new(path) })
    }
}

/// A line of `/proc/self/mountinfo`: where a hierarchy with processors is mounted.
struct Mount {
    version: Version,
    /// Group that shows at the mount point.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Reads `32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu`.
    fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3).map(PathBuf::from);
        let mut filesystem = filesystem.split(' ');
        let version = match (filesystem.next()?, filesystem.nth(1)?) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", options) if options.split(',').any(|option| option == "cpu") => Version::V1,
            _ => return None,
        };
        Some(Self { version, root: mount.next()?, point: mount.next()? })
    }

    /// Where a group shows, if it does.
    fn folder(&self, group: &Path) -> Option<PathBuf> {
        group.strip_prefix(&self.root).ok().map(|below| self.point.join(below))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A folder that stands for a mounted hierarchy, with files in its groups.
    fn hierarchy(files: &[(&str, &str)]) -> io::Result<tempfile::TempDir> {
        let root = tempfile::tempdir()?;
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
            fs::write(path, content)?;
        }
        Ok(root)
    }

    fn mounted(root: &tempfile::TempDir, group: &str, filesystem: &str) -> String {
        let other = "30 1 0:20 / /proc rw - proc proc rw\n33 31 0:30 / /nowhere rw - cgroup cgroup rw,cpuset";
        format!("{other}\n32 31 0:29 {group} {} rw shared:7 - {filesystem}\n", root.path().display())
    }

    #[test]
    fn the_tightest_quota_on_the_way_up_counts() -> io::Result<()> {
        let root = hierarchy(&[
            ("pod/cpu.max", "150000 100000\n"),
            ("pod/app/cpu.max", "max 100000\n"),
            ("pod/app/job/cpu.max", "800000 100000\n"),
        ])?;
        let mounts = mounted(&root, "/", "cgroup2 cgroup2 rw");
        assert_eq!(tightest("0::/pod/app/job\n", &mounts), Some(1.5));
        assert_eq!(tightest("0::/elsewhere\n", &mounts), None);
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
        let mounts = mounted(&root, "/", "cgroup cgroup rw,cpu,cpuacct");
        assert_eq!(tightest("0::/b\n3:cpuset:/b\n1:cpu,cpuacct:/a\n", &mounts), Some(0.5));
        assert_eq!(tightest("1:cpu,cpuacct:/b\n", &mounts), None);
        Ok(())
    }

    #[test]
    fn a_mount_that_shows_only_a_container_is_understood() -> io::Result<()> {
        let root = hierarchy(&[("cpu.max", "250000 100000\n")])?;
        let mounts = mounted(&root, "/docker/1f", "cgroup2 cgroup2 rw");
        assert_eq!(tightest("0::/docker/1f\n", &mounts), Some(2.5));
        assert_eq!(tightest("0::/docker/2e\n", &mounts), None);
        Ok(())
    }

    #[test]
    fn files_that_make_no_sense_mean_no_quota() -> io::Result<()> {
        let root = hierarchy(&[("a/cpu.max", "100000 0\n"), ("b/cpu.max", "much\n"), ("c/cpu.max", "")])?;
        let mounts = mounted(&root, "/", "cgroup2 cgroup2 rw");
        for group in ["0::/a", "0::/b", "0::/c", "0:", "", "nonsense"] {
            assert_eq!(tightest(group, &mounts), None, "{group:?}");
        }
        assert_eq!(tightest("0::/a", "nonsense\n1 2 - x"), None);
        Ok(())
    }
}
