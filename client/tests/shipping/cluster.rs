//! A coordinator behind a socket, and workers that dial in, all in this process.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolmap_client::{
    ChildOptions, Chunk, Client, ClientError, Command, Function, Job, JobSpec, PythonFunction, ShippedFile,
    SourceFile, Transport, function,
};
use poolmap_coordinator::{Config, Coordinator, WorkersService};
use poolmap_proto::transport;
use poolmap_proto::v1::workers_server::WorkersServer;
use poolmap_worker::runtime::native::Registry;
use poolmap_worker::{ConnectError, Connector};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;

use crate::wire::Wire;

/// Far more than anything here takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually(mut is_so: impl FnMut() -> bool) {
    soon(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) wire: Wire,
    /// Of the tests: what they send along.
    pub(crate) home: TempDir,
    coordinator: Coordinator,
    folder: TempDir,
    server: JoinHandle<()>,
    workers: u32,
}

impl Cluster {
    pub(crate) async fn start(workers: u32) -> Self {
        Self::with(Config::default(), workers).await
    }

    pub(crate) async fn with(config: Config, workers: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let coordinator =
            Coordinator::start(Config { files_folder: Some(folder.path().join("coordinator")), ..config });
        let wire = Wire::new();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let mut services = transport::server().layer(wire.clone());
        let services = services.add_service(coordinator.jobs()).add_service(coordinator.workers());
        let services = services.add_service(coordinator.files());
        let server = tokio::spawn(async move {
            services.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        let client = Client::new(Transport::unix(&folder.path().join("socket")).await.unwrap());
        let home = tempfile::tempdir().unwrap();
        let cluster = Self { client, wire, home, coordinator, folder, server, workers };
        (0..workers).for_each(|number| cluster.attach(number));
        cluster
    }

    fn attach(&self, number: u32) {
        let socket = self.folder.path().join("socket");
        let connector = Connector::new(move || {
            let socket = socket.clone();
            async move { Transport::unix(&socket).await.map_err(|error| ConnectError::Refused(error.to_string())) }
        });
        let folder = self.worker_folder(number);
        std::fs::create_dir(&folder).unwrap();
        let (name, slots) = (format!("worker-{number}"), NonZeroU32::new(1).unwrap());
        let config = poolmap_worker::Config {
            folder: Some(folder),
            host: format!("host-{number}"),
            ..poolmap_worker::Config::new(name, slots, Registry::new().function("double", |x: i64| 2 * x))
        };
        tokio::spawn(poolmap_worker::run(config, connector, std::future::pending()));
    }

    fn worker_folder(&self, number: u32) -> PathBuf {
        self.folder.path().join(format!("worker-{number}"))
    }

    /// A connection of its own.
    pub(crate) async fn transport(&self) -> Transport {
        Transport::unix(&self.folder.path().join("socket")).await.unwrap()
    }

    /// What workers attach to, and nothing else.
    pub(crate) fn workers_only(&self) -> WorkersServer<WorkersService> {
        self.coordinator.workers()
    }

    /// Writes a file to the tests' home.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) async fn ship<P: AsRef<Path>>(&self, paths: &[P]) -> Vec<ShippedFile> {
        soon(self.client.ship(paths)).await.unwrap()
    }

    /// Runs a job to its end: its values, or why it did not run, or the messages of tasks that failed.
    pub(crate) async fn run(&self, spec: JobSpec, payloads: &[&str]) -> Result<Vec<String>, String> {
        let job = soon(self.client.submit(spec)).await.map_err(|error| error.to_string())?;
        send(&job, payloads).await.unwrap();
        self.values(&job).await
    }

    pub(crate) async fn values(&self, job: &Job) -> Result<Vec<String>, String> {
        let (mut outcomes, mut values) = (job.outcomes(), Vec::new());
        while let Some(run) = soon(outcomes.next()).await.unwrap() {
            if let Some(failure) = run.failures.first() {
                return Err(format!("{}\n{}", failure.message, failure.traceback));
            }
            for detail in &run.details {
                values.push(String::from_utf8(detail.stdout.to_vec()).unwrap());
            }
            let mut rest = &run.values[..];
            for length in run.lengths.iter().filter(|_| run.details.is_empty()) {
                values.push(String::from_utf8(rest.split_off(..*length as usize).unwrap().to_vec()).unwrap());
            }
        }
        let error = outcomes.end().unwrap().error.clone();
        if error.is_empty() { Ok(values) } else { Err(error) }
    }

    /// The folders that a worker has made for jobs.
    pub(crate) fn job_folders(&self, worker: u32) -> Vec<PathBuf> {
        let entries = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let is_called =
            |path: &Path, start: &str| path.file_name().unwrap().to_str().unwrap().starts_with(start);
        let own = entries(&self.worker_folder(worker)).into_iter();
        let roots = own.filter(|path| is_called(path, "poolmap-worker-")).flat_map(|own| entries(&own));
        let roots = roots.filter(|path| is_called(path, "poolmap-files-"));
        roots.flat_map(|root| entries(&root)).filter(|path| is_called(path, "job-")).collect()
    }

    /// Waits until all folders of jobs are gone.
    pub(crate) async fn until_tidy(&self) {
        eventually(|| (0..self.workers).all(|worker| self.job_folders(worker).is_empty())).await;
    }

    /// Ends the coordinator, and with it everything.
    pub(crate) async fn stop(self) {
        self.coordinator.stop().await;
        self.server.abort();
    }
}

pub(crate) async fn send(job: &Job, payloads: &[&str]) -> Result<(), ClientError> {
    let mut tasks = job.add_tasks();
    soon(tasks.send(payloads.iter().collect::<Chunk>())).await?;
    soon(tasks.finish()).await?;
    Ok(())
}

/// A job of a function in a file whose text is given.
pub(crate) fn python(source: &str, files: Vec<ShippedFile>) -> JobSpec {
    let content = source.as_bytes().to_vec().into();
    let source = Some(SourceFile { path: "/nowhere/tasks.py".to_owned(), content });
    python_of(PythonFunction { module: "tasks".to_owned(), name: "work".to_owned(), source }, files)
}

pub(crate) fn python_of(python: PythonFunction, files: Vec<ShippedFile>) -> JobSpec {
    let function = Some(Function { kind: Some(function::Kind::Python(python)) });
    JobSpec { function, files, child: Some(ChildOptions::default()), ..JobSpec::default() }
}

pub(crate) fn command(words: &[&str], files: Vec<ShippedFile>) -> JobSpec {
    let words = words.iter().map(|word| word.as_bytes().to_vec().into()).collect();
    let command = Command { words, replacement: b"{}".as_slice().into(), ..Command::default() };
    let function = Some(Function { kind: Some(function::Kind::Command(command)) });
    JobSpec { function, files, child: Some(ChildOptions::default()), ..JobSpec::default() }
}
