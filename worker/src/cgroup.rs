//! Control groups: the folders that say what the groups of this process may use and have used.
//!
//! A limit on any group above a process binds it as one on its own group does: a pod's, a service's, a session's. So
//! whoever reads a limit reads it in all folders from the process's own group up to the mount's root.

use std::fs;
use std::path::{Path, PathBuf};

/// The two interfaces of control groups. Ordered by which one counts: what version 1 has a hierarchy for is not in
/// version 2's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1,
    V2,
}

/// The group of this process in the hierarchy of one controller, such as `cpu` or `memory`, and all groups above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) version: Version,
    /// Folder of the process's own group.
    own: PathBuf,
    /// Folder of the highest group that can be seen.
    top: PathBuf,
}

impl Groups {
    /// Finds them by what `proc`, which is `/proc` but in tests, says of this process; `None` where nothing does.
    pub(crate) fn find(proc: &Path, controller: &str) -> Option<Self> {
        let groups = fs::read_to_string(proc.join("self/cgroup")).ok()?;
        let mounts = fs::read_to_string(proc.join("self/mountinfo")).ok()?;
        Self::parse(controller, &groups, &mounts)
    }

    /// The same, from the contents of a `cgroup` and a `mountinfo` file.
    pub(crate) fn parse(controller: &str, groups: &str, mounts: &str) -> Option<Self> {
        let groups = groups.lines().filter_map(|line| Group::parse(line, controller));
        let Group { version, path } = groups.min_by_key(|group| group.version)?;
        let mounts = mounts.lines().filter_map(|line| Mount::parse(line, controller));
        let mut mounts = mounts.filter(|mount| mount.version == version);
        mounts.find_map(|mount| Some(Self { version, own: mount.folder(path)?, top: mount.point }))
    }

    /// Folder of the process's own group.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// The folders of all groups, the process's own first.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.own.ancestors().take_while(|folder| folder.starts_with(&self.top))
    }
}

/// A line of `/proc/self/cgroup`: which group of a controller's hierarchy this process is in.
struct Group<'a> {
    version: Version,
    path: &'a Path,
}

impl<'a> Group<'a> {
    /// Reads `4:cpu,cpuacct:/path` or `0::/path`.
    fn parse(line: &'a str, controller: &str) -> Option<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let version = match controllers {
            "" => Version::V2,
            _ if has_word(controllers, controller) => Version::V1,
            _ => return None,
        };
        Some(Self { version, path: Path::new(path) })
    }
}

/// A line of `/proc/self/mountinfo`: where a hierarchy with the controller is mounted.
struct Mount {
    version: Version,
    /// Group that shows at the mount point.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Reads `32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu`.
    fn parse(line: &str, controller: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3).map(PathBuf::from);
        let mut filesystem = filesystem.split(' ');
        let version = match (filesystem.next()?, filesystem.nth(1)?) {
            ("cgroup2", _) => Version::V2,
            ("cgroup", options) if has_word(options, controller) => Version::V1,
            _ => return None,
        };
        Some(Self { version, root: mount.next()?, point: mount.next()? })
    }

    /// Where a group shows, if it does.
    fn folder(&self, group: &Path) -> Option<PathBuf> {
        group.strip_prefix(&self.root).ok().map(|below| self.point.join(below))
    }
}

fn has_word(list: &str, wanted: &str) -> bool {
    list.split(',').any(|word| word == wanted)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;

    use super::*;

    /// A folder that stands for a mounted hierarchy, with files in its groups.
    pub(crate) fn hierarchy(files: &[(&str, &str)]) -> io::Result<tempfile::TempDir> {
        let root = tempfile::tempdir()?;
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
            fs::write(path, content)?;
        }
        Ok(root)
    }

    /// A `mountinfo` file in which `group` shows at `root`, among other mounts.
    pub(crate) fn mounted(root: &Path, group: &str, filesystem: &str) -> String {
        let other = "30 1 0:20 / /proc rw - proc proc rw\n33 31 0:30 / /nowhere rw - cgroup cgroup rw,cpuset";
        format!("{other}\n32 31 0:29 {group} {} rw shared:7 - {filesystem}\n", root.display())
    }

    fn folders(groups: &str, mounts: &str) -> Vec<PathBuf> {
        let groups = Groups::parse("memory", groups, mounts);
        groups.iter().flat_map(Groups::folders).map(PathBuf::from).collect()
    }

    fn paths<const N: usize>(names: [&str; N]) -> [PathBuf; N] {
        names.map(PathBuf::from)
    }

    #[test]
    fn folders_lead_from_the_own_group_to_the_mount_and_no_further() {
        let mounts = mounted(Path::new("/sys/x"), "/", "cgroup2 cgroup2 rw");
        assert_eq!(folders("0::/pod/app\n", &mounts), paths(["/sys/x/pod/app", "/sys/x/pod", "/sys/x"]));
        assert_eq!(folders("0::/\n", &mounts), paths(["/sys/x"]));
    }

    #[test]
    fn a_hierarchy_of_version_1_with_the_controller_outweighs_version_2() {
        let v1 = mounted(Path::new("/sys/memory"), "/", "cgroup cgroup rw,memory");
        let v2 = mounted(Path::new("/sys/unified"), "/", "cgroup2 cgroup2 rw");
        let mounts = format!("{v2}{v1}");
        assert_eq!(
            folders("0::/b\n4:cpuset:/c\n3:memory:/a\n", &mounts),
            paths(["/sys/memory/a", "/sys/memory"])
        );
        assert_eq!(folders("0::/b\n4:cpuset:/c\n", &mounts), paths(["/sys/unified/b", "/sys/unified"]));
    }

    #[test]
    fn a_group_that_does_not_show_at_the_mount_has_no_folders() {
        let mounts = mounted(Path::new("/sys/x"), "/docker/1f", "cgroup2 cgroup2 rw");
        assert_eq!(folders("0::/docker/1f/a\n", &mounts), paths(["/sys/x/a", "/sys/x"]));
        assert!(folders("0::/docker/2e\n", &mounts).is_empty());
        for (groups, mounts) in [("0:", &*mounts), ("", &mounts), ("nonsense", &mounts), ("0::/a", "1 2 - x")]
        {
            assert!(folders(groups, mounts).is_empty(), "{groups:?}");
        }
    }
}
