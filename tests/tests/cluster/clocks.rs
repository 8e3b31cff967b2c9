//! Machines whose clocks differ: real processes, each with a clock of its own (Debian's faketime).

use std::path::{Path, PathBuf};

use poolmap_proto::access::{Access, Role};
use poolmap_tests::language::Line;
use tempfile::TempDir;

use crate::scene::{Cluster, Workers, native, poolmap, run};

/// What gives a process another clock; `None`, after a word on why, where there is none. CI must have it.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|path| path.exists());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "Debian's faketime is missing");
    #[expect(clippy::print_stdout, reason = "a skipped test says so")]
    if found.is_none() {
        println!("skipped: Debian's faketime is missing");
    }
    found
}

/// The same command where the time of day is another, such as `+3d`.
fn at(line: Line, faketime: &Path, offset: &str) -> Line {
    line.env("LD_PRELOAD", faketime).env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

fn coordinator(folder: TempDir, faketime: &Path, offset: &str) -> Cluster {
    let line = poolmap("coordinator --listen 127.0.0.1:0 --folder").arg(folder.path().join("state"));
    Cluster::serve(at(line, faketime, offset), folder)
}

#[tokio::test]
async fn clocks_that_differ_by_hours_do_no_harm() {
    let Some(faketime) = faketime() else { return };
    for offset in ["+20h", "-20h"] {
        let cluster = coordinator(TempDir::new().unwrap(), &faketime, offset);
        let workers = Workers::start([cluster.worker("-j1")]);
        let job = cluster.client().await.submit(native("do_work")).await.unwrap();
        assert_eq!(run(&job, vec!["[1,2,3]".to_owned(); 10]).await.1.len(), 10);
        cluster.stop();
        workers.leave();
    }
}

#[test]
fn a_coordinator_whose_certificate_is_not_valid_yet_is_told_with_both_times() {
    let Some(faketime) = faketime() else { return };
    let cluster = coordinator(TempDir::new().unwrap(), &faketime, "+3d");
    for line in [cluster.worker("-j1"), cluster.command("jobs")] {
        let said = line.run().exits(3).stderr();
        let (_, times) = said.split_once("its certificate counts from ").unwrap_or_else(|| panic!("{said}"));
        let (from, rest) = times.split_once(", and the clock here says ").unwrap_or_else(|| panic!("{said}"));
        assert!(from > rest.lines().next().unwrap(), "{said}");
        assert!(rest.contains("\nCheck the clocks of both machines"), "{said}");
    }
    let said = cluster.stop().stderr();
    assert_eq!(said.matches("it does not take this coordinator").count(), 2, "{said}");
}

#[test]
fn an_access_that_is_not_valid_yet_for_the_coordinator_is_told_with_both_times() {
    let Some(faketime) = faketime() else { return };
    let cluster = Cluster::start();
    let made_now = cluster.access(Role::Worker);
    let cluster = coordinator(cluster.into_folder(), &faketime, "-3d");
    let file = cluster.path("made-now.access");
    Access { addresses: vec![cluster.address.into()], ..made_now }.write(&file).unwrap();
    let said = poolmap("worker -j1 --access").arg(&file).run().exits(3).stderr();
    assert!(
        said.contains("or is not valid yet, by the coordinator's clock; the clock here says 2"),
        "{said}"
    );
    let said = cluster.stop().stderr();
    assert_eq!(said.matches("its access counts from 2").count(), 1, "{said}");
    assert_eq!(said.matches(", and the clock here says 2").count(), 1, "{said}");
}
