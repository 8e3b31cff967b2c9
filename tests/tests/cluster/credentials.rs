//! Who does not get in, and what either side is told.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use poolmap_proto::access::{Access, Address, Role};
use poolmap_proto::transport::{ConnectError, Fault, Route, RouteError};
use poolmap_tests::language::{Line, SOON, eventually};

use crate::scene::{Cluster, Workers, native, poolmap, run};

/// Fails unless a worker with this access file, and all the time in the world to connect, ends at once with these words.
fn ends_at_once(file: &Path, status: i32, words: &str) {
    let said = worker(file).run().exits(status).stderr();
    assert!(said.contains(words), "{said}");
    assert!(said.lines().count() <= 4, "{said}");
}

fn worker(file: &Path) -> Line {
    poolmap("worker -j1 --access").arg(file)
}

/// A worker's access file of this cluster with other addresses.
fn elsewhere(cluster: &Cluster, addresses: &[&str]) -> std::path::PathBuf {
    let addresses: Vec<Address> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let path = cluster.path("elsewhere.access");
    Access { addresses, ..cluster.access(Role::Worker) }.write(&path).unwrap();
    path
}

async fn fault(access: &Access) -> Option<Fault> {
    let fault = |error: &ConnectError| error.faults().first().map(|(_, fault)| fault.clone());
    match Route::tls(access).unwrap().connect().await {
        Ok(_) => None,
        Err(RouteError::Network(error)) => fault(&error),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_a_coordinator_keeps_is_for_its_user_alone() {
    let cluster = Cluster::start();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cluster.state()), 0o700);
    for entry in fs::read_dir(cluster.state()).unwrap() {
        assert_eq!(mode(&entry.as_ref().unwrap().path()), 0o600, "{entry:?}");
    }
    let out = cluster.path("new.access");
    cluster.operator("--new-access client --out").arg(&out).run().succeeds();
    assert_eq!(mode(&out), 0o600);
    assert_eq!(Access::read(&out, Role::Client).unwrap().addresses, cluster.access(Role::Client).addresses);
    cluster.stop();
}

#[test]
fn an_access_file_that_will_not_do_is_told_from_one_that_is_not_there() {
    let cluster = Cluster::start();
    let file = cluster.path("x.access");
    ends_at_once(&file, 2, "poolmap coordinator --new-access worker --out FILE");
    fs::write(&file, "hello").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    ends_at_once(&file, 2, "is not an access file");
    cluster.access(Role::Worker).write(&file).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    ends_at_once(&file, 2, "Run: chmod 600");
    ends_at_once(&cluster.access_file(Role::Client), 2, "is for a client, and a worker's is needed");
    Access { key: "none".to_owned(), ..cluster.access(Role::Worker) }.write(&file).unwrap();
    ends_at_once(&file, 2, "what is in the access file cannot be used");
    assert_eq!(cluster.stop().stderr().matches("refused").count(), 0);
}

#[test]
fn an_access_file_for_another_cluster_is_refused_for_good_and_told_once() {
    let (cluster, other) = (Cluster::start(), Cluster::start());
    let address = other.address.to_string();
    ends_at_once(&elsewhere(&cluster, &[&address]), 3, "this access file is for another cluster");
    cluster.stop();
    let said = other.stop().stderr();
    assert_eq!(said.matches("refused 127.0.0.1:").count(), 1, "{said}");
    assert!(said.contains("its access file is for another cluster"), "{said}");
}

#[tokio::test]
async fn an_access_file_that_has_expired_is_refused_for_good_and_told_once() {
    let cluster = Cluster::start();
    let out = cluster.path("short.access");
    cluster.operator("--new-access worker --valid-for 1s --out").arg(&out).run().succeeds();
    let access = Access::read(&out, Role::Worker).unwrap();
    let mut attempts = 0;
    loop {
        attempts += 1;
        match fault(&access).await {
            None => assert!(attempts < 1000, "it never expires"),
            Some(Fault::Expired { .. }) => break,
            Some(fault) => panic!("{fault}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ends_at_once(
        &out,
        3,
        "this access file has expired, or is not valid yet, by the coordinator's clock; the clock here says 2",
    );
    let said = cluster.stop().stderr();
    assert_eq!(said.matches("refused 127.0.0.1:").count(), 2, "{said}");
    assert_eq!(said.matches("its access counted until 2").count(), 2, "{said}");
}

#[tokio::test]
async fn a_revoked_role_is_thrown_out_within_seconds_and_the_other_one_stays() {
    let cluster = Cluster::start();
    let old = elsewhere(&cluster, &[&cluster.address.to_string()]);
    let client = cluster.client().await;
    let mut workers = Workers::start([worker(&old)]);
    let job = client.submit(native("do_work")).await.unwrap();
    assert_eq!(run(&job, vec!["[1,2,3]".to_owned()]).await.1.len(), 1);
    let said = cluster.operator("--revoke worker").run().succeeds();
    assert!(said.stdout().contains("within a few seconds"), "{}", said.stdout());
    eventually("the worker was thrown out", SOON, || workers.0[0].has_ended().then_some(()));
    workers.0.remove(0).ends().exits(3);
    ends_at_once(&old, 3, "this access file was revoked\nHave the coordinator's host make another");
    let workers = Workers::start([worker(&cluster.access_file(Role::Worker))]);
    let job = client.submit(native("do_work")).await.unwrap();
    assert_eq!(run(&job, vec!["[1,2,3]".to_owned()]).await.1.len(), 1);
    let said = cluster.stop().stderr();
    assert!(said.contains("its access was revoked"), "{said}");
    workers.leave();
}

#[tokio::test]
async fn access_files_survive_a_restart_of_their_coordinator() {
    let cluster = Cluster::start();
    let before = cluster.access(Role::Client);
    let again = cluster.operator("--listen 127.0.0.1:0").start();
    let said = again.ends().exits(2).stderr();
    assert!(said.contains("another coordinator runs in the folder"), "{said}");
    let folder = cluster.into_folder();
    let cluster = Cluster::start_in(folder, "");
    let moved = Access { addresses: vec![cluster.address.into()], ..before };
    assert_eq!(fault(&moved).await, None);
    cluster.stop();
}

#[tokio::test]
async fn the_address_that_answers_is_found_among_those_that_do_not() {
    let cluster = Cluster::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let address = cluster.address.to_string();
    let file = elsewhere(&cluster, &["127.0.0.1:1", "no-such-host.invalid", &silent, &address]);
    assert_eq!(fault(&Access::read(&file, Role::Worker).unwrap()).await, None);
    cluster.stop();
}

#[test]
fn what_is_wrong_with_an_address_is_said() {
    let cluster = Cluster::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    for (address, words) in [
        ("no-such-host.invalid", "no-such-host.invalid:7464: its host name does not resolve"),
        ("127.0.0.1:1", "127.0.0.1:1: nobody listens there\nIs the coordinator running"),
        (&silent_address, "it did not answer in time"),
    ] {
        let file = elsewhere(&cluster, &[address]);
        let said = worker(&file).words("--connect-timeout 0").run().exits(3).stderr();
        assert!(said.contains(words), "{said}");
    }
    cluster.stop();
}

#[test]
fn tls_and_what_is_in_the_clear_are_told_apart() {
    let (cluster, insecure) = (Cluster::start(), Cluster::start_insecure());
    let address = insecure.address.to_string();
    ends_at_once(&elsewhere(&cluster, &[&address]), 3, "does not speak TLS");
    let connect = || poolmap("worker -j1 --insecure --connect-timeout 0 --connect");
    let said = connect().arg(format!("http://{}", cluster.address)).run().exits(3).stderr();
    assert!(said.contains("the coordinator could not be reached"), "{said}");
    let said = connect().arg("http://192.0.2.1:7464").run().exits(2).stderr();
    assert!(said.contains("is not on this machine, and nothing crosses a network in the clear"), "{said}");
    insecure.stop();
    cluster.stop();
}

#[test]
fn a_coordinator_that_cannot_listen_says_what_to_do() {
    let cluster = Cluster::start();
    let busy = cluster.address.to_string();
    let folder = cluster.path("other");
    let coordinator = || poolmap("coordinator --folder").arg(&folder);
    let said = coordinator().words("--listen").arg(&busy).run().exits(2).stderr();
    assert!(said.contains("ss -ltnp"), "{said}");
    let said = coordinator().words("--listen 192.0.2.1").run().exits(2).stderr();
    assert!(said.contains("This machine has no such address"), "{said}");
    let said = poolmap("coordinator --insecure --listen 0.0.0.0:0").run().exits(2).stderr();
    assert!(said.contains("--insecure lets everybody in who can connect"), "{said}");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    let said = coordinator().words("--listen 127.0.0.1:0").run().exits(2).stderr();
    assert!(said.contains("Run: chmod 700"), "{said}");
    cluster.stop();
}
