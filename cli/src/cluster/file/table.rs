//! The keys of a cluster file as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use poolmap_proto::access::{Address, DEFAULT_PORT};
use poolmap_worker::sizing::{Divisor, InvalidDivisor};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Settings;
use crate::coordinator::{ListenAddress, parse_message_size};
use crate::quantity::{parse_size, parse_time_or_zero};

/// Time without work after which Slurm workers beyond the minimum leave.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ClusterTable {
    pub(super) name: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) coordinator: CoordinatorTable,
    #[serde(default)]
    pub(super) workers: Vec<Spanned<WorkersTable>>,
    pub(super) kubernetes: Option<KubernetesTable>,
}

/// The coordinator: it runs on the host where `up` is called, or in Kubernetes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CoordinatorTable {
    listen: Option<ListenAddress>,
    #[serde(default)]
    pub(crate) advertise: Vec<Address>,
    pub(crate) folder: Option<PathBuf>,
    drain_timeout: Option<Time>,
    pub(super) max_message_size: Option<MessageSize>,
    pub(super) max_files_size: Option<Size>,
}

impl CoordinatorTable {
    pub(crate) fn listen(&self) -> SocketAddr {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT));
        self.listen.as_ref().map_or(default, ListenAddress::get)
    }

    /// Time that jobs have to end when the cluster is taken down.
    pub(crate) fn drain_timeout(&self) -> Duration {
        self.drain_timeout.map_or(DRAIN_TIMEOUT, Time::get)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LauncherName {
    Local,
    Ssh,
    Slurm,
}

impl fmt::Display for LauncherName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Ssh => "ssh",
            Self::Slurm => "slurm",
        })
    }
}

/// Workers of any launcher: one struct, so that each wrong key can be pointed at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct WorkersTable {
    pub(super) launcher: Spanned<LauncherName>,
    pub(super) name: Option<Spanned<String>>,
    slots: Option<NonZeroU32>,
    divisor: Option<DivisorKey>,
    max_slots: Option<NonZeroU32>,
    #[serde(default)]
    labels: Vec<String>,
    python: Option<String>,
    #[serde(default)]
    env: BTreeMap<VariableName, String>,
    program: Option<Spanned<String>>,
    pub(super) count: Option<Spanned<NonZeroU32>>,
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) arguments: Option<Spanned<Vec<String>>>,
    pub(super) nodes: Option<Spanned<u16>>,
    pub(super) max_nodes: Option<Spanned<u16>>,
    pub(super) partition: Option<Spanned<String>>,
    pub(super) cpus: Option<Spanned<NonZeroU32>>,
    pub(super) time: Option<Spanned<String>>,
    pub(super) idle_timeout: Option<Spanned<Time>>,
}

/// A key that is there and not for all launchers.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) span: Range<usize>,
    pub(super) launchers: &'static [LauncherName],
}

impl WorkersTable {
    /// The keys that are there and not for all launchers.
    pub(super) fn keys(&self) -> Vec<Key> {
        use LauncherName::{Local, Slurm, Ssh};
        let key = |name, span: Option<Range<usize>>, launchers| Some(Key { name, span: span?, launchers });
        let keys = [
            key("program", span(self.program.as_ref()), &[Ssh, Slurm]),
            key("count", span(self.count.as_ref()), &[Local]),
            key("hosts", span(self.hosts.as_ref()), &[Ssh]),
            key("arguments", span(self.arguments.as_ref()), &[Ssh, Slurm]),
            key("nodes", span(self.nodes.as_ref()), &[Slurm]),
            key("max-nodes", span(self.max_nodes.as_ref()), &[Slurm]),
            key("partition", span(self.partition.as_ref()), &[Slurm]),
            key("cpus", span(self.cpus.as_ref()), &[Slurm]),
            key("time", span(self.time.as_ref()), &[Slurm]),
            key("idle-timeout", span(self.idle_timeout.as_ref()), &[Slurm]),
        ];
        keys.into_iter().flatten().collect()
    }

    /// What is the same for all launchers.
    pub(super) fn settings(&mut self) -> Settings {
        let mut flags = Vec::new();
        flags.extend(self.slots.map(|slots| format!("--slots={slots}")));
        flags.extend(self.divisor.as_ref().map(|divisor| format!("--divisor={}", divisor.0)));
        flags.extend(self.max_slots.map(|slots| format!("--max-slots={slots}")));
        flags.extend(self.labels.iter().map(|label| format!("--label={label}")));
        flags.extend(self.python.iter().map(|python| format!("--python={python}")));
        Settings {
            flags,
            labels: std::mem::take(&mut self.labels),
            python: self.python.clone(),
            environment: std::mem::take(&mut self.env),
            program: self.program.take().map(Spanned::into_inner),
        }
    }
}

fn span<T>(value: Option<&Spanned<T>>) -> Option<Range<usize>> {
    value.map(Spanned::span)
}

/// What `poolmap cluster manifest` writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct KubernetesTable {
    /// A container image with poolmap and what the tasks need.
    pub(crate) image: String,
    #[serde(default = "default_namespace")]
    pub(crate) namespace: String,
    /// What runs the workers.
    #[serde(default)]
    pub(crate) kind: WorkloadKind,
    #[serde(default = "one")]
    pub(crate) replicas: u32,
    /// Processors of each worker, as Kubernetes writes them.
    pub(crate) cpu: Option<String>,
    /// Memory of each worker, as Kubernetes writes it.
    pub(crate) memory: Option<String>,
    /// Time without work after which the workers of a Job leave.
    #[serde(default)]
    idle_timeout: Option<Time>,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<VariableName, String>,
}

impl KubernetesTable {
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout.map_or(IDLE_TIMEOUT, Time::get)
    }
}

/// What runs the workers in Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum WorkloadKind {
    /// They are there until they are deleted.
    #[default]
    Deployment,
    /// They leave when they have been idle.
    Job,
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn one() -> u32 {
    1
}

/// A time with units, or a number of seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(Duration);

impl Time {
    pub(super) fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_time_or_zero(&text).map(Self)
    }
}

/// A number of bytes, with units.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(u64);

impl Size {
    pub(super) fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_size(&text).map(|size| Self(size.as_u64()))
    }
}

/// The same for a message.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MessageSize(usize);

impl MessageSize {
    pub(super) fn bytes(self) -> usize {
        self.0
    }
}

impl TryFrom<String> for MessageSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_message_size(&text).map(Self)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "f64")]
struct DivisorKey(Divisor);

impl TryFrom<f64> for DivisorKey {
    type Error = InvalidDivisor;

    fn try_from(number: f64) -> Result<Self, InvalidDivisor> {
        Divisor::new(number).map(Self)
    }
}

/// A name that shells take for a variable's, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct VariableName(String);

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if is_plain && name.starts_with(|c: char| !c.is_ascii_digit()) {
            Ok(Self(name))
        } else {
            Err(format!("'{name}' is no name of an environment variable: letters, digits and '_'"))
        }
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
