//! A place for one cluster: its files, and all processes that were started for it.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use poolmap_tests::language::{SOON, eventually};
use poolmap_tests::processes::Marker;
use poolmap_tests::programs;
use serde_json::Value;
use tempfile::TempDir;

/// A port of this machine that nobody uses.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The folder of a test, and what runs for it.
pub(crate) struct Yard {
    folder: TempDir,
    marker: Marker,
    /// Words before each command line: a namespace to run it in.
    inside: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Yard {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            marker: Marker::unique(),
            inside: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// All commands from now on run at this place.
    pub(crate) fn inside(mut self, words: &[&str]) -> Self {
        self.inside = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// An environment variable that only what belongs to this test has.
    pub(crate) fn mark(&self) -> (&str, &str) {
        (Marker::NAME, self.marker.value())
    }

    /// A cluster file, and this test's name for the cluster.
    pub(crate) fn cluster(&self, content: &str) -> PathBuf {
        self.write("cluster.toml", content)
    }

    /// Any program, with the surroundings of this test.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut words = self.inside.iter().map(OsStr::new).chain([program.as_ref()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(self.folder.path());
        command.env("XDG_STATE_HOME", self.path("state")).env(Marker::NAME, self.marker.value());
        command.env("PATH", programs::search_path()).env_remove("VIRTUAL_ENV").env_remove("POOLMAP_ACCESS");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A poolmap command line, in words separated by spaces.
    pub(crate) fn poolmap(&self, words: &str) -> Ran {
        let output = self.command(&programs::built().poolmap).args(words.split(' ')).output().unwrap();
        Ran {
            words: words.to_owned(),
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts something that runs beside the test.
    pub(crate) fn start(&self, program: impl AsRef<OsStr>, words: &[&str]) -> Child {
        let mut command = self.command(program);
        command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What `status` says.
    pub(crate) fn status(&self) -> Value {
        let ran = self.poolmap("cluster status --json cluster.toml");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
    }

    /// The states of all workers.
    pub(crate) fn states(&self) -> Vec<String> {
        let status = self.status();
        let groups = status["groups"].as_array().cloned().unwrap_or_default();
        let workers =
            groups.iter().flat_map(|group| group["workers"].as_array().cloned().unwrap_or_default());
        workers.map(|worker| worker["state"].as_str().unwrap().to_owned()).collect()
    }

    /// Processes of poolmap and of its children, wherever they run.
    pub(crate) fn own_processes(&self) -> Vec<Pid> {
        let is_own = |process: &Pid| {
            let program = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
            let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("poolmap") || name.starts_with("python")
        };
        self.marker.processes().into_iter().filter(is_own).collect()
    }

    /// Processes of the cluster whose command line begins with these words.
    pub(crate) fn processes(&self, words: &str) -> Vec<Pid> {
        let begins = |process: &Pid| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").starts_with(words)
        };
        self.marker.processes().into_iter().filter(begins).collect()
    }

    pub(crate) fn kill(&self, words: &str) {
        for process in self.processes(words) {
            signal::kill(process, Signal::SIGKILL).unwrap();
        }
    }

    /// Takes the cluster down, and sees to it that nothing of it is left but the coordinator's own folder.
    pub(crate) fn down(&self) {
        let ran = self.poolmap("cluster down cluster.toml").succeeds();
        assert!(ran.stdout.contains("is down"), "{ran:?}");
        self.leaves_nothing();
    }

    /// Fails if any process or file of a cluster is left.
    pub(crate) fn leaves_nothing(&self) {
        eventually("all processes of the cluster have ended", SOON, || {
            self.own_processes().is_empty().then_some(())
        });
        let clusters = self.path("state/poolmap/clusters");
        let left = fs::read_dir(clusters).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "folders of clusters are left");
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.marker.kill_all();
    }
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    words: String,
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    pub(crate) fn succeeds(self) -> Self {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{}: {}", self.words, self.stdout);
        self
    }

    /// Fails unless it said all of these.
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "it did not say '{word}': {}", self.stderr);
        }
        self
    }
}

/// Whether this machine can do something that a test needs. Where changes are checked it must.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn is_there(what: &str, there: bool) -> bool {
    assert!(there || std::env::var_os("CI").is_none(), "{what}: not here");
    if !there {
        println!("skipped: {what}: not here");
    }
    there
}

/// Whether all these programs are installed.
pub(crate) fn has_programs(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
    let missing = programs.iter().find(|program| folders.iter().all(|folder| !folder.join(program).exists()));
    is_there(missing.unwrap_or(&""), missing.is_none())
}

/// A file of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    programs::root().join(Path::new(path))
}
