//! Finds or builds everything that a row needs: poolmap's binaries, an interpreter with the peers in it, the C program, the command-line peers.
//!
//! A peer that cannot be had is an error kept in its field: its line of the table then says why.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::report::say;

/// Slots, worker processes, loops: two of each, everywhere.
pub(crate) const SLOTS: usize = 2;

/// What the rows are made of.
pub(crate) struct Tools {
    pub(crate) poolmap: Result<PathBuf>,
    /// The binary of `examples/native`, which has `native:do_work`.
    pub(crate) native: Result<PathBuf>,
    /// The program that calls poolmap through the client library.
    pub(crate) latency: Result<PathBuf>,
    /// Of the venv: used by all Python peers and given to poolmap.
    pub(crate) python: PathBuf,
    /// Of the Python package, which that interpreter has.
    pub(crate) wheel: Result<PathBuf>,
    pub(crate) parallel: Result<PathBuf>,
    pub(crate) xargs: Result<PathBuf>,
    pub(crate) spawn_loops: Result<PathBuf>,
    /// The peers' programs.
    pub(crate) peers: PathBuf,
    /// Where rows put interpreters for peers of their own.
    pub(crate) venvs: PathBuf,
    /// Inputs and results, emptied at each start.
    pub(crate) scratch: PathBuf,
    is_quick: bool,
}

impl Tools {
    /// So many tasks, or a tenth of them in a quick run.
    pub(crate) fn tasks(&self, full: usize) -> usize {
        if self.is_quick { full / 10 } else { full }
    }
}

/// A tool's path, or why there is none, for one contender.
pub(crate) fn need(tool: &Result<PathBuf>) -> Result<&PathBuf> {
    tool.as_ref().map_err(|missing| anyhow!("{missing:#}"))
}

/// Builds, installs and finds all tools. `home` is the folder of this crate.
pub(crate) fn prepare(home: &Path, binaries: Option<&Path>, is_quick: bool) -> Result<Tools> {
    let owned = home.join(".peers");
    let scratch = owned.join("scratch");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let python = venv(&owned.join("venv"), &["joblib", "numpy", "cloudpickle"])?;
    let binaries = match binaries {
        Some(folder) => folder.canonicalize().with_context(|| format!("looking for {}", folder.display()))?,
        None => build(home, &python)?,
    };
    let peers = home.join("peers");
    Ok(Tools {
        poolmap: existing(binaries.join("poolmap")),
        native: existing(binaries.join("poolmap-example-native")),
        latency: existing(binaries.join("latency")),
        wheel: install_wheel(&python, &binaries),
        python,
        parallel: on_path("parallel").or_else(|_| install_parallel()),
        xargs: on_path("xargs"),
        spawn_loops: compile(&peers.join("spawn_loops.c"), &owned.join("spawn_loops")),
        peers,
        venvs: owned,
        scratch,
        is_quick,
    })
}

/// The program's path as the shell would find it.
pub(crate) fn on_path(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .context("not installed")
}

fn existing(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.is_file(), "not built");
    Ok(path)
}

/// Builds what is measured, and tells the folder it lies in.
fn build(home: &Path, python: &Path) -> Result<PathBuf> {
    say("building poolmap …")?;
    let packages = "build --release --quiet -p poolmap -p poolmap-example-native -p poolmap-bench";
    // Beside this very program, wherever the user's target folder is.
    let this = std::env::current_exe()?;
    let target = this.parent().and_then(Path::parent).context("this program lies in no target folder")?;
    run(Command::new(env!("CARGO"))
        .args(packages.split(' '))
        .current_dir(home)
        .env("CARGO_TARGET_DIR", target))?;
    let wheel = home.join("../python/build");
    run(Command::new(wheel).env("CARGO_TARGET_DIR", target).env("PYTHON", python))?;
    Ok(target.join("release"))
}

/// The interpreter of a venv that has these packages, made at the first start. They are imported by their names, whatever version is asked for.
pub(crate) fn venv(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    let modules: Vec<_> = packages.iter().filter_map(|package| package.split("==").next()).collect();
    let has_peers = Command::new(&python).arg("-c").arg(format!("import {}", modules.join(", "))).output();
    if has_peers.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    say(&format!("installing {} …", packages.join(" and ")))?;
    let real = run(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]))?;
    run(Command::new(&real).args(["-m", "venv", "--clear"]).arg(folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))?;
    Ok(python)
}

/// Installs the package that was built with the binaries.
fn install_wheel(python: &Path, binaries: &Path) -> Result<PathBuf> {
    let folder = binaries.with_file_name("wheels");
    let files = fs::read_dir(&folder).map_err(|_| anyhow!("not built"))?.flatten();
    let is_ours = |path: &Path| path.extension().is_some_and(|extension| extension == "whl");
    let wheel = files.map(|file| file.path()).find(|path| is_ours(path)).context("not built")?;
    let install = ["-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps"];
    run(Command::new(python).args(install).arg(&wheel))?;
    Ok(wheel)
}

fn install_parallel() -> Result<PathBuf> {
    ensure!(nix::unistd::geteuid().is_root(), "not installed");
    say("installing GNU parallel …")?;
    let install = Command::new("apt-get").args(["install", "--yes", "--quiet", "parallel"]).output();
    ensure!(install.is_ok_and(|output| output.status.success()), "not installed");
    on_path("parallel")
}

fn compile(source: &Path, program: &Path) -> Result<PathBuf> {
    run(Command::new("cc").arg("-O2").arg("-o").arg(program).arg(source))?;
    Ok(program.to_owned())
}

/// What a helper command prints, without the end of line.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
