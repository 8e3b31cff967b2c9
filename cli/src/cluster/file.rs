//! The cluster file: one TOML document that says where the coordinator and its workers run.
//!
//! What is wrong with it is found before anything starts, and told with line and column. [`table`] has the keys as they are
//! written; here they become what the launchers are told.

mod fault;
mod table;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use poolmap_proto::access::Address;
use toml::Spanned;

pub(crate) use self::fault::FileFault;
use self::table::{ClusterTable, Key, WorkersTable};
pub(crate) use self::table::{CoordinatorTable, KubernetesTable, LauncherName, VariableName, WorkloadKind};

/// Longest name of a cluster: a socket lies in a folder of this name, and a socket's path is 107 bytes at most.
const MAX_NAME_LENGTH: usize = 40;

/// What a cluster file says.
#[derive(Clone, Debug)]
pub(crate) struct ClusterFile {
    /// No path separators in it.
    pub(crate) name: String,
    pub(crate) coordinator: CoordinatorTable,
    pub(crate) groups: Vec<Group>,
    pub(crate) kubernetes: Option<KubernetesTable>,
}

/// Workers that are started in the same way.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) launcher: Launcher,
    pub(crate) settings: Settings,
}

/// What every worker of a group is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Flags of `poolmap worker`.
    pub(crate) flags: Vec<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) python: Option<String>,
    pub(crate) environment: BTreeMap<VariableName, String>,
    /// poolmap's path on the host; absent: this program.
    pub(crate) program: Option<String>,
}

/// On which existing system workers are started.
#[derive(Clone, Debug)]
pub(crate) enum Launcher {
    Local { count: usize },
    Ssh { hosts: Vec<String>, arguments: Vec<String> },
    Slurm(SlurmGroup),
}

impl Launcher {
    pub(crate) fn name(&self) -> LauncherName {
        match self {
            Self::Local { .. } => LauncherName::Local,
            Self::Ssh { .. } => LauncherName::Ssh,
            Self::Slurm(_) => LauncherName::Slurm,
        }
    }
}

/// An array of Slurm jobs, one worker each.
#[derive(Clone, Debug)]
pub(crate) struct SlurmGroup {
    /// Workers that are there as long as the cluster is.
    pub(crate) min: usize,
    /// Workers at most, while tasks wait.
    pub(crate) max: usize,
    pub(crate) partition: Option<String>,
    pub(crate) cpus: Option<u32>,
    /// As sbatch takes it.
    pub(crate) time: Option<String>,
    /// After so long without work, workers beyond the minimum leave.
    pub(crate) idle_timeout: Duration,
    pub(crate) arguments: Vec<String>,
}

impl ClusterFile {
    /// Reads a cluster file.
    pub(crate) fn read(path: &Path) -> Result<Self, FileFault> {
        let text = std::fs::read_to_string(path)
            .map_err(|reason| FileFault::Unreadable { path: path.to_owned(), reason })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, FileFault> {
        let checked = toml::from_str::<ClusterTable>(text).map_err(Wrong::from).and_then(|table| {
            let name = match table.name {
                Some(name) => checked_name(name)?,
                None => name_of_file(path)?,
            };
            let groups = groups(table.workers)?;
            check_reach(&table.coordinator, &groups)?;
            let groups = groups.into_iter().map(|(_, group)| group).collect();
            Ok(Self { name, coordinator: table.coordinator, groups, kubernetes: table.kubernetes })
        });
        checked.map_err(|wrong| FileFault::wrong(path, text, wrong.span, wrong.message))
    }

    /// The name of a cluster, from a file that may have been damaged since the cluster was started.
    pub(crate) fn name_of(path: &Path) -> Result<String, FileFault> {
        let named = std::fs::read_to_string(path).ok().and_then(|text| {
            let table: toml::Table = text.parse().ok()?;
            Some(table.get("name")?.as_str()?.to_owned())
        });
        match named {
            Some(name) if is_name(&name) => Ok(name),
            _ => Self::read(path).map(|file| file.name),
        }
    }
}

/// Something in a text is wrong.
struct Wrong {
    /// Where, in bytes.
    span: Option<Range<usize>>,
    message: String,
}

impl Wrong {
    fn at<T>(what: &Spanned<T>, message: impl Into<String>) -> Self {
        Self { span: Some(what.span()), message: message.into() }
    }
}

impl From<toml::de::Error> for Wrong {
    fn from(error: toml::de::Error) -> Self {
        Self { span: error.span(), message: error.message().trim_end().to_owned() }
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.len() <= MAX_NAME_LENGTH
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
}

fn not_a_name(name: &str) -> String {
    format!("'{name}' is no name: letters, digits, '-', '_' and '.', {MAX_NAME_LENGTH} at most")
}

fn checked_name(name: Spanned<String>) -> Result<String, Wrong> {
    if is_name(name.get_ref()) {
        Ok(name.into_inner())
    } else {
        let message = not_a_name(name.get_ref());
        Err(Wrong::at(&name, message))
    }
}

fn name_of_file(path: &Path) -> Result<String, Wrong> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let message = format!("{}; the file has no `name = \"…\"`", not_a_name(&stem));
    if is_name(&stem) { Ok(stem) } else { Err(Wrong { span: None, message }) }
}

/// The groups with their places in the file.
fn groups(tables: Vec<Spanned<WorkersTable>>) -> Result<Vec<(Range<usize>, Group)>, Wrong> {
    let mut groups: Vec<(Range<usize>, Group)> = Vec::new();
    for (number, table) in tables.into_iter().enumerate() {
        let span = table.span();
        let group = group(number + 1, table.into_inner())?;
        if groups.iter().any(|(_, other)| other.name == group.name) {
            let message =
                format!("two groups of workers are called '{}'; give them names: name = \"…\"", group.name);
            return Err(Wrong { span: Some(span), message });
        }
        groups.push((span, group));
    }
    Ok(groups)
}

fn group(number: usize, mut table: WorkersTable) -> Result<Group, Wrong> {
    let launcher = *table.launcher.get_ref();
    if let Some(Key { name, span, .. }) =
        table.keys().into_iter().find(|key| !key.launchers.contains(&launcher))
    {
        let message = format!("`{name}` is no key of workers with the launcher \"{launcher}\"");
        return Err(Wrong { span: Some(span), message });
    }
    let name = match table.name.take() {
        Some(name) => checked_name(name)?,
        None if number == 1 => launcher.to_string(),
        None => format!("{launcher}-{number}"),
    };
    let settings = table.settings();
    let launcher = match launcher {
        LauncherName::Local => {
            Launcher::Local { count: table.count.map_or(1, |count| count.into_inner().get() as usize) }
        }
        LauncherName::Ssh => ssh(table)?,
        LauncherName::Slurm => Launcher::Slurm(slurm(table)?),
    };
    Ok(Group { name, launcher, settings })
}

fn ssh(table: WorkersTable) -> Result<Launcher, Wrong> {
    let Some(hosts) = table.hosts.filter(|hosts| !hosts.get_ref().is_empty()) else {
        return Err(Wrong::at(&table.launcher, "the launcher \"ssh\" needs hosts = [\"…\"]"));
    };
    let mut names: Vec<String> = Vec::new();
    for host in hosts.into_inner() {
        let name = host.get_ref();
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
            return Err(Wrong::at(&host, format!("'{name}' is no host that ssh could reach")));
        }
        if names.contains(name) {
            return Err(Wrong::at(&host, format!("'{name}' is there twice; a host has one worker")));
        }
        names.push(host.into_inner());
    }
    Ok(Launcher::Ssh {
        hosts: names,
        arguments: table.arguments.map(Spanned::into_inner).unwrap_or_default(),
    })
}

fn slurm(table: WorkersTable) -> Result<SlurmGroup, Wrong> {
    let min = table.nodes.as_ref().map_or(1, |nodes| *nodes.get_ref() as usize);
    let max = match &table.max_nodes {
        Some(nodes) if (*nodes.get_ref() as usize) < min.max(1) => {
            return Err(Wrong::at(nodes, format!("max-nodes is less than nodes, which is {min}")));
        }
        Some(nodes) => *nodes.get_ref() as usize,
        None if min == 0 => {
            return Err(Wrong::at(
                &table.launcher,
                "nodes = 0 needs max-nodes: how many there may be while tasks wait",
            ));
        }
        None => min,
    };
    Ok(SlurmGroup {
        min,
        max,
        partition: table.partition.map(Spanned::into_inner),
        cpus: table.cpus.map(|cpus| cpus.into_inner().get()),
        time: table.time.map(Spanned::into_inner),
        idle_timeout: table.idle_timeout.map_or(table::IDLE_TIMEOUT, |time| time.into_inner().get()),
        arguments: table.arguments.map(Spanned::into_inner).unwrap_or_default(),
    })
}

/// Workers on other hosts must have a chance to reach the coordinator.
fn check_reach(coordinator: &CoordinatorTable, groups: &[(Range<usize>, Group)]) -> Result<(), Wrong> {
    if !coordinator.listen().ip().is_loopback() || !coordinator.advertise.is_empty() {
        return Ok(());
    }
    let afar = groups.iter().find(|(_, group)| group.launcher.name() != LauncherName::Local);
    let Some((span, group)) = afar else { return Ok(()) };
    let message = format!(
        "these workers ({}) run on other hosts, which cannot reach a coordinator that listens at {}; \
         in [coordinator], set listen = \"0.0.0.0:7464\" (or advertise, where there is a way)",
        group.name,
        coordinator.listen()
    );
    Err(Wrong { span: Some(span.clone()), message })
}

impl CoordinatorTable {
    /// Flags of `poolmap coordinator`.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--listen={}", self.listen())];
        flags.extend(self.folder.iter().map(|folder| format!("--folder={}", folder.display())));
        flags.extend(self.advertise.iter().map(|address: &Address| format!("--advertise={address}")));
        flags.push(format!("--drain-timeout={}s", self.drain_timeout().as_secs_f64()));
        flags.extend(self.limits());
        flags
    }

    /// The flags that limit what it takes; the same wherever it runs.
    pub(crate) fn limits(&self) -> Vec<String> {
        let message = self.max_message_size.map(|size| format!("--max-message-size={}", size.bytes()));
        let files = self.max_files_size.map(|size| format!("--max-files-size={}", size.bytes()));
        message.into_iter().chain(files).collect()
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> Result<PathBuf, poolmap_proto::access::NoHome> {
        self.folder.clone().map_or_else(poolmap_proto::access::default_folder, Ok)
    }
}

#[cfg(test)]
mod tests;
