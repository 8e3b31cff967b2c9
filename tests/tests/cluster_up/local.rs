//! A cluster on this machine.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use poolmap_tests::language::{SOON, eventually};

use crate::yard::{Yard, free_port, project};

/// A cluster of two workers with one slot each.
fn two_workers() -> Yard {
    let yard = Yard::new();
    yard.cluster(&format!(
        "[coordinator]\nlisten = \"127.0.0.1:{}\"\n[[workers]]\nlauncher = \"local\"\ncount = 2\nslots = 1\nenv = {{ TOLD = \"it's so\" }}",
        free_port()
    ));
    yard
}

#[test]
fn up_submit_down_as_the_readme_has_it() {
    let yard = Yard::new();
    // The example itself, but for its port: other tests run beside this one.
    let example = std::fs::read_to_string(project("examples/cluster-local.toml")).unwrap();
    yard.cluster(&format!("[coordinator]\nlisten = \"127.0.0.1:{}\"\n{example}", free_port()));
    let up = yard.poolmap("cluster up cluster.toml").succeeds();
    assert!(up.stdout.starts_with("the cluster cluster is up: 2 workers, "), "{}", up.stdout);
    let (function, input) = (project("examples/pokemon.py"), project("examples/pokemon.jsonl"));
    let ran = yard.poolmap(&format!("submit {}:do_work {}", function.display(), input.display())).succeeds();
    let mut lines: Vec<_> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            r#"{"index":0,"value":"Pokemon#245"}"#,
            r#"{"index":1,"value":"Pokemon#250"}"#,
            r#"{"index":2,"value":"Pokemon#380"}"#,
            r#"{"index":3,"value":"Pokemon#381"}"#,
        ]
    );
    yard.down();
}

#[test]
fn a_cluster_is_started_once_and_is_down_after_it_was_taken_down() {
    let yard = two_workers();
    assert_eq!(
        yard.poolmap("cluster status cluster.toml").exits(3).stdout,
        "the cluster cluster is not up\n"
    );
    yard.poolmap("cluster up cluster.toml").succeeds();
    let again = yard.poolmap("cluster up cluster.toml").succeeds();
    assert!(again.stdout.contains("is up already: 2 workers, 2 slots"), "{}", again.stdout);
    assert_eq!(yard.processes("poolmap worker").len(), 2);
    let status = yard.poolmap("cluster status cluster.toml").succeeds();
    assert!(status.stdout.contains("local            local  2 of 2 joined, 2 slots\n"), "{}", status.stdout);
    yard.down();
    assert_eq!(
        yard.poolmap("cluster down cluster.toml").succeeds().stdout,
        "the cluster cluster is not up\n"
    );
    assert_eq!(yard.status()["up"], false);
}

#[test]
fn a_job_that_runs_comes_to_its_end_before_the_cluster_is_down() {
    let yard = two_workers();
    yard.poolmap("cluster up cluster.toml").succeeds();
    yard.write(
        "f.py",
        "import pathlib, time\ndef nap(path):\n    pathlib.Path(path).touch()\n    time.sleep(1)\n    return 'rested'\n",
    );
    let begun = yard.path("begun");
    yard.write("tasks.jsonl", &format!("[\"{}\"]\n", begun.display()));
    let mut submit = yard.command(&poolmap_tests::programs::built().poolmap);
    let job = submit.args(["submit", "f.py:nap", "tasks.jsonl"]).spawn().unwrap();
    eventually("the task has begun", SOON, || begun.exists().then_some(()));
    yard.down();
    let output = job.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"index\":0,\"value\":\"rested\"}\n");
    assert!(output.status.success());
}

#[test]
fn its_folder_is_private_and_workers_have_their_environment() {
    let yard = two_workers();
    yard.poolmap("cluster up cluster.toml").succeeds();
    let mode = std::fs::metadata(yard.path("state/poolmap/clusters/cluster")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let worker = yard.processes("poolmap worker")[0];
    let environment = std::fs::read(format!("/proc/{worker}/environ")).unwrap();
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == b"TOLD=it's so"));
    yard.down();
}

#[test]
fn a_worker_that_dies_is_started_again_and_the_others_stay() {
    let yard = two_workers();
    yard.poolmap("cluster up cluster.toml").succeeds();
    let before = yard.processes("poolmap worker");
    signal::kill(before[0], Signal::SIGKILL).unwrap();
    eventually("it is told", SOON, || {
        let status = yard.poolmap("cluster status cluster.toml").succeeds().stdout;
        status.contains(": started again, since it ended with exit status: 137\n").then_some(())
    });
    eventually("another one has joined in its place", SOON, || {
        let now = yard.processes("poolmap worker");
        let is_another = now.len() == 2 && !now.contains(&before[0]) && now.contains(&before[1]);
        (is_another && yard.states() == ["joined", "joined"]).then_some(())
    });
    let status = yard.poolmap("cluster status cluster.toml").succeeds().stdout;
    assert!(status.contains(" 2 of 2 joined, 2 slots\n"), "{status}");
    assert!(status.contains(" joined: started again, since it ended with exit status: 137\n"), "{status}");
    yard.down();
}

#[test]
fn a_worker_that_was_drained_is_not_started_again() {
    let yard = two_workers();
    yard.poolmap("cluster up cluster.toml").succeeds();
    yard.poolmap("drain local-1").succeeds();
    eventually("it has left", SOON, || (yard.states() == ["lost", "joined"]).then_some(()));
    let status = yard.poolmap("cluster status cluster.toml").succeeds().stdout;
    assert!(status.contains("  local-1 lost: it has left\n"), "{status}");
    yard.down();
}

#[test]
fn nothing_survives_the_steward_or_the_coordinator() {
    for victim in ["poolmap cluster steward", "poolmap coordinator"] {
        let yard = two_workers();
        yard.poolmap("cluster up cluster.toml").succeeds();
        yard.kill(victim);
        eventually("all have ended", SOON, || yard.own_processes().is_empty().then_some(()));
        let status = yard.poolmap("cluster status cluster.toml").exits(3);
        assert!(status.stdout.starts_with("the cluster cluster is not up"), "{}", status.stdout);
        assert_eq!(
            status.stdout.contains("coordinator was ended by SIGKILL"),
            victim.ends_with("coordinator")
        );
        // What was left on disk is no hindrance.
        yard.poolmap("cluster up cluster.toml").succeeds();
        yard.down();
    }
}

#[test]
fn what_is_being_started_ends_with_the_command_that_starts_it() {
    let yard = two_workers();
    // Where nobody listens no worker joins.
    yard.cluster(&format!(
        "[coordinator]\nlisten = \"127.0.0.1:{}\"\nadvertise = [\"127.0.0.1:1\"]\n[[workers]]\nlauncher = \"local\"",
        free_port()
    ));
    let built = &poolmap_tests::programs::built().poolmap;
    for killer in [Signal::SIGKILL, Signal::SIGINT] {
        let mut up = yard.start(built, &["cluster", "up", "cluster.toml"]);
        eventually("a worker has been started", SOON, || {
            (!yard.processes("poolmap worker").is_empty()).then_some(())
        });
        signal::kill(Pid::from_raw(up.id().cast_signed()), killer).unwrap();
        let status = up.wait().unwrap();
        assert_eq!(status.code(), (killer == Signal::SIGINT).then_some(130), "{killer}");
        yard.leaves_nothing();
    }
}

#[test]
fn a_worker_that_does_not_join_is_named_with_its_last_lines() {
    let yard = Yard::new();
    yard.cluster(&format!(
        "[coordinator]\nlisten = \"127.0.0.1:{}\"\nadvertise = [\"nowhere.invalid\"]\n[[workers]]\nlauncher = \"local\"",
        free_port()
    ));
    let ran = yard.poolmap("cluster up cluster.toml --timeout 2s").exits(3);
    ran.says(&["local-1: it has not joined in time", "  | ", "all that was started for it was stopped"]);
    yard.leaves_nothing();
}
