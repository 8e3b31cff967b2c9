//! The objects of a cluster in Kubernetes.

use std::collections::BTreeMap;
use std::time::Duration;

use poolmap_proto::access::{DEFAULT_PORT, Role};
use serde_json::{Value, json};

use crate::cluster::file::{CoordinatorTable, KubernetesTable, VariableName, WorkloadKind};
use crate::cluster::ssh::quoted;

/// What a coordinator needs beyond the time that jobs have, to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that tasks of a worker have to end when its pod is deleted.
const WORKER_DRAIN_SECONDS: u64 = 30;
/// Where secrets are mounted, and where their copies lie that only the process can read: access files that others could read
/// are refused.
const SECRET_FOLDER: &str = "/run/secrets/poolmap";
const PRIVATE_FOLDER: &str = "/run/poolmap";

/// What is secret in a manifest.
#[derive(Debug)]
pub(super) struct Secrets {
    /// The content of the coordinator's `authority.toml`.
    pub(super) authority: String,
    /// The content of an access file for workers.
    pub(super) worker: String,
}

/// What a manifest is made from.
#[derive(Debug)]
pub(super) struct Manifest<'a> {
    pub(super) name: &'a str,
    pub(super) kubernetes: &'a KubernetesTable,
    pub(super) coordinator: &'a CoordinatorTable,
}

/// The name of the coordinator's objects.
pub(super) fn coordinator_name(cluster: &str) -> String {
    format!("poolmap-{cluster}-coordinator")
}

impl Manifest<'_> {
    /// All objects, in the order in which they should be made.
    pub(super) fn documents(&self, secrets: &Secrets) -> Vec<Value> {
        vec![
            self.secret("coordinator", "authority.toml", &secrets.authority),
            self.secret("worker", &Role::Worker.file_name(), &secrets.worker),
            self.service(),
            self.coordinator(),
            match self.kubernetes.kind {
                WorkloadKind::Deployment => self.worker_deployment(),
                WorkloadKind::Job => self.worker_job(),
            },
        ]
    }

    fn object_name(&self, part: &str) -> String {
        format!("poolmap-{}-{part}", self.name)
    }

    fn labels(&self, part: &str) -> Value {
        json!({
            "app.kubernetes.io/name": "poolmap",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/component": part,
        })
    }

    fn metadata(&self, part: &str) -> Value {
        json!({
            "name": self.object_name(part),
            "namespace": self.kubernetes.namespace,
            "labels": self.labels(part),
        })
    }

    fn secret(&self, part: &str, file: &str, content: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.metadata(part),
            "type": "Opaque",
            "stringData": { file: content },
        })
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata("coordinator"),
            "spec": {
                "selector": self.labels("coordinator"),
                "ports": [{ "name": "grpc", "port": DEFAULT_PORT, "targetPort": "grpc" }],
            },
        })
    }

    fn coordinator(&self) -> Value {
        let drain_timeout = self.coordinator.drain_timeout();
        let command = format!(
            "exec poolmap coordinator --listen 0.0.0.0:{DEFAULT_PORT} --folder {PRIVATE_FOLDER}/coordinator --drain-timeout {}s {}",
            drain_timeout.as_secs_f64(),
            self.coordinator.limits().join(" ")
        );
        let more = json!({
            "ports": [{ "name": "grpc", "containerPort": DEFAULT_PORT }],
            "readinessProbe": { "tcpSocket": { "port": "grpc" }, "periodSeconds": 2 },
        });
        let container = self.container("coordinator", "coordinator/authority.toml", &command, more);
        let grace_seconds = (drain_timeout + END_TIMEOUT).as_secs();
        // There is one at a time, and jobs are in its memory: a new one must not begin while the old one drains.
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata("coordinator"),
            "spec": {
                "replicas": 1,
                "strategy": { "type": "Recreate" },
                "selector": { "matchLabels": self.labels("coordinator") },
                "template": self.pod("coordinator", &container, grace_seconds, "Always"),
            },
        })
    }

    fn worker_deployment(&self) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata("worker"),
            "spec": {
                "replicas": self.kubernetes.replicas,
                "selector": { "matchLabels": self.labels("worker") },
                "template": self.worker_pod("", "Always"),
            },
        })
    }

    fn worker_job(&self) -> Value {
        let flags = format!(" --idle-timeout {}s", self.kubernetes.idle_timeout().as_secs_f64());
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": self.metadata("worker"),
            "spec": {
                "parallelism": self.kubernetes.replicas,
                "completions": self.kubernetes.replicas,
                "template": self.worker_pod(&flags, "OnFailure"),
            },
        })
    }

    fn worker_pod(&self, flags: &str, restart_policy: &str) -> Value {
        let access = Role::Worker.file_name();
        let mut command = format!(
            "exec poolmap worker --access {PRIVATE_FOLDER}/{access} --drain-timeout {WORKER_DRAIN_SECONDS}s{flags}"
        );
        for label in &self.kubernetes.labels {
            command.push_str(" --label=");
            command.push_str(&quoted(label));
        }
        let variable =
            |(name, value): (&VariableName, &String)| json!({ "name": name.to_string(), "value": value });
        let variables: Vec<_> = self.kubernetes.env.iter().map(variable).collect();
        let more = json!({ "resources": self.resources(), "env": variables });
        let container = self.container("worker", &access, &command, more);
        self.pod("worker", &container, WORKER_DRAIN_SECONDS + END_TIMEOUT.as_secs(), restart_policy)
    }

    /// What a worker asks for is what it may use, too: it sizes its pool by that.
    fn resources(&self) -> Value {
        let KubernetesTable { cpu, memory, .. } = self.kubernetes;
        let asked = [("cpu", cpu), ("memory", memory)];
        let asked: BTreeMap<_, _> =
            asked.into_iter().filter_map(|(name, amount)| Some((name, amount.as_ref()?))).collect();
        json!({ "requests": asked, "limits": asked })
    }

    /// A container that has a secret file to itself before it runs a command, and `more` keys.
    fn container(&self, part: &str, file: &str, command: &str, more: Value) -> Value {
        let name = file.rsplit('/').next().unwrap_or(file);
        let place = format!("{PRIVATE_FOLDER}/{file}");
        let script = format!(
            "umask 077; mkdir -p $(dirname {place}) && cat {SECRET_FOLDER}/{name} > {place} && {command}"
        );
        let mut container = json!({
            "name": part,
            "image": self.kubernetes.image,
            "command": ["sh", "-c", script],
            "volumeMounts": [
                { "name": "secret", "mountPath": SECRET_FOLDER, "readOnly": true },
                { "name": "private", "mountPath": PRIVATE_FOLDER },
            ],
        });
        if let (Value::Object(container), Value::Object(more)) = (&mut container, more) {
            container.extend(more);
        }
        container
    }

    fn pod(&self, part: &str, container: &Value, grace_seconds: u64, restart_policy: &str) -> Value {
        json!({
            "metadata": { "labels": self.labels(part) },
            "spec": {
                "containers": [container],
                "restartPolicy": restart_policy,
                "terminationGracePeriodSeconds": grace_seconds,
                // Tasks have no business with Kubernetes itself.
                "automountServiceAccountToken": false,
                "volumes": [
                    { "name": "secret", "secret": { "secretName": self.object_name(part) } },
                    { "name": "private", "emptyDir": { "medium": "Memory" } },
                ],
            },
        })
    }
}
