//! Whether it was the kernel's out-of-memory killer that killed a child.
//!
//! The kernel counts each process that it kills for memory in the control group of that process, whichever limit was hit (a group's far above,
//! or the machine's), and it counts before it kills. Children run in the worker's own group: so that group's counter is
//! the one to watch. Only where it cannot be seen does the machine's have to do, which also counts the dead of others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::limits::field;
use crate::cgroup::{Groups, Version};

/// A kill that no child was claimed for within so long was of some other process, such as one that a task had started.
const CLAIM_WITHIN: Duration = Duration::from_secs(2);

/// Watches the kernel's counter.
#[derive(Debug)]
pub(crate) struct OomWatch {
    counter: Option<Counter>,
    /// Where the counter stood when it was read last.
    seen: u64,
    /// Kills that were counted and not yet laid to a child, and when they were seen first.
    unclaimed: u64,
    unclaimed_since: Option<Instant>,
}

impl OomWatch {
    /// Watches from now on, for children in the group of this process.
    pub(crate) fn start() -> Self {
        Self::start_in(Path::new("/proc"))
    }

    fn start_in(proc: &Path) -> Self {
        let counter = Counter::find(proc);
        let seen = counter.as_ref().and_then(Counter::read).unwrap_or(0);
        Self { counter, seen, unclaimed: 0, unclaimed_since: None }
    }

    /// Notes what the counter says. To be called every now and then, so that the kill of some other process is not
    /// taken for that of a child which dies much later.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.unclaimed_since.is_some_and(|since| now.saturating_duration_since(since) > CLAIM_WITHIN) {
            self.unclaimed = 0;
        }
        let Some(count) = self.counter.as_ref().and_then(Counter::read) else { return };
        if count > self.seen {
            self.unclaimed += count - self.seen;
            self.unclaimed_since = Some(now);
        }
        self.seen = count;
    }

    /// Whether a child that was just found killed by SIGKILL was killed for memory. Each kill that the kernel counts answers for one child.
    pub(crate) fn killed_since(&mut self, now: Instant) -> bool {
        self.look(now);
        let is_kernels = self.unclaimed > 0;
        self.unclaimed = self.unclaimed.saturating_sub(1);
        is_kernels
    }
}

/// A file in which the kernel counts the processes it has killed for memory, on a line `oom_kill N`.
#[derive(Debug)]
struct Counter(PathBuf);

impl Counter {
    /// That of this process's group, or else of the machine.
    fn find(proc: &Path) -> Option<Self> {
        let group = Groups::find(proc, "memory").map(|groups| {
            let name = match groups.version {
                Version::V1 => "memory.oom_control",
                Version::V2 => "memory.events",
            };
            Self(groups.own().join(name))
        });
        let machine = Self(proc.join("vmstat"));
        group.into_iter().chain([machine]).find(|counter| counter.read().is_some())
    }

    fn read(&self) -> Option<u64> {
        field(&fs::read_to_string(&self.0).ok()?, "oom_kill")
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::Command;

    use super::*;
    use crate::cgroup::tests::{hierarchy, mounted};

    /// Set in the copy of this test program that runs in a group with a limit.
    const INSIDE: &str = "POOLMAP_TEST_INSIDE_GROUP";
    const SIGKILL: i32 = 9;

    /// A watch on files that a test can write: the group's counter and the machine's.
    fn fake(group_file: &str, filesystem: &str) -> io::Result<(OomWatch, [tempfile::TempDir; 2])> {
        let sys = hierarchy(&[(group_file, "under_oom 0\noom_kill 3\n")])?;
        let mounts = mounted(sys.path(), "/", filesystem);
        let groups = if filesystem.starts_with("cgroup2") { "0::/a\n" } else { "2:memory:/a\n" };
        let files =
            [("self/cgroup", groups), ("self/mountinfo", &mounts), ("vmstat", "pgfault 9\noom_kill 7\n")];
        let proc = hierarchy(&files)?;
        Ok((OomWatch::start_in(proc.path()), [sys, proc]))
    }

    #[test]
    fn the_group_counts_in_both_versions_and_others_deaths_do_not() -> io::Result<()> {
        let versions =
            [("a/memory.events", "cgroup2 cgroup2 rw"), ("a/memory.oom_control", "cgroup cgroup rw,memory")];
        for (file, filesystem) in versions {
            let (mut watch, [sys, proc]) = fake(file, filesystem)?;
            let now = Instant::now();
            fs::write(proc.path().join("vmstat"), "oom_kill 8\n")?;
            assert!(!watch.killed_since(now), "that was another group's");
            fs::write(sys.path().join(file), "oom_kill 4\n")?;
            assert!(watch.killed_since(now));
            assert!(!watch.killed_since(now), "a kill answers for one child");
        }
        Ok(())
    }

    #[test]
    fn without_a_group_the_machine_counts() -> io::Result<()> {
        let (mut watch, [_sys, proc]) = fake("elsewhere/memory.events", "cgroup2 cgroup2 rw")?;
        fs::write(proc.path().join("vmstat"), "oom_kill 9\n")?;
        let now = Instant::now();
        assert!(watch.killed_since(now) && watch.killed_since(now), "two were killed");
        assert!(!watch.killed_since(now));
        Ok(())
    }

    #[test]
    fn a_kill_that_no_child_died_of_is_forgotten() -> io::Result<()> {
        let (mut watch, [sys, _proc]) = fake("a/memory.events", "cgroup2 cgroup2 rw")?;
        let now = Instant::now();
        fs::write(sys.path().join("a/memory.events"), "oom_kill 4\n")?;
        watch.look(now);
        assert!(!watch.killed_since(now + CLAIM_WITHIN * 2));
        fs::write(sys.path().join("a/memory.events"), "oom_kill 5\n")?;
        watch.look(now + CLAIM_WITHIN * 3);
        assert!(watch.killed_since(now + CLAIM_WITHIN * 4));
        Ok(())
    }

    #[test]
    fn nothing_to_watch_means_never() {
        let mut watch = OomWatch::start_in(Path::new("/nowhere"));
        assert!(!watch.killed_since(Instant::now()));
    }

    /// Takes memory without end: no line ends in there.
    fn glutton() -> Command {
        let mut tail = Command::new("tail");
        tail.arg("/dev/zero");
        tail
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "a test that cannot run here must say so")]
    fn a_real_kill_for_memory_is_told_from_a_plain_one() -> io::Result<()> {
        if std::env::var_os(INSIDE).is_some() {
            return inside();
        }
        let Some(group) = LimitedGroup::make() else {
            eprintln!("SKIPPED: no memory control group of version 1 can be made here");
            return Ok(());
        };
        let script = format!("echo $$ > {}/cgroup.procs; exec \"$0\" \"$@\"", group.0.display());
        let test = "memory::oom::tests::a_real_kill_for_memory_is_told_from_a_plain_one";
        let this = std::env::current_exe()?;
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(this)
            .args(["--exact", test])
            .env(INSIDE, "1")
            .output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        Ok(())
    }

    /// In a group with a limit, as a worker would be.
    fn inside() -> io::Result<()> {
        let mut watch = OomWatch::start();
        let mut sleeper = Command::new("sleep").arg("600").process_group(0).spawn()?;
        sleeper.kill()?;
        assert_eq!(sleeper.wait()?.signal(), Some(SIGKILL));
        assert!(!watch.killed_since(Instant::now()));
        assert_eq!(glutton().status()?.signal(), Some(SIGKILL));
        assert!(watch.killed_since(Instant::now()));
        assert!(!watch.killed_since(Instant::now()));
        Ok(())
    }

    /// A group that may use 128 MB, and goes when this does.
    struct LimitedGroup(PathBuf);

    impl LimitedGroup {
        fn make() -> Option<Self> {
            let folder = PathBuf::from(format!("/sys/fs/cgroup/memory/poolmap-test-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            fs::write(group.0.join("memory.limit_in_bytes"), "128M").ok()?;
            Some(group)
        }
    }

    impl Drop for LimitedGroup {
        fn drop(&mut self) {
            let _left_behind = fs::remove_dir(&self.0);
        }
    }
}
