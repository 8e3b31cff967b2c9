//! `poolmap cluster manifest`: what Kubernetes needs to run a cluster, as YAML on standard output.
//!
//! Nothing is started here: `kubectl apply` does that. The cluster's certificate authority is made on this machine, as that of
//! any coordinator, so that manifests that are written later fit the ones before, and clients here have their access file.

mod manifest;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use poolmap_coordinator::access::Folder;
use poolmap_proto::access::{Access, Address, DEFAULT_PORT, Role, default_folder, read_private};

use self::manifest::{Manifest, Secrets};
use super::FileArgs;
use super::file::{ClusterFile, KubernetesTable};
use crate::exit::{Failure, say};
use crate::quantity::parse_time;

/// Write what Kubernetes needs to run a cluster, with a [kubernetes] table in its file, to standard output
#[derive(Args, Clone, Debug)]
pub(super) struct ManifestArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How long the access files in it get somebody in
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "3650days", allow_hyphen_values = true)]
    valid_for: std::time::Duration,
}

/// Prints the manifest.
pub(super) fn run(args: &ManifestArgs) -> Result<ExitCode, Failure> {
    let path = args.file.file.display();
    let file = ClusterFile::read(&args.file.file)?;
    let Some(kubernetes) = &file.kubernetes else {
        return Err(Failure::Usage(format!(
            "{path} has no [kubernetes] table\nWrite at least: [kubernetes] image = \"IMAGE\", with an image that has poolmap in it"
        )));
    };
    let name = &file.name;
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Err(Failure::Usage(format!(
            "{path}: '{name}' is no name in Kubernetes: lower-case letters, digits and '-'\nWrite: name = \"…\""
        )));
    }
    let folder = Folder::open(&folder(&file)?)?;
    let secrets = secrets(args, &file, kubernetes, &folder)?;
    let documents =
        Manifest { name: &file.name, kubernetes, coordinator: &file.coordinator }.documents(&secrets);
    let mut text = String::new();
    for document in documents {
        let yaml = serde_saphyr::to_string(&document)
            .map_err(|error| Failure::Usage(format!("the manifest cannot be written: {error}")))?;
        text.push_str("---\n");
        text.push_str(&yaml);
    }
    write!(std::io::stdout().lock(), "{text}")?;
    say(&format!(
        "the manifest has private keys in it\n\
         Clients on this machine: kubectl --namespace {} port-forward service/{} {DEFAULT_PORT}, and --access {}",
        kubernetes.namespace,
        manifest::coordinator_name(&file.name),
        folder.access_file(Role::Client).display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Where the authority is kept. Not with that of this machine's own coordinator: whoever can read secrets in Kubernetes could get
/// in there.
fn folder(file: &ClusterFile) -> Result<PathBuf, Failure> {
    if let Some(folder) = &file.coordinator.folder {
        return Ok(folder.clone());
    }
    let usual = default_folder().map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(usual.with_file_name("kubernetes").join(&file.name))
}

/// Access files for workers, which reach the coordinator by its name in Kubernetes, and for clients, which do through a forwarded
/// port. Those that lie there and still fit are taken again, so that a manifest is the same each time.
fn secrets(
    args: &ManifestArgs,
    file: &ClusterFile,
    kubernetes: &KubernetesTable,
    folder: &Folder,
) -> Result<Secrets, Failure> {
    let service = format!("{}.{}.svc", manifest::coordinator_name(&file.name), kubernetes.namespace);
    let mut of_clients = vec!["127.0.0.1".to_owned()];
    of_clients.extend(file.coordinator.advertise.iter().map(ToString::to_string));
    for (role, hosts) in [(Role::Worker, vec![service]), (Role::Client, of_clients)] {
        let addresses = hosts.iter().map(|host| host.parse::<Address>()).collect::<Result<Vec<_>, _>>();
        let addresses = addresses.map_err(Failure::Usage)?;
        let path = folder.access_file(role);
        if !Access::read(&path, role).is_ok_and(|access| access.addresses == addresses) {
            folder.write_access(&path, role, &addresses, args.valid_for)?;
        }
    }
    let read = |path: PathBuf| {
        read_private(&path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
    };
    Ok(Secrets { authority: read(folder.authority_file())?, worker: read(folder.access_file(Role::Worker))? })
}
