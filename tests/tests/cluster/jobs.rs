//! Jobs on a cluster.

use nix::sys::signal::Signal;
use poolmap_tests::language::{SOON, eventually};

use crate::scene::{Cluster, Workers, native, poolmap, run};

/// `do_work` of so many tuples, and what must come of it.
fn tuples(count: u64) -> (Vec<String>, Vec<(u64, String)>) {
    let payloads = (0..count).map(|number| format!("[{number},4,5]")).collect();
    (payloads, (0..count).map(|number| (number, format!("\"Pokemon#{number}45\""))).collect())
}

#[tokio::test]
async fn a_job_runs_on_two_workers_over_tls_and_each_task_has_its_outcome_once() {
    let cluster = Cluster::start();
    let workers = Workers::start([cluster.worker("--name one -j2"), cluster.worker("--name two -j2")]);
    let client = cluster.client().await;
    let (payloads, expected) = tuples(5000);
    let job = client.submit(native("do_work")).await.unwrap();
    assert_eq!(run(&job, payloads).await, (0, expected));
    cluster.stop();
    workers.leave();
}

#[tokio::test]
async fn a_worker_that_is_told_to_leave_ends_what_runs_and_the_rest_runs_elsewhere() {
    let cluster = Cluster::start();
    let workers = Workers::start([cluster.worker("-j2"), cluster.worker("-j2")]);
    let client = cluster.client().await;
    let job = client.submit(native("sleep_ms")).await.unwrap();
    let first = &workers.0[0];
    // It, the worker behind it, and its keeper.
    eventually("the worker works", SOON, || (first.processes().len() >= 3).then_some(()));
    let leaves = async { first.send(Signal::SIGTERM) };
    let payloads = vec!["[20]".to_owned(); 200];
    let ((failed, values), ()) = tokio::join!(run(&job, payloads), leaves);
    assert_eq!((failed, values.len()), (0, 200));
    cluster.stop();
    workers.leave();
}

#[tokio::test]
async fn in_the_clear_on_this_machine_a_job_runs_without_any_access() {
    let cluster = Cluster::start_insecure();
    let url = format!("http://{}", cluster.address);
    let workers = Workers::start([poolmap("worker --insecure -j1 --connect").arg(&url)]);
    let route = poolmap_proto::transport::Route::plain(&url).unwrap();
    let client = poolmap_client::Client::new(route.connect().await.unwrap());
    let (payloads, expected) = tuples(100);
    let job = client.submit(native("do_work")).await.unwrap();
    assert_eq!(run(&job, payloads).await, (0, expected));
    let said = cluster.stop().stderr();
    assert!(said.contains("INSECURE"), "{said}");
    workers.leave();
}
