//! What the client finds at the paths it is given.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use poolmap_client::ShipError;

use crate::cluster::{Cluster, soon};

async fn refused(cluster: &Cluster, path: impl AsRef<Path>) -> ShipError {
    soon(cluster.client.ship(&[path])).await.unwrap_err()
}

async fn paths(cluster: &Cluster, shipped: &[&Path]) -> Vec<String> {
    cluster.ship(shipped).await.into_iter().map(|file| file.path).collect()
}

#[tokio::test]
async fn a_path_travels_under_its_own_name() {
    let cluster = Cluster::start(0).await;
    let file = cluster.write("far/away/file", "x");
    let away = file.parent().unwrap();
    assert_eq!(paths(&cluster, &[&file]).await, ["file"]);
    assert_eq!(paths(&cluster, &[away]).await, ["away/file"]);
    assert_eq!(paths(&cluster, &[&away.join(".")]).await, ["away/file"]);
    assert_eq!(paths(&cluster, &[&away.join("..")]).await, ["far/away/file"]);
    assert_eq!(paths(&cluster, &[&file, away, &file]).await, ["away/file", "file"]);
    assert!(paths(&cluster, &[]).await.is_empty());
    cluster.stop().await;
}

#[tokio::test]
async fn links_travel_as_what_they_lead_to_and_loops_not_at_all() {
    let cluster = Cluster::start(0).await;
    let target = cluster.write("target/file", "x");
    let folder = target.parent().unwrap();
    let link = cluster.home.path().join("link");
    symlink(folder, &link).unwrap();
    symlink(&target, folder.join("other")).unwrap();
    assert_eq!(paths(&cluster, &[&link]).await, ["link/file", "link/other"]);
    symlink("..", folder.join("up")).unwrap();
    let error = refused(&cluster, &folder).await;
    assert!(matches!(&error, ShipError::Loop(path) if path.ends_with("target/up/target")), "{error}");
    cluster.stop().await;
}

#[tokio::test]
async fn what_cannot_travel_is_named() {
    let cluster = Cluster::start(0).await;
    let home = cluster.home.path();
    let gone = refused(&cluster, home.join("gone")).await;
    assert_eq!(
        gone.to_string(),
        format!("cannot read {}: No such file or directory (os error 2)", home.join("gone").display())
    );
    cluster.write("folder/file", "x");
    symlink("nowhere", home.join("folder/dangling")).unwrap();
    let dangling = refused(&cluster, home.join("folder")).await;
    assert!(
        matches!(&dangling, ShipError::Unreadable { path, .. } if path.ends_with("dangling")),
        "{dangling}"
    );
    nix::unistd::mkfifo(&home.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = refused(&cluster, home.join("pipe")).await;
    assert!(matches!(&pipe, ShipError::NoFile(path) if path.ends_with("pipe")), "{pipe}");
    cluster.write("odd/file", "x");
    std::fs::write(home.join("odd").join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    let odd = refused(&cluster, home.join("odd")).await;
    assert!(matches!(&odd, ShipError::NotUtf8(_)), "{odd}");
    let root = refused(&cluster, "/").await;
    assert!(matches!(&root, ShipError::NoName(_)), "{root}");
    cluster.stop().await;
}

#[tokio::test]
async fn two_files_that_would_lie_at_one_place_are_both_named() {
    let cluster = Cluster::start(0).await;
    let (one, other) = (cluster.write("a/config", "1"), cluster.write("b/config", "2"));
    let clash = soon(cluster.client.ship(&[&one, &other])).await.unwrap_err();
    let expected =
        format!("{} and {} would both be \"config\" on a worker; rename one", one.display(), other.display());
    assert_eq!(clash.to_string(), expected);
    let below = cluster.write("c/config/file", "3");
    let clash = soon(cluster.client.ship(&[&one, below.parent().unwrap()])).await.unwrap_err();
    assert!(clash.to_string().contains("\"config\""), "{clash}");
    assert_eq!(cluster.wire.calls("Put"), 0);
    cluster.stop().await;
}
