//! Memory that runs out: a real control group with a limit around the whole command.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use poolmap_tests::language::{Line, program};

use crate::scene::{TRACE, begun};

const EATS: &str = "
def eat(task):
    trace(task)
    if task == 4:
        kept = []
        while True: kept.append(b'x' * (1 << 20))
    time.sleep(0.02)
    return task
def share(task):
    trace(task)
    kept = []
    for _ in range(20):
        kept.append(b'x' * (10 << 20))
        time.sleep(0.05)
    time.sleep(0.2)
    return task
";

/// A memory control group of version 1, removed with this.
struct Group(PathBuf);

impl Group {
    /// Says so and gives none where it may not be made; where changes are checked it must be.
    fn limited_to(megabytes: u32) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("poolmap-failures-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from("/sys/fs/cgroup/memory").join(name);
        let made = fs::create_dir(&folder).map(|()| Self(folder)).and_then(|group| {
            fs::write(group.0.join("memory.limit_in_bytes"), format!("{megabytes}M")).map(|()| group)
        });
        let must = std::env::var_os("CI").is_some_and(|ci| ci == "true") && nix::unistd::geteuid().is_root();
        match made {
            Ok(group) => Some(group),
            Err(error) => {
                assert!(!must, "a memory control group cannot be made: {error}");
                println!("SKIPPED: no memory control group of version 1 can be made here: {error}");
                None
            }
        }
    }

    /// `poolmap run` of a function within the group.
    fn python(&self, words: &str) -> Line {
        let script = format!("echo $$ > {}/cgroup.procs; exec poolmap run \"$@\"", self.0.display());
        program("sh")
            .arg("-c")
            .arg(script)
            .words("poolmap")
            .words(words)
            .file("f.py", format!("{TRACE}{EATS}"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended, though the kernel may take a moment to notice.
        let _left_behind = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_task_that_eats_all_memory_is_out_of_memory_while_others_finish() {
    let Some(group) = Group::limited_to(250) else { return };
    let ran = group.python("-j2 f.py:eat --crash-limit 2").tasks(40).run().exits(1);
    let error = ran.error(4);
    assert_eq!((&error["kind"], &error["type"]), (&"out_of_memory".into(), &"SIGKILL".into()), "{error}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("out of memory") && message.contains("; peak memory "), "{message}");
    assert_eq!(ran.results().iter().filter(|result| result.get("value").is_some()).count(), 39);
}

#[test]
fn tasks_that_need_more_together_than_there_is_all_succeed_in_the_end() {
    let Some(group) = Group::limited_to(500) else { return };
    let ran = group.python("-j4 f.py:share --crash-limit 1").tasks(6).run().exits(0);
    assert_eq!(ran.values(), [0, 1, 2, 3, 4, 5]);
    let attempts: usize = begun(&ran).values().sum();
    assert!(attempts > 6, "some were evicted and ran again");
}
