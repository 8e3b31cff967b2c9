//! A cluster over several hosts whose network fails in the ways that networks do: every task has one outcome all the same.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![expect(
    clippy::print_stdout,
    reason = "what a test skips, or what services said before it failed, must be seen"
)]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

mod cluster;
mod wire;

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use poolmap_tests::language::{SOON, eventually};
use poolmap_tests::network::Network;

use crate::cluster::{Cluster, assert_squares, json_lines};
use crate::wire::Wire;

/// A cluster of a coordinator on host 1 and a worker on each of the others.
fn cluster(hosts: u32, words: &str) -> Option<Cluster> {
    let mut cluster = Cluster::of(Network::of(hosts)?, words);
    (2..=hosts).for_each(|host| cluster.worker(host, ""));
    Some(cluster)
}

fn start(mut command: std::process::Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_job_runs_on_all_hosts() {
    let Some(cluster) = cluster(3, "") else { return };
    let output = cluster.submit(1, 40, 20, "--details").output().unwrap();
    let results = json_lines(&output);
    let workers: BTreeSet<_> = results.iter().map(|result| result["worker"].as_str().unwrap()).collect();
    assert_eq!(workers, BTreeSet::from(["on-2", "on-3"]));
    assert_squares(&output, 40);
}

#[test]
fn after_a_short_cut_of_a_workers_link_no_task_has_run_twice() {
    let Some(cluster) = cluster(3, "") else { return };
    let job = start(cluster.submit(1, 150, 100, ""));
    cluster.eventually_begun(20);
    cluster.network.cut_for(2, Duration::from_secs(5));
    assert_squares(&job.wait_with_output().unwrap(), 150);
    let mut begun = cluster.begun();
    begun.sort_unstable();
    assert_eq!(begun, (0..150).map(|task| (task, 1)).collect::<Vec<_>>());
    assert!(cluster.has_joined("on-2"));
}

#[test]
fn after_a_long_cut_the_tasks_have_run_elsewhere_and_the_worker_comes_back() {
    let Some(cluster) = cluster(3, "--worker-timeout 2s") else { return };
    let job = start(cluster.submit(1, 100, 50, ""));
    cluster.eventually_begun(20);
    cluster.network.cut(2);
    assert_squares(&job.wait_with_output().unwrap(), 100);
    assert!(!cluster.has_joined("on-2"));
    cluster.network.restore(2);
    eventually("the worker is back", SOON, || cluster.has_joined("on-2").then_some(()));
}

#[test]
fn tasks_of_a_killed_worker_run_elsewhere_and_another_takes_its_place() {
    let Some(mut cluster) = cluster(3, "") else { return };
    let job = start(cluster.submit(1, 100, 50, ""));
    cluster.eventually_begun(20);
    cluster.kill("on-2", Signal::SIGKILL);
    cluster.worker(2, "");
    assert_squares(&job.wait_with_output().unwrap(), 100);
    assert!(cluster.begun().len() <= 101, "only the task that ran has run again");
}

#[test]
fn everybody_survives_a_cut_of_the_coordinators_link() {
    let Some(cluster) = cluster(4, "") else { return };
    let job = start(cluster.submit(4, 150, 50, ""));
    cluster.eventually_begun(20);
    cluster.network.cut_for(1, Duration::from_secs(3));
    assert_squares(&job.wait_with_output().unwrap(), 150);
    let begun: BTreeSet<_> = cluster.begun().into_iter().collect();
    assert_eq!((begun.len(), cluster.begun().len()), (150, 150), "none has run twice");
}

#[test]
fn a_client_that_goes_away_takes_its_job_along_unless_it_was_detached() {
    let Some(cluster) = cluster(2, "") else { return };
    let mut streamed = start(cluster.submit(1, 10_000, 20, ""));
    cluster.eventually_begun(5);
    streamed.kill().unwrap();
    streamed.wait().unwrap();
    let detached = cluster.submit(1, 30, 10, "--detach").output().unwrap();
    let id = String::from_utf8(detached.stdout).unwrap();
    let results = cluster.command(1, &format!("results {id}")).output().unwrap();
    assert_squares(&results, 30);
    let again = cluster.command(1, &format!("results {id}")).output().unwrap();
    assert_squares(&again, 30);
    let is_stopped = || {
        let jobs = json_lines(&cluster.command(1, "jobs --json").output().unwrap());
        let first = jobs.iter().find(|job| job["id"] == 1).cloned();
        first.is_none_or(|job| job["state"] == "stopped").then_some(())
    };
    eventually("the job of the client that went away is stopped", SOON, is_stopped);
}

#[test]
fn a_slow_and_lossy_wire_changes_no_outcome() {
    let Some(network) = Network::of(2) else { return };
    let _wire = Wire::between(&network.host(1), "10.78.0.1", &network.host(2), "10.78.0.2", "20 10 0.02");
    let mut cluster = Cluster::at(network, "10.78.0.1", "");
    cluster.worker(2, "");
    assert_squares(&cluster.submit(1, 400, 1, "").output().unwrap(), 400);
    assert_eq!(cluster.begun().len(), 400);
}
