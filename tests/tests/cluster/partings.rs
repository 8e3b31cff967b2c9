//! Clients, workers and coordinators that part from each other, and what becomes of what they had in common.

use nix::sys::signal::Signal;
use poolmap_tests::language::{SOON, eventually};

use crate::scene::{Cluster, Workers};

/// A client that streams a job of these tasks, and is killed once it has sent all and the job runs; returns the job's number.
fn a_client_is_killed(cluster: &Cluster, words: &str, tasks: &str) -> String {
    let mut client = cluster.command("submit native:sleep_ms").words(words).start();
    std::io::Write::write_all(&mut client.stdin(), tasks.as_bytes()).unwrap();
    let job = eventually("the job runs, and all its tasks have come", SOON, || {
        let jobs = cluster.json("jobs --json");
        let job = jobs.first().filter(|job| job["state"] == "running" && job["closed"] == true)?;
        Some(job["id"].to_string())
    });
    client.send(Signal::SIGKILL);
    client.ends();
    job
}

#[test]
fn a_job_that_was_streamed_is_cancelled_when_its_client_is_gone() {
    let (cluster, workers) = Cluster::with_worker_of("", "--name one");
    let job = a_client_is_killed(&cluster, "", "[3600000]\n");
    let stopped = cluster.eventually(&job, "stopped");
    assert_eq!(stopped["stopped"], "its client was gone for 15 s");
    let said = cluster.command("results").arg(&job).run().exits(2).stderr();
    assert!(said.contains("were dropped: its client was gone for 15 s"), "{said}");
    cluster.stop();
    workers.leave();
}

#[test]
fn a_job_that_is_to_be_kept_goes_on_without_its_client() {
    let (cluster, workers) = Cluster::with_worker_of("", "--name one");
    let job = a_client_is_killed(&cluster, "--keep-on-disconnect", &"[100]\n".repeat(60));
    cluster.command("wait").arg(&job).run().succeeds();
    assert_eq!(cluster.command("results").arg(&job).run().succeeds().values().len(), 60);
    cluster.stop();
    workers.leave();
}

#[test]
fn results_from_a_place_that_is_not_there_are_refused() {
    let (cluster, workers) = Cluster::with_worker_of("", "--name one");
    let job = cluster.detached("", 3, 1);
    cluster.command("wait").arg(&job).run().succeeds();
    let said = cluster.command("results --from 4").arg(&job).run().exits(2).stderr();
    assert!(said.contains("outcomes from 4 on were asked for; held are those from 0 to 3"), "{said}");
    cluster.stop();
    workers.leave();
}

#[test]
fn a_worker_without_work_or_time_leaves_by_itself() {
    let cluster = Cluster::start();
    let workers = ["--idle-timeout 300ms", "--time-limit 2s"].map(|words| cluster.worker("-j1").words(words));
    Workers::start(workers).leave();
    cluster.stop();
}

#[test]
fn what_runs_when_the_coordinator_is_lost_is_stopped_or_finished_as_was_said() {
    for (words, is_finished) in [("stop", false), ("finish", true)] {
        let cluster = Cluster::start();
        let mut workers =
            Workers::start([cluster.worker("-j1 --reconnect-timeout 1s --on-coordinator-lost").arg(words)]);
        let (begun, ended) = (cluster.path("begun"), cluster.path("ended"));
        let script = format!("touch {}; sleep 3; touch {}", begun.display(), ended.display());
        cluster.command("submit --detach -- sh -c").arg(script).words("::: 1").run().succeeds();
        eventually("the task runs", SOON, || begun.exists().then_some(()));
        let _folder = cluster.kill();
        let said = workers.0.remove(0).ends().exits(3).stderr();
        assert!(said.contains("could not be reached again within 1 s and is taken for lost"), "{said}");
        assert_eq!(ended.exists(), is_finished);
    }
}
