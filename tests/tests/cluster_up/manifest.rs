//! What is written for Kubernetes, checked against its schemas.

use std::process::Command;

use serde_json::Value;

use crate::yard::{Yard, is_there, project};

/// A program from a registry that has the schemas of Kubernetes in it.
const VALIDATOR: &str = "kubernetes-validate";

fn manifest(content: &str) -> (Yard, String) {
    let yard = Yard::new();
    yard.cluster(content);
    let ran = yard
        .poolmap("cluster manifest cluster.toml")
        .exits(0)
        .says(&["port-forward service/poolmap-", "client.access"]);
    (yard, ran.stdout)
}

fn is_valid(yard: &Yard, manifest: &str) {
    let found = yard.command(VALIDATOR).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there(VALIDATOR, found) {
        return;
    }
    let path = yard.write("manifest.yaml", manifest);
    let output = Command::new(VALIDATOR)
        .args(["--strict"])
        .arg(path)
        .env("PATH", poolmap_tests::programs::search_path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_manifest_fits_the_schemas_of_kubernetes() {
    let example = std::fs::read_to_string(project("examples/cluster-kubernetes.toml")).unwrap();
    let as_job = example.replace("kind = \"Deployment\"", "kind = \"Job\"\nidle-timeout = \"90s\"");
    assert_ne!(example, as_job);
    for (content, kind) in [(example, "kind: Deployment"), (as_job, "kind: Job")] {
        let (yard, manifest) = manifest(&content);
        assert_eq!(manifest.matches("\n---\n").count() + 1, 5, "{manifest}");
        for part in ["kind: Secret", "kind: Service", kind, "poolmap coordinator", "poolmap worker"] {
            assert!(manifest.contains(part), "no {part} in\n{manifest}");
        }
        is_valid(&yard, &manifest);
        // Written again, it is the same.
        assert_eq!(yard.poolmap("cluster manifest cluster.toml").exits(0).stdout, manifest);
    }
}

#[test]
fn a_file_without_kubernetes_has_no_manifest_and_one_with_it_alone_is_not_started_here() {
    let yard = Yard::new();
    yard.cluster("[[workers]]\nlauncher = \"local\"");
    yard.poolmap("cluster manifest cluster.toml").exits(2).says(&["has no [kubernetes] table"]);
    yard.cluster("[kubernetes]\nimage = \"i\"");
    yard.poolmap("cluster up cluster.toml").exits(2).says(&["kubectl apply -f -"]);
    yard.cluster("name = \"Not_OK\"\n[kubernetes]\nimage = \"i\"");
    yard.poolmap("cluster manifest cluster.toml").exits(2).says(&["'Not_OK' is no name in Kubernetes"]);
    let status: Value = yard.status();
    assert_eq!(status["up"], false);
}
