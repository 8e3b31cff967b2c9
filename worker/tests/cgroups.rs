//! Detection inside real control groups, where this user may make some (version 1; for version 2 see the tests
//! of `sizing::quota`, which read folders of their own).
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "how tests talk to their parents and to people"
)]

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use poolmap_worker::sizing::detect;

const PREFIX: &str = "cpus here: ";

/// The others start this one inside their groups.
#[test]
fn a_process_tells_its_cpus() {
    println!("\n{PREFIX}{}", detect::cpus());
}

/// A control group, removed with its child group when dropped.
struct Group(PathBuf);

impl Group {
    /// Makes a group in a version 1 hierarchy, with these settings.
    fn make(controller: &str, name: &str, settings: &[(&str, &str)]) -> io::Result<Self> {
        let name = format!("poolmap-test-{}-{name}", std::process::id());
        let folder = Path::new("/sys/fs/cgroup").join(controller).join(name);
        fs::create_dir(&folder)?;
        let group = Self(folder);
        for (file, value) in settings {
            fs::write(group.0.join(file), value)?;
        }
        Ok(group)
    }

    fn with_quota(name: &str, quota_us: &str) -> io::Result<Self> {
        Self::make("cpu", name, &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", quota_us)])
    }

    /// What a process in this group's `below` detects.
    fn cpus(&self, below: &str) -> Result<u32, Box<dyn Error>> {
        let folder = self.0.join(below);
        fs::create_dir_all(&folder)?;
        let enter_and_run = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        let output = Command::new("sh")
            .args(["-c", enter_and_run])
            .arg(&folder)
            .arg(std::env::current_exe()?)
            .args(["--exact", "a_process_tells_its_cpus", "--nocapture"])
            .output()?;
        let stdout = String::from_utf8(output.stdout)?;
        let cpus = stdout.lines().find_map(|line| line.strip_prefix(PREFIX));
        Ok(cpus.ok_or("the child said nothing")?.parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let below = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        for folder in below.filter(|path| path.is_dir()).chain([self.0.clone()]) {
            if let Err(error) = fs::remove_dir(&folder) {
                eprintln!("left behind {}: {error}", folder.display());
            }
        }
    }
}

/// The group, or a word that the test is skipped.
fn or_skip(group: io::Result<Group>) -> Option<Group> {
    group.inspect_err(|error| eprintln!("skipped: cannot make a control group here: {error}")).ok()
}

#[test]
fn half_a_processor_counts_as_one() -> Result<(), Box<dyn Error>> {
    let Some(group) = or_skip(Group::with_quota("half", "50000")) else { return Ok(()) };
    assert_eq!(group.cpus("")?, 1);
    Ok(())
}

#[test]
fn one_and_a_half_processors_count_as_two() -> Result<(), Box<dyn Error>> {
    let Some(group) = or_skip(Group::with_quota("three-halves", "150000")) else { return Ok(()) };
    assert_eq!(group.cpus("")?, detect::cpus().get().min(2));
    Ok(())
}

#[test]
fn a_quota_on_a_group_above_counts() -> Result<(), Box<dyn Error>> {
    let Some(group) = or_skip(Group::with_quota("above", "100000")) else { return Ok(()) };
    assert_eq!(group.cpus("below")?, 1);
    Ok(())
}

#[test]
fn a_set_of_one_processor_counts() -> Result<(), Box<dyn Error>> {
    let settings = [("cpuset.cpus", "0"), ("cpuset.mems", "0")];
    let Some(group) = or_skip(Group::make("cpuset", "set", &settings)) else { return Ok(()) };
    assert_eq!(group.cpus("")?, 1);
    Ok(())
}
