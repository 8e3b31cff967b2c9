//! A client that is not ours: gRPC for Python, with code made from the .proto files.

use std::path::Path;
use std::process::Command;

use poolmap_proto::access::Role;
use poolmap_tests::language::program;
use poolmap_tests::programs;

use crate::scene::{Cluster, Workers};

#[test]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn any_grpc_client_with_an_access_file_can_submit_a_job_and_read_its_outcomes() {
    let python = programs::interpreter();
    let has_grpc = Command::new(python).args(["-c", "import grpc, grpc_tools"]).output().unwrap().status;
    assert!(has_grpc.success() || std::env::var_os("CI").is_none(), "grpcio and grpcio-tools are missing");
    if !has_grpc.success() {
        return println!("skipped: {} has no grpcio and grpcio-tools", python.display());
    }
    let cluster = Cluster::start();
    let workers = Workers::start([cluster.worker("-j2")]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/outsider.py");
    let ran = program(python)
        .arg(script)
        .arg(programs::root().join("proto/proto"))
        .arg(cluster.access_file(Role::Client))
        .run()
        .succeeds();
    let values: Vec<_> = (0..100).map(|number| format!("{number} \"Pokemon#{number}45\"")).collect();
    assert_eq!(ran.lines(), values);
    cluster.stop();
    workers.leave();
}
