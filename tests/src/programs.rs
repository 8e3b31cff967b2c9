//! The programs that the tests run: the binaries of this workspace, and the Python beside them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The binaries under test.
pub struct Built {
    /// `poolmap` itself.
    pub poolmap: PathBuf,
    /// The same with the functions of `tests/src/main.rs`, which cargo builds for the tests beside it.
    pub native: PathBuf,
    /// The same with the functions of `examples/native`.
    pub example: PathBuf,
}

/// Top folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Builds those of other packages, which is quick if they are there: cargo builds no binaries of other packages for a test.
pub fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "poolmap", "-p", "poolmap-example-native"]);
        cargo.args(profile.ends_with("release").then_some("--release"));
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        let status = cargo.current_dir(root()).status().unwrap();
        assert!(status.success(), "cargo build: {status}");
        Built {
            poolmap: profile.join("poolmap"),
            native: profile.join("poolmap-test-native"),
            example: profile.join("poolmap-example-native"),
        }
    })
}

/// The interpreter behind `python3`. A wrapper script in front of it would cost each test its time.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let output =
            Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// The search path with that interpreter, and the binaries under test, before all others.
pub fn search_path() -> OsString {
    let own = [built().poolmap.parent().unwrap(), interpreter().parent().unwrap()].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap()
}

/// Whether the interpreter has numpy. It must have it where changes are checked; elsewhere a test does without.
pub fn has_numpy() -> bool {
    let status = Command::new(interpreter()).args(["-c", "import numpy"]).output().unwrap().status;
    assert!(status.success() || std::env::var_os("CI").is_none(), "numpy is missing");
    if !status.success() {
        println!("skipped: {} has no numpy", interpreter().display());
    }
    status.success()
}
