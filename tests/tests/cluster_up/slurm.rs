//! A cluster whose workers a real Slurm runs.

use std::fs;

use poolmap_tests::language::{SOON, eventually};

use crate::slurm_daemons::{self, Slurm};
use crate::yard::{Yard, free_port};

/// Workers of a cpu each, in allocations of a minute.
fn cluster(yard: &Yard, keys: &str) {
    let port = free_port();
    yard.cluster(&format!(
        "[coordinator]\nlisten = \"127.0.0.1:{port}\"\nadvertise = [\"127.0.0.1:{port}\"]\n\
         [[workers]]\nlauncher = \"slurm\"\npartition = \"main\"\ntime = \"1:00\"\ncpus = 1\n{keys}"
    ));
}

/// What Slurm has that has not ended.
fn queue(yard: &Yard) -> Vec<String> {
    let output = yard.command("squeue").args(["-h", "--array", "--format=%T"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn workers_in_allocations_know_their_time_and_are_cancelled_at_the_end() {
    if !slurm_daemons::is_installed() {
        return;
    }
    let (_slurm, yard) = Slurm::start(2);
    cluster(&yard, "nodes = 2\narguments = [\"--comment=mine\"]\nenv = { TOLD = \"it's so\" }");
    let up = yard.poolmap("cluster up cluster.toml").succeeds();
    assert!(up.stdout.contains("is up: 2 workers, 2 slots"), "{}", up.stdout);
    for worker in yard.processes("poolmap worker").iter().filter(|worker| !is_front(**worker)) {
        let line = fs::read(format!("/proc/{worker}/cmdline")).unwrap();
        let line = String::from_utf8(line).unwrap();
        let limit = line.split('\0').find_map(|word| word.strip_prefix("--time-limit=")?.strip_suffix('s'));
        assert!(limit.is_some_and(|limit| (1..=60).contains(&limit.parse::<u64>().unwrap())), "{line}");
    }
    yard.write("f.py", "import os\ndef told(n):\n    return os.environ['TOLD']\n");
    yard.write("tasks.jsonl", "[1]\n");
    let ran = yard.poolmap("submit f.py:told tasks.jsonl --output value").succeeds();
    assert_eq!(ran.stdout, "it's so\n");
    assert_eq!(queue(&yard), ["RUNNING", "RUNNING"]);
    yard.down();
    eventually("Slurm has nothing left to do", SOON, || queue(&yard).is_empty().then_some(()));
}

/// Whether a process only waits for the worker that it has started.
fn is_front(process: nix::unistd::Pid) -> bool {
    nix::unistd::getsid(Some(process)) != Ok(process)
}

#[test]
fn tasks_that_wait_bring_workers_which_leave_when_idle() {
    if !slurm_daemons::is_installed() {
        return;
    }
    let (_slurm, yard) = Slurm::start(2);
    cluster(&yard, "nodes = 0\nmax-nodes = 2\nidle-timeout = \"1s\"");
    let up = yard.poolmap("cluster up cluster.toml").succeeds();
    assert!(up.stdout.contains("is up: 0 workers"), "{}", up.stdout);
    yard.write("f.py", "import time\ndef nap(n):\n    time.sleep(0.3)\n    return n\n");
    yard.write("tasks.jsonl", &"[0]\n".repeat(20));
    let submit = ["submit", "f.py:nap", "tasks.jsonl"];
    let mut job = yard.start(&poolmap_tests::programs::built().poolmap, &submit);
    eventually("both nodes have a worker", SOON, || (yard.states() == ["joined", "joined"]).then_some(()));
    assert!(job.wait().unwrap().success());
    eventually("they have left", SOON, || yard.states().is_empty().then_some(()));
    eventually("their allocations are given back", SOON, || queue(&yard).is_empty().then_some(()));
    yard.down();
}

#[test]
fn what_slurm_refuses_and_what_fails_in_an_allocation_is_told() {
    if !slurm_daemons::is_installed() {
        return;
    }
    let (_slurm, yard) = Slurm::start(1);
    cluster(&yard, "arguments = [\"--partition=nowhere\"]");
    yard.poolmap("cluster up cluster.toml")
        .exits(3)
        .says(&["slurm: sbatch: ", "invalid partition specified: nowhere"]);
    yard.leaves_nothing();
    cluster(&yard, "program = \"/no/such/poolmap\"");
    let ran = yard.poolmap("cluster up cluster.toml").exits(3);
    ran.says(&[
        "ended (FAILED, NonZeroExitCode) before its worker had joined",
        "/no/such/poolmap",
        "not found",
    ]);
    yard.leaves_nothing();
    eventually("Slurm has nothing left to do", SOON, || queue(&yard).is_empty().then_some(()));
}

#[test]
fn what_slurm_lets_wait_is_no_failure_and_is_cancelled_even_if_the_steward_was_killed() {
    if !slurm_daemons::is_installed() {
        return;
    }
    let (_slurm, yard) = Slurm::start(1);
    // Two cpus, of which a worker takes both.
    cluster(&yard, "nodes = 2\narguments = [\"--cpus-per-task=2\"]");
    let up = yard.poolmap("cluster up --timeout 5s cluster.toml").succeeds();
    assert!(
        up.stdout.contains("is up: 1 worker, ") && up.stdout.contains("1 more wait in Slurm's queue"),
        "{}",
        up.stdout
    );
    yard.kill("poolmap cluster steward");
    yard.poolmap("cluster down cluster.toml").succeeds();
    eventually("Slurm has nothing left to do", SOON, || queue(&yard).is_empty().then_some(()));
    yard.leaves_nothing();
}
