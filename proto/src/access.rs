//! Access files: what a client or a worker needs to get into a cluster, in one document.
//!
//! The coordinator makes them and everybody else reads them; what is in one is secret, so one that others could read is
//! refused. Who may do what with which role is the coordinator's to decide.

mod place;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::place::{ACCESS_VARIABLE, NoHome, default_folder, find};

/// The port of a coordinator that was not told another one.
pub const DEFAULT_PORT: u16 = 7464;
/// The name in a coordinator's certificate. It is the same everywhere, so that any address of it will do.
pub const COORDINATOR_NAME: &str = "coordinator.poolmap.internal";
/// Far more than any access file has.
const MAX_FILE_BYTES: u64 = 1 << 20;
const FIRST_LINES: &str = "\
# Access to a poolmap cluster. Whoever has this file gets in: keep it readable by its user alone (chmod 600),
# and if it has leaked, have the coordinator refuse it (poolmap coordinator --revoke).
";

/// What a peer may do in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Submit jobs, read their outcomes, see and drain workers.
    Client,
    /// Run tasks.
    Worker,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Client, Self::Worker];

    /// The name in a certificate of this role. With each revocation a new generation begins.
    #[must_use]
    pub fn certificate_name(self, generation: u32) -> String {
        format!("{self}-{generation}.poolmap.internal")
    }

    /// Name of its access file in a coordinator's folder.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{self}.access")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Worker => "worker",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.to_string() == name);
        role.ok_or_else(|| format!("'{name}' is neither 'client' nor 'worker'"))
    }
}

/// Where a coordinator may be reached: `host:port`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// Reads `HOST` or `HOST:PORT`; a host alone is taken to be at this port.
    pub fn with_default_port(text: &str, default_port: u16) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no HOST or HOST:PORT (an IPv6 address stands in brackets)");
        let authority: http::uri::Authority = text.parse().map_err(|_| wrong())?;
        let port = match text.strip_prefix(authority.host()) {
            Some("") => Some(default_port),
            Some(_) => authority.port_u16(),
            None => None,
        };
        match (authority.host(), port) {
            ("", _) | (_, None | Some(0)) => Err(wrong()),
            (host, Some(port)) => Ok(Self(format!("{host}:{port}"))),
        }
    }

    /// Whether it is this very machine: a loopback address, or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.0.parse::<SocketAddr>() {
            Ok(address) => address.ip().is_loopback(),
            Err(_) => self.0.starts_with("localhost:"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads `HOST` or `HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::with_default_port(text, DEFAULT_PORT)
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is in an access file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// What it is good for.
    pub role: Role,
    /// Where the coordinator may be reached; any of them will do.
    pub addresses: Vec<Address>,
    /// Certificate of the cluster's authority, in PEM.
    pub authority: String,
    /// Certificate of this access, in PEM.
    pub certificate: String,
    /// Its private key, in PEM.
    pub key: String,
}

impl fmt::Debug for Access {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, addresses, .. } = self;
        f.debug_struct("Access").field("role", role).field("addresses", addresses).finish_non_exhaustive()
    }
}

/// An access file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is none.
    #[error(
        "there is no access file {}\n\
         Name one with --access FILE (in Python: cluster=FILE, or the variable {ACCESS_VARIABLE}). The coordinator's host makes one: \
         poolmap coordinator --new-access {role} --out FILE",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// What it should be good for.
        role: Role,
    },
    /// The system does not let it be read.
    #[error("cannot read the access file {}: {reason}", path.display())]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Others may read it.
    #[error(
        "the access file {} may be read by others (mode {mode:03o}), so it is not used\nRun: chmod 600 {}",
        path.display(), path.display()
    )]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is something else.
    #[error("{} is not an access file: {reason}", path.display())]
    Malformed {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is good for something else.
    #[error(
        "the access file {} is for a {is}, and a {wanted}'s is needed\n\
         The coordinator's host makes one: poolmap coordinator --new-access {wanted} --out FILE",
        path.display()
    )]
    OtherRole {
        /// Where it is.
        path: PathBuf,
        /// What it is good for.
        is: Role,
        /// What it should be good for.
        wanted: Role,
    },
}

impl Access {
    /// Reads the access file of a role.
    pub fn read(path: &Path, role: Role) -> Result<Self, AccessError> {
        let path = path.to_owned();
        let text = match read_private(&path) {
            Ok(text) => text,
            Err(ReadError::Exposed(mode)) => return Err(AccessError::Exposed { path, mode }),
            Err(ReadError::TooLarge) => {
                return Err(AccessError::Malformed { path, reason: "it is too large".to_owned() });
            }
            Err(ReadError::System(reason)) if reason.kind() == io::ErrorKind::NotFound => {
                return Err(AccessError::Missing { path, role });
            }
            Err(ReadError::System(reason)) if reason.kind() == io::ErrorKind::InvalidData => {
                return Err(AccessError::Malformed { path, reason: "it is not text".to_owned() });
            }
            Err(ReadError::System(reason)) => return Err(AccessError::Unreadable { path, reason }),
        };
        let access: Self = match toml::from_str(&text) {
            Ok(access) => access,
            // Its message shows the line, which may be the key.
            Err(error) => {
                return Err(AccessError::Malformed { path, reason: error.message().to_owned() });
            }
        };
        if access.role == role {
            Ok(access)
        } else {
            Err(AccessError::OtherRole { path, is: access.role, wanted: role })
        }
    }

    /// Writes it to a file that only this user can read, in place of one that is there.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let document = toml::to_string_pretty(self).map_err(io::Error::other)?;
        write_private(path, &format!("{FIRST_LINES}{document}"))
    }
}

/// Why a private file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Others may read it.
    #[error("others may read it (mode {0:03o})")]
    Exposed(u32),
    /// It is no file of ours.
    #[error("it is too large")]
    TooLarge,
    /// The system does not let it be read.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Reads a text that nobody but its owner can read; refuses one that others can.
pub fn read_private(path: &Path) -> Result<String, ReadError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ReadError::Exposed(mode));
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ReadError::TooLarge);
    }
    Ok(text)
}

/// Writes a text that nobody but this user can read; whoever reads meanwhile sees the old or the new one, whole.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _not_there = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests;
