//! What a process detects under a real affinity mask, and inside real control groups where this user may make some
//! (version 1; for version 2 see the tests of `sizing::quota`, which read folders of their own).
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "how a test answers the process that started it")]

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use poolmap_worker::sizing::detect;

const PREFIX: &str = "cpus here: ";

/// The others start this one, in a process of its own.
#[test]
fn a_process_tells_its_cpus() {
    println!("\n{PREFIX}{}", detect::cpus());
}

/// What a process detects that this command, given a program to run, starts.
fn cpus_under(command: &mut Command) -> Result<u32, Box<dyn Error>> {
    command.arg(std::env::current_exe()?).args(["--exact", "a_process_tells_its_cpus", "--nocapture"]);
    let stdout = String::from_utf8(command.output()?.stdout)?;
    let cpus = stdout.lines().find_map(|line| line.strip_prefix(PREFIX));
    Ok(cpus.ok_or("the process said nothing")?.parse()?)
}

/// Number of a processor that this process may use.
fn a_processor() -> Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    Ok(list.ok_or("no list of processors")?.trim().chars().take_while(char::is_ascii_digit).collect())
}

/// A control group; it and the one below it are removed when dropped.
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

    /// What a process in this group detects.
    fn cpus(&self) -> Result<u32, Box<dyn Error>> {
        cpus_inside(&self.0)
    }

    /// What a process in a group below this one detects.
    fn cpus_below(&self) -> Result<u32, Box<dyn Error>> {
        let below = self.below();
        fs::create_dir(&below)?;
        cpus_inside(&below)
    }

    fn below(&self) -> PathBuf {
        self.0.join("below")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let below = Some(self.below()).filter(|folder| folder.exists());
        for folder in below.iter().chain([&self.0]) {
            if let Err(error) = fs::remove_dir(folder) {
                say(format_args!("left behind {}: {error}", folder.display()));
            }
        }
    }
}

fn cpus_inside(folder: &Path) -> Result<u32, Box<dyn Error>> {
    let enter = OsStr::new(r#"echo $$ > "$0/cgroup.procs" && exec "$@""#);
    cpus_under(Command::new("sh").args([OsStr::new("-c"), enter, folder.as_os_str()]))
}

/// The group, or a word that the test is skipped.
fn or_skip(group: io::Result<Group>) -> Option<Group> {
    group.inspect_err(|error| say(format_args!("skipped, no control group can be made here: {error}"))).ok()
}

/// Says something that shows although the test passes.
fn say(word: impl Display) {
    let _not_heard = writeln!(io::stderr(), "{word}");
}

#[test]
fn an_affinity_mask_of_one_processor_counts() -> Result<(), Box<dyn Error>> {
    assert_eq!(cpus_under(Command::new("taskset").args(["--cpu-list", &a_processor()?]))?, 1);
    Ok(())
}

#[test]
fn half_a_processor_counts_as_one() -> Result<(), Box<dyn Error>> {
    let Some(group) = or_skip(Group::with_quota("half", "50000")) else { return Ok(()) };
    assert_eq!(group.cpus()?, 1);
    Ok(())
}

#[test]
fn one_and_a_half_processors_count_as_two() -> Result<(), Box<dyn Error>> {
    let Some(free) = or_skip(Group::make("cpu", "free", &[])) else { return Ok(()) };
    let group = Group::with_quota("three-halves", "150000")?;
    assert_eq!(group.cpus()?, free.cpus()?.min(2));
    Ok(())
}

#[test]
fn a_quota_on_a_group_above_counts() -> Result<(), Box<dyn Error>> {
    let Some(group) = or_skip(Group::with_quota("above", "100000")) else { return Ok(()) };
    assert_eq!(group.cpus_below()?, 1);
    Ok(())
}

#[test]
fn a_set_of_one_processor_counts() -> Result<(), Box<dyn Error>> {
    let settings = [("cpuset.cpus", &*a_processor()?), ("cpuset.mems", "0")];
    let Some(group) = or_skip(Group::make("cpuset", "set", &settings)) else { return Ok(()) };
    assert_eq!(group.cpus()?, 1);
    Ok(())
}
