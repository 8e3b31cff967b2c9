//! How contents get to workers: once each, whatever happens on the way.

use poolmap_client::{Backend, ChildOptions, Function, JobSpec, NativeFunction, Transport, function};
use poolmap_coordinator::Config;

use crate::cluster::{Cluster, eventually, python, send, soon};

fn native() -> JobSpec {
    let native = NativeFunction { name: "double".to_owned() };
    JobSpec {
        function: Some(Function { kind: Some(function::Kind::Native(native)) }),
        child: Some(ChildOptions { backend: Backend::Thread.into(), ..ChildOptions::default() }),
        ..JobSpec::default()
    }
}

const SAME: &str = r#""same""#;
const READ: &str = "def work(name): return open(name).read()";

#[tokio::test]
async fn a_content_crosses_once_whatever_it_is_called_and_however_many_jobs_have_it() {
    let cluster = Cluster::start(1).await;
    let paths = [cluster.write("one", "same"), cluster.write("two", "same")];
    let files = cluster.ship(&paths).await;
    let again = cluster.ship(&paths).await;
    assert_eq!((cluster.wire.calls("Put"), cluster.wire.calls("Missing")), (1, 2));
    assert_eq!(files, again);
    let (one, two) = tokio::join!(
        cluster.run(python(READ, files), &[r#"["one"]"#]),
        cluster.run(python(READ, again), &[r#"["two"]"#]),
    );
    assert_eq!((one.unwrap(), two.unwrap()), (vec![SAME.to_owned()], vec![SAME.to_owned()]));
    assert_eq!(cluster.wire.calls("Get"), 1);
    cluster.stop().await;
}

#[tokio::test]
async fn each_of_two_workers_gets_the_files_once() {
    let cluster = Cluster::start(2).await;
    let data = cluster.write("data", "everywhere");
    let files = cluster.ship(&[data]).await;
    let source =
        "import os, time\ndef work(i):\n    time.sleep(0.01)\n    return open('data').read() + os.getcwd()";
    let payloads: Vec<_> = (0..200).map(|number| format!("[{number}]")).collect();
    let payloads: Vec<_> = payloads.iter().map(String::as_str).collect();
    let mut values = cluster.run(python(source, files), &payloads).await.unwrap();
    assert_eq!(values.len(), 200);
    assert!(values.iter().all(|value| value.starts_with("\"everywhere/")), "{values:?}");
    values.sort();
    values.dedup();
    assert_eq!((values.len(), cluster.wire.calls("Get")), (2, 2));
    cluster.until_tidy().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_without_files_runs_while_those_of_another_are_on_their_way() {
    let cluster = Cluster::start(1).await;
    cluster.wire.close(true);
    let data = cluster.write("data", "late");
    let files = cluster.ship(&[data]).await;
    let slow = cluster.client.submit(python(READ, files)).await.unwrap();
    send(&slow, &[r#"["data"]"#]).await.unwrap();
    eventually(|| cluster.wire.calls("Get") == 1).await;
    assert_eq!(cluster.run(native(), &["[21]"]).await.unwrap(), ["42"]);
    cluster.wire.close(false);
    assert_eq!(cluster.values(&slow).await.unwrap(), [r#""late""#]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_its_files_are_on_their_way_is_forgotten() {
    let cluster = Cluster::start(1).await;
    cluster.wire.close(true);
    let data = cluster.write("data", "never");
    let files = cluster.ship(&[data]).await;
    let job = cluster.client.submit(python(READ, files.clone())).await.unwrap();
    send(&job, &[r#"["data"]"#]).await.unwrap();
    eventually(|| cluster.wire.calls("Get") == 1).await;
    job.cancel().await.unwrap();
    cluster.wire.close(false);
    // Another job of the same files is not in its way.
    assert_eq!(cluster.run(python(READ, files), &[r#"["data"]"#]).await.unwrap(), [r#""never""#]);
    cluster.until_tidy().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_connection_that_breaks_on_the_way_is_made_again() {
    let cluster = Cluster::start(1).await;
    cluster.wire.fail(3);
    let data = cluster.write("data", "in the end");
    let files = cluster.ship(&[data]).await;
    assert_eq!(cluster.run(python(READ, files), &[r#"["data"]"#]).await.unwrap(), [r#""in the end""#]);
    assert_eq!(cluster.wire.calls("Get"), 4);
    cluster.stop().await;
}

#[tokio::test]
async fn old_files_make_room_for_new_ones_and_those_of_a_job_do_not() {
    let cluster = Cluster::with(Config { files_bytes_max: 1000, ..Config::default() }, 1).await;
    let old = cluster.write("old", [b'o'; 600]);
    let new = cluster.write("new", [b'n'; 600]);
    let old_files = cluster.ship(&[&old]).await;
    let error = soon(cluster.client.ship(&[&new])).await.unwrap_err().to_string();
    assert!(error.contains("/new to the coordinator") && error.contains("1000 B"), "{error}");
    let job = cluster.client.submit(python(READ, old_files)).await.unwrap();
    assert!(soon(cluster.client.ship(&[&new])).await.is_err(), "a job has the old one");
    send(&job, &[]).await.unwrap();
    assert!(cluster.values(&job).await.unwrap().is_empty());
    // The job is forgotten a moment after its last reader has gone.
    soon(async { while cluster.client.ship(&[&new]).await.is_err() {} }).await;
    cluster.ship(&[&new]).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_host_that_cannot_get_a_file_is_named_with_the_file() {
    let cluster = Cluster::start(0).await;
    let data = cluster.write("data", "x");
    let files = cluster.ship(&[data]).await;
    // It knows nothing of files.
    let transport = Transport::in_process(cluster.workers_only());
    let config = poolmap_worker::Config {
        host: "far-away".to_owned(),
        ..poolmap_worker::Config::new(
            "worker".to_owned(),
            std::num::NonZeroU32::MIN,
            poolmap_worker::runtime::native::Registry::new(),
        )
    };
    tokio::spawn(poolmap_worker::run(config, transport.into(), std::future::pending()));
    let error = cluster.run(python(READ, files), &[r#"["data"]"#]).await.unwrap_err();
    assert!(error.starts_with("worker on far-away: cannot get data, a file that travels with the job: Operation is not implemented"), "{error}");
    cluster.stop().await;
}
