//! A cluster on the hosts of a network: its services are real processes, each on its host.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use poolmap_tests::language::{SOON, eventually};
use poolmap_tests::network::{Host, Network};
use poolmap_tests::programs;
use serde_json::Value;
use tempfile::TempDir;

/// Work that leaves a trace: a line with the task and its attempt when it begins. Each task sleeps for so many milliseconds.
const WORK: &str = "
import os, socket, time
def work(task, ms):
    with open(os.environ['TRACE'], 'ab', buffering=0) as trace:
        trace.write(b'%d %s\\n' % (task, os.environ['POOLMAP_ATTEMPT'].encode()))
    time.sleep(ms / 1e3)
    return task * task
";

/// A coordinator on host 1 of a network, and workers on others.
pub(crate) struct Cluster {
    services: Vec<Service>,
    folder: TempDir,
    pub(crate) network: Network,
}

/// A process of the cluster.
struct Service {
    name: String,
    child: Child,
}

impl Cluster {
    /// Starts a coordinator that listens at this address of host 1.
    pub(crate) fn at(network: Network, address: &str, words: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("f.py"), WORK).unwrap();
        let mut cluster = Self { services: Vec::new(), folder, network };
        let host = cluster.network.host(1);
        let words = format!("coordinator --folder access --listen {address}:7464 {words}");
        cluster.start(&host, "coordinator", &words);
        let said = cluster.path("coordinator.out");
        eventually("the coordinator listens", SOON, || {
            fs::read_to_string(&said).is_ok_and(|said| said.contains('\n')).then_some(())
        });
        cluster
    }

    /// Starts a coordinator on host 1.
    pub(crate) fn of(network: Network, words: &str) -> Self {
        let address = network.host(1).address();
        Self::at(network, &address, words)
    }

    /// Starts a worker of one slot on a host, and waits until it has joined.
    pub(crate) fn worker(&mut self, host: u32, words: &str) {
        let name = format!("on-{host}");
        let host = self.network.host(host);
        let words = format!("worker --access access/worker.access --name {name} --slots 1 {words}");
        self.start(&host, &name, &words);
        eventually(&format!("{name} has joined"), SOON, || self.has_joined(&name).then_some(()));
    }

    pub(crate) fn has_joined(&self, name: &str) -> bool {
        let ready = |worker: &Value| worker["name"] == name && worker["state"] == "ready";
        self.workers().iter().any(ready)
    }

    /// What `poolmap workers` says.
    pub(crate) fn workers(&self) -> Vec<Value> {
        let output = self.command(1, "workers --json").output().unwrap();
        json_lines(&output)
    }

    fn start(&mut self, host: &Host, name: &str, words: &str) {
        let file = |kind: &str| File::create(self.path(&format!("{name}.{kind}"))).unwrap();
        let mut command = self.on(host, words);
        let child = command.stdout(file("out")).stderr(file("err")).stdin(Stdio::null()).spawn().unwrap();
        self.services.push(Service { name: name.to_owned(), child });
    }

    /// A client's command on a host.
    pub(crate) fn command(&self, host: u32, words: &str) -> Command {
        let mut command = self.on(&self.network.host(host), words);
        command.env("POOLMAP_ACCESS", "access/client.access").stdin(Stdio::null());
        command
    }

    /// Submits so many tasks that take so long each.
    pub(crate) fn submit(&self, host: u32, tasks: u32, ms: u32, words: &str) -> Command {
        let lines: Vec<_> = (0..tasks).map(|task| format!("[{task},{ms}]\n")).collect();
        fs::write(self.path("tasks.jsonl"), lines.concat()).unwrap();
        self.command(host, &format!("submit f.py:work tasks.jsonl {words}"))
    }

    fn on(&self, host: &Host, words: &str) -> Command {
        let mut command = host.command(&programs::built().poolmap);
        command.args(words.split_whitespace()).current_dir(&self.folder);
        command.env("PATH", programs::search_path()).env_remove("VIRTUAL_ENV");
        command.env("TRACE", self.path("trace")).env("XDG_STATE_HOME", self.path("state"));
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn kill(&mut self, name: &str, signal: Signal) {
        let service = self.services.iter().find(|service| service.name == name).unwrap();
        signal::kill(Pid::from_raw(service.child.id().cast_signed()), signal).unwrap();
    }

    /// Tasks that have begun so far, with their attempts, in order.
    pub(crate) fn begun(&self) -> Vec<(u64, u64)> {
        let trace = fs::read_to_string(self.path("trace")).unwrap_or_default();
        let number = |text: &str| text.parse().unwrap();
        trace.lines().map(|line| line.split_once(' ').unwrap()).map(|(a, b)| (number(a), number(b))).collect()
    }

    pub(crate) fn eventually_begun(&self, count: usize) {
        eventually(&format!("{count} tasks have begun"), SOON, || {
            (self.begun().len() >= count).then_some(())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ended = service.child.kill();
            let _ended = service.child.wait();
            if std::thread::panicking() {
                println!(
                    "{}:\n{}",
                    service.name,
                    fs::read_to_string(self.folder.path().join(format!("{}.err", service.name)))
                        .unwrap_or_default()
                );
            }
        }
    }
}

/// Checks that a job gave each of so many tasks its value, once.
pub(crate) fn assert_squares(output: &Output, tasks: u64) {
    let error = String::from_utf8_lossy(&output.stderr);
    let mut results: Vec<_> = json_lines(output)
        .iter()
        .map(|line| (line["index"].as_u64().unwrap(), line["value"].as_u64()))
        .collect();
    results.sort_unstable();
    let wanted: Vec<_> = (0..tasks).map(|task| (task, Some(task * task))).collect();
    assert_eq!(results, wanted, "{error}");
    assert_eq!(output.status.code(), Some(0), "{error}");
}

pub(crate) fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
