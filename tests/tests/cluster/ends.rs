//! How the services end.

use nix::sys::signal::Signal;
use poolmap_client::Chunk;

use crate::language::eventually;
use crate::scene::{Cluster, SOON, Workers, native};

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
    for is_front in [true, false] {
        let mut workers = Workers::start([cluster.worker("-j1")]);
        let job = client.submit(native("sleep_ms")).await.unwrap();
        let mut tasks = job.add_tasks();
        tasks.send(["[3600000]"].into_iter().collect()).await.unwrap();
        tasks.finish().await.unwrap();
        let worker = workers.0.remove(0);
        let front = worker.process_id();
        // The process of the shell, the worker, its child, and the keeper.
        let all = eventually("all processes are there", SOON, || {
            Some(worker.processes()).filter(|processes| processes.len() >= 4)
        });
        let behind = all.into_iter().find(|process| crate::scene::parent(*process) == Some(front)).unwrap();
        nix::sys::signal::kill(if is_front { front } else { behind }, Signal::SIGKILL).unwrap();
        let ran = worker.ends_with_files_left();
        if !is_front {
            ran.exits(137);
        }
        job.cancel().await.unwrap();
    }
    cluster.stop();
}
