//! A cluster on this machine, each process with a folder of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use poolmap_client::{Chunk, Client, Function, Job, JobSpec, NativeFunction, function};
use poolmap_proto::access::{Access, Role};
use poolmap_proto::transport::Route;
use poolmap_tests::language::{Line, Ran, Running};
use tempfile::TempDir;

// All the processes here are of the binary with functions of its own.
pub(crate) use poolmap_tests::language::native as poolmap;

/// A coordinator that runs. All its processes are killed if a test fails.
pub(crate) struct Cluster {
    coordinator: Option<Running>,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With these flags.
    pub(crate) fn start_with(flags: &str) -> Self {
        Self::start_in(TempDir::new().unwrap(), flags)
    }

    /// Where one has run before.
    pub(crate) fn start_in(folder: TempDir, flags: &str) -> Self {
        let line = poolmap("coordinator --listen 127.0.0.1:0 --folder")
            .arg(folder.path().join("state"))
            .words(flags);
        Self::serve(line, folder)
    }

    /// In the clear.
    pub(crate) fn start_insecure() -> Self {
        Self::serve(poolmap("coordinator --listen 127.0.0.1:0 --insecure"), TempDir::new().unwrap())
    }

    /// What a command line serves.
    pub(crate) fn serve(line: Line, folder: TempDir) -> Self {
        let mut coordinator = line.start();
        let mut said = String::new();
        BufReader::new(coordinator.stdout()).read_line(&mut said).unwrap();
        let address = said
            .split_once("listening at ")
            .and_then(|(_, rest)| rest.split([';', ',']).next()?.parse().ok());
        let Some(address) = address else { panic!("said {said:?}: {}", coordinator.ends().stderr()) };
        Self { coordinator: Some(coordinator), address, folder }
    }

    pub(crate) fn coordinator(&self) -> &Running {
        self.coordinator.as_ref().unwrap()
    }

    /// Its folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The access file that lies ready for a role.
    pub(crate) fn access_file(&self, role: Role) -> PathBuf {
        self.state().join(role.file_name())
    }

    pub(crate) fn access(&self, role: Role) -> Access {
        Access::read(&self.access_file(role), role).unwrap()
    }

    /// A place for a file of the test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `poolmap coordinator` beside the one that runs, in the same folder.
    pub(crate) fn operator(&self, words: &str) -> Line {
        poolmap("coordinator --folder").arg(self.state()).words(words)
    }

    pub(crate) fn worker(&self, words: &str) -> Line {
        poolmap("worker --access").arg(self.access_file(Role::Worker)).words(words)
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(Route::tls(&self.access(Role::Client)).unwrap().connect().await.unwrap())
    }

    /// Ends the coordinator as an operator would.
    pub(crate) fn stop(mut self) -> Ran {
        self.end()
    }

    /// The same, and keeps what it has written.
    pub(crate) fn into_folder(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }

    /// The same, killed.
    pub(crate) fn kill(mut self) -> TempDir {
        let coordinator = self.coordinator.take().unwrap();
        coordinator.send(Signal::SIGKILL);
        coordinator.ends();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }

    /// Waits until it has ended by itself, or after a signal.
    pub(crate) fn ends(mut self) -> Ran {
        self.coordinator.take().unwrap().ends()
    }

    /// The process alone.
    pub(crate) fn into_coordinator(mut self) -> Running {
        self.coordinator.take().unwrap()
    }

    fn end(&mut self) -> Ran {
        let coordinator = self.coordinator.take().unwrap();
        coordinator.send(Signal::SIGTERM);
        coordinator.ends().exits(0)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.coordinator.iter().for_each(Running::kill_all);
    }
}

/// Workers of a cluster, killed if a test fails.
pub(crate) struct Workers(pub(crate) Vec<Running>);

impl Workers {
    pub(crate) fn start<const N: usize>(lines: [Line; N]) -> Self {
        Self(lines.into_iter().map(Line::start).collect())
    }

    /// Waits until all have left by themselves.
    pub(crate) fn leave(mut self) -> Vec<Ran> {
        std::mem::take(&mut self.0).into_iter().map(|worker| worker.ends().exits(0)).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.iter().for_each(Running::kill_all);
    }
}

/// A job of a native function.
pub(crate) fn native(name: &str) -> JobSpec {
    let kind = function::Kind::Native(NativeFunction { name: name.to_owned() });
    JobSpec { function: Some(Function { kind: Some(kind) }), ..JobSpec::default() }
}

/// Gives a job all its tasks, and waits for all outcomes: the failed tasks, and the values of the others by index.
pub(crate) async fn run(job: &Job, payloads: Vec<String>) -> (usize, Vec<(u64, String)>) {
    let mut tasks = job.add_tasks();
    for some in payloads.chunks(100) {
        tasks.send(some.iter().collect::<Chunk>()).await.unwrap();
    }
    tasks.finish().await.unwrap();
    let (mut outcomes, mut failed, mut values) = (job.outcomes(), 0, Vec::new());
    while let Some(run) = outcomes.next().await.unwrap() {
        let mut begin = 0;
        for (index, length) in (run.first_index..).zip(&run.lengths) {
            let end = begin + *length as usize;
            values.push((index, String::from_utf8(run.values.slice(begin..end).to_vec()).unwrap()));
            begin = end;
        }
        failed += run.failures.len();
    }
    values.sort_unstable();
    (failed, values)
}
