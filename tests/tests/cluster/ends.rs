//! How the services end.

use nix::sys::signal::Signal;
use poolmap_client::{Chunk, JobSpec};
use poolmap_tests::language::{SOON, eventually};
use poolmap_tests::processes::parent;

use crate::scene::{Cluster, Workers, native};

#[tokio::test]
async fn a_coordinator_that_is_told_to_stop_lets_jobs_end_and_takes_no_new_ones() {
    let cluster = Cluster::start();
    let workers = Workers::start([cluster.worker("-j2")]);
    let client = cluster.client().await;
    let job = client.submit(native("sleep_ms")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send((0..20).map(|_| "[50]").collect::<Chunk>()).await.unwrap();
    let mut outcomes = job.outcomes();
    outcomes.next().await.unwrap().unwrap();
    cluster.coordinator().send(Signal::SIGTERM);
    let mut refused = String::new();
    while refused.is_empty() {
        // It may take a moment to notice.
        match client.submit(native("do_work")).await {
            Err(error) => refused = error.to_string(),
            Ok(job) => job.cancel().await.unwrap(),
        }
    }
    assert!(refused.contains("is stopping and takes no new jobs"), "{refused}");
    tasks.finish().await.unwrap();
    while outcomes.next().await.unwrap().is_some() {}
    let end = outcomes.end().unwrap();
    assert_eq!((end.tasks, end.failed), (20, 0));
    let said = cluster.ends().exits(0).stderr();
    assert!(!said.contains("they are lost"), "{said}");
    workers.leave();
}

#[tokio::test]
async fn a_coordinator_does_not_wait_for_ever_for_jobs_and_its_workers_leave_with_it() {
    let cluster = Cluster::start_with("--drain-timeout 500ms");
    let workers = Workers::start([cluster.worker("-j1")]);
    let client = cluster.client().await;
    let job = client.submit(native("sleep_ms")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(["[1]", "[3600000]"].into_iter().collect()).await.unwrap();
    job.outcomes().next().await.unwrap().unwrap();
    let said = cluster.stop().stderr();
    assert!(said.contains("some jobs had not ended after 500ms"), "{said}");
    workers.leave();
}

#[tokio::test]
async fn a_second_signal_ends_either_service_at_once() {
    let cluster = Cluster::start_with("--drain-timeout 1h");
    let mut workers = Workers::start([cluster.worker("-j1 --drain-timeout 1h")]);
    let client = cluster.client().await;
    let job = client.submit(native("sleep_ms")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(["[1]", "[3600000]"].into_iter().collect()).await.unwrap();
    job.outcomes().next().await.unwrap().unwrap();
    let mut worker = workers.0.remove(0);
    eventually("the worker has ended", SOON, || {
        worker.send(Signal::SIGTERM);
        worker.has_ended().then_some(())
    });
    worker.ends_with_files_left().exits(130);
    let mut coordinator = cluster.into_coordinator();
    eventually("the coordinator has ended", SOON, || {
        coordinator.send(Signal::SIGINT);
        coordinator.has_ended().then_some(())
    });
    coordinator.ends().exits(130);
}

#[tokio::test]
async fn nothing_outlives_a_worker_that_is_killed_nor_the_process_that_a_shell_sees_of_it() {
    let cluster = Cluster::start();
    let client = cluster.client().await;
    let (shipped, temporary) = (cluster.path("shipped"), cluster.path("tmp"));
    std::fs::create_dir(&temporary).unwrap();
    std::fs::write(&shipped, "content").unwrap();
    for is_front in [true, false] {
        let mut workers = Workers::start([cluster.worker("-j1").env("TMPDIR", &temporary)]);
        let files = client.ship(&[&shipped]).await.unwrap();
        let job = client.submit(JobSpec { files, ..native("sleep_ms") }).await.unwrap();
        let mut tasks = job.add_tasks();
        tasks.send(["[3600000]"].into_iter().collect()).await.unwrap();
        tasks.finish().await.unwrap();
        let worker = workers.0.remove(0);
        let front = worker.process_id();
        // The process of the shell, the worker, its child, and the keeper.
        let all = eventually("all processes are there", SOON, || {
            Some(worker.processes()).filter(|processes| processes.len() >= 4)
        });
        eventually("the files have come", SOON, || has_file(&temporary, "shipped").then_some(()));
        let behind = all.into_iter().find(|process| parent(*process) == Some(front)).unwrap();
        nix::sys::signal::kill(if is_front { front } else { behind }, Signal::SIGKILL).unwrap();
        // Its keeper has removed its folder.
        let ran = worker.ends();
        assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
        if !is_front {
            ran.exits(137);
        }
        job.cancel().await.unwrap();
    }
    cluster.stop();
}

#[test]
fn what_a_worker_that_was_killed_with_its_keeper_has_left_is_removed_by_the_next_one() {
    let cluster = Cluster::start();
    let temporary = cluster.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let folders = || std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    let worker = || Workers::start([cluster.worker("-j1").env("TMPDIR", &temporary)]);
    let mut killed = worker();
    let left: Vec<std::path::PathBuf> =
        eventually("it has a folder", SOON, || Some(folders()).filter(|folders: &Vec<_>| folders.len() == 1));
    let killed = killed.0.remove(0);
    killed.kill_all();
    killed.ends_with_files_left();
    assert_eq!(folders(), left);
    let next = worker();
    eventually("it has gone", SOON, || {
        let now = folders();
        (now.len() == 1 && now != left).then_some(())
    });
    next.0[0].send(Signal::SIGTERM);
    next.leave();
    assert_eq!(folders(), [] as [std::path::PathBuf; 0]);
    cluster.stop();
}

/// Whether there is a file of this name in a folder or below.
fn has_file(folder: &std::path::Path, name: &str) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name() == name || has_file(&entry.path(), name))
}
