//! A cluster of hosts that ssh reaches.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use poolmap_tests::language::{SOON, eventually};

use crate::hosts::Hosts;
use crate::yard::Yard;

const THREE_HOSTS: &str = "\
[coordinator]
listen = \"0.0.0.0:7464\"

[[workers]]
launcher = \"ssh\"
hosts = [\"node1\", \"node2\", \"node3\"]
arguments = [\"-F\", \"ssh_config\"]
slots = 2
env = { TOLD = \"it's so\" }
";

/// The copies of poolmap on a host.
fn copies(yard: &Yard, number: u32) -> Vec<PathBuf> {
    let builds = fs::read_dir(Hosts::home(yard, number).join(".cache/poolmap"));
    builds
        .map(|builds| builds.flatten().map(|build| build.path().join("poolmap")).collect())
        .unwrap_or_default()
}

#[test]
fn three_hosts_get_poolmap_and_run_a_job() {
    let Some((_hosts, yard)) = Hosts::new(3) else { return };
    yard.cluster(THREE_HOSTS);
    let up = yard.poolmap("cluster up cluster.toml").succeeds();
    assert!(up.stdout.contains("is up: 3 workers, 6 slots"), "{}", up.stdout);
    let first: Vec<_> = (1..=3).flat_map(|number| copies(&yard, number)).collect();
    assert_eq!(first.len(), 3, "{first:?}");
    assert!(yard.processes("poolmap worker").len() >= 3);
    yard.write("f.py", "import os, socket, time\ndef where(n):\n    time.sleep(0.2)\n    return [socket.gethostname(), os.environ['TOLD']]\n");
    yard.write("tasks.jsonl", &"[0]\n".repeat(30));
    let ran = yard.poolmap("submit f.py:where tasks.jsonl --output value").succeeds();
    let places: BTreeSet<_> = ran.stdout.lines().collect();
    let wanted = (1..=3).map(|number| format!("[\"node{number}\",\"it's so\"]")).collect::<Vec<_>>();
    assert_eq!(places.into_iter().collect::<Vec<_>>(), wanted);
    yard.down();
    // What is there is not copied again.
    let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let before: Vec<_> = first.iter().map(inode).collect();
    yard.poolmap("cluster up cluster.toml").succeeds();
    assert_eq!(first.iter().map(inode).collect::<Vec<_>>(), before);
    yard.down();
}

#[test]
fn each_host_that_cannot_have_a_worker_is_named_with_its_reason() {
    let Some((hosts, yard)) = Hosts::new(3) else { return };
    hosts.cut(3);
    yard.cluster(
        "[coordinator]\nlisten = \"0.0.0.0:7464\"\n\
         [[workers]]\nlauncher = \"ssh\"\nhosts = [\"node1\", \"ghost\", \"node3\"]\narguments = [\"-F\", \"ssh_config\"]\n\
         [[workers]]\nlauncher = \"ssh\"\nhosts = [\"node2\"]\narguments = [\"-F\", \"ssh_config\"]\npython = \"/no/such/python\"\n",
    );
    let ran = yard.poolmap("cluster up cluster.toml").exits(3).says(&[
        "ghost: ssh cannot reach it: ssh: Could not resolve hostname ghost",
        "node3: ssh cannot reach it: ssh: connect to host 10.77.0.3 port 22",
        "node2: /no/such/python is no Python there (",
        "all that was started for it was stopped",
    ]);
    assert!(!ran.stderr.contains("node1:"), "{}", ran.stderr);
    yard.leaves_nothing();
    // What can be started may be kept.
    let ran = yard.poolmap("cluster up --keep cluster.toml").exits(3);
    assert!(ran.stdout.contains("is up: 1 worker, "), "{ran:?}");
    assert_eq!(yard.states(), ["joined", "lost", "lost", "lost"]);
    yard.down();
}

#[test]
fn workers_on_hosts_end_with_their_connection_and_with_the_cluster() {
    let Some((_hosts, yard)) = Hosts::new(2) else { return };
    yard.cluster(&THREE_HOSTS.replace(", \"node3\"", ""));
    yard.poolmap("cluster up cluster.toml").succeeds();
    let (connections, before) = (yard.processes("ssh "), yard.processes("poolmap worker"));
    assert_eq!(connections.len(), 2, "{connections:?}");
    nix::sys::signal::kill(connections[0], nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("one worker has ended, and another takes its place", SOON, || {
        let now = yard.processes("poolmap worker");
        let stayed = before.iter().filter(|worker| now.contains(worker)).count();
        let is_another = stayed < before.len() && now.len() == before.len();
        (is_another && yard.states() == ["joined", "joined"]).then_some(())
    });
    let status = yard.poolmap("cluster status cluster.toml").succeeds().stdout;
    assert!(status.contains(" joined: started again, since it"), "{status}");
    yard.kill("poolmap cluster steward");
    eventually("all have ended", SOON, || yard.own_processes().is_empty().then_some(()));
    assert_eq!(
        yard.poolmap("cluster down cluster.toml").succeeds().stdout,
        "the cluster cluster is not up\n"
    );
    yard.leaves_nothing();
}

#[test]
fn a_host_that_falls_silent_loses_its_worker_and_gets_another_when_it_is_back() {
    // Half a minute of silence, what it takes to notice that, and the longest wait until it is tried again.
    const SILENCE: Duration = Duration::from_secs(120);
    let Some((hosts, yard)) = Hosts::new(1) else { return };
    yard.cluster(&THREE_HOSTS.replace(", \"node2\", \"node3\"", ""));
    yard.poolmap("cluster up cluster.toml").succeeds();
    let before = yard.processes("poolmap worker");
    assert_eq!(before.len(), 1);
    hosts.cut(1);
    eventually("the worker has ended", SILENCE, || {
        (!yard.processes("poolmap worker").contains(&before[0])).then_some(())
    });
    eventually("it is told", SILENCE, || {
        let status = yard.poolmap("cluster status cluster.toml").succeeds().stdout;
        status.contains(" launched: started again, since ssh cannot reach it: ").then_some(())
    });
    hosts.restore(1);
    eventually("another worker has joined", SILENCE, || {
        (yard.processes("poolmap worker").len() == 1 && yard.states() == ["joined"]).then_some(())
    });
    yard.down();
}
