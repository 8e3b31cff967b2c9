//! A large file on its way through client, coordinator and worker, in a process that does nothing else: its memory is measured.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected shall fail there")]
#![expect(dead_code, reason = "other tests need more of what they share")]

#[path = "shipping/cluster.rs"]
mod cluster;
#[path = "shipping/wire.rs"]
mod wire;

use std::io::Write as _;

use crate::cluster::{Cluster, python};

#[tokio::test]
async fn a_hundred_megabytes_are_never_in_memory_at_once() {
    const MEGABYTES: usize = 100;
    let cluster = Cluster::start(1).await;
    let path = cluster.home.path().join("large");
    let mut file = std::fs::File::create(&path).unwrap();
    (0..MEGABYTES).for_each(|number| file.write_all(&vec![number as u8; 1 << 20]).unwrap());
    let before = peak_bytes();
    let files = cluster.ship(&[path]).await;
    let source = "import os\ndef work(): return os.path.getsize('large')";
    let values = cluster.run(python(source, files), &["[]"]).await;
    assert_eq!(values.unwrap(), [(MEGABYTES << 20).to_string()]);
    let grown = peak_bytes() - before;
    // Windows of connections, and pieces on their way.
    assert!(grown < 50 << 20, "{grown}");
    cluster.stop().await;
}

/// The most memory that this process ever had resident.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
