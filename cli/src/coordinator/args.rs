//! The flags of `poolmap coordinator`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use poolmap_proto::access::{self, Address, DEFAULT_PORT, Role};
use serde::Deserialize;

use crate::exit::Failure;
use crate::quantity::{parse_size, parse_size_within, parse_time, parse_time_or_zero};

const EXAMPLES: &str = "\
Examples:
  poolmap coordinator                                          for clients and workers on this machine
  poolmap coordinator --listen 0.0.0.0:7464                    for other hosts, too
  poolmap coordinator --new-access worker --out worker.access  another access file, to copy to a host
  poolmap coordinator --revoke worker                          earlier access files of workers count no longer

At its first start it makes a certificate authority and two access files in its folder: client.access and worker.access.
Whoever has one of them gets in, and nobody else.";

/// Hold the jobs of a cluster: clients submit to it, workers dial in to it
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CoordinatorArgs {
    /// Listen at this address of the machine; 0.0.0.0 is all of them. May be given several times
    #[arg(long, value_name = "IP[:PORT]", default_value = "127.0.0.1:7464")]
    listen: Vec<ListenAddress>,

    /// Keep the certificate authority and the access files in DIR [default: ~/.local/state/poolmap/coordinator]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Have access files name this address; may be given several times [default: where it listens, or the machine's
    /// name and addresses if that is everywhere]
    #[arg(long, value_name = "HOST[:PORT]", value_parser = parse_advertised)]
    advertise: Vec<String>,

    /// Take no larger message from a client or worker: a task's arguments, its value and what it prints, and a function are
    /// each part of one; from 2MiB to 1GiB
    #[arg(
        long = "max-message-size", value_name = "SIZE", value_parser = parse_message_size, default_value = "64MiB"
    )]
    pub(super) max_message_bytes: usize,

    /// Take no more files that travel with jobs than this, all together; they are kept in the folder
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "10GiB")]
    pub(super) max_files_size: ByteSize,

    /// A worker that has not been heard of for TIME is lost, and its tasks run again elsewhere
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "15s", allow_hyphen_values = true)]
    pub(super) worker_timeout: Duration,

    /// Time that jobs have to end once it is told to stop
    #[arg(long, value_name = "TIME", value_parser = parse_time_or_zero, default_value = "10s", allow_hyphen_values = true)]
    pub(super) drain_timeout: Duration,

    /// Let everybody on this machine in, and speak in the clear
    #[arg(long, conflicts_with_all = ["folder", "advertise", "new_access", "revoke"])]
    pub(super) insecure: bool,

    /// Make another access file, for a client or a worker, and exit
    #[arg(long, value_name = "ROLE", requires = "out", help_heading = "Access files")]
    pub(super) new_access: Option<Role>,

    /// Where to write it
    #[arg(long, value_name = "FILE", requires = "new_access", help_heading = "Access files")]
    pub(super) out: Option<PathBuf>,

    /// How long access files that are made now get somebody in
    #[arg(
        long, value_name = "TIME", value_parser = parse_time, default_value = "3650days", allow_hyphen_values = true,
        help_heading = "Access files"
    )]
    pub(super) valid_for: Duration,

    /// Refuse all access files of clients or of workers that were made so far, make a new one in the folder, and exit
    #[arg(long, value_name = "ROLE", conflicts_with = "new_access", help_heading = "Access files")]
    pub(super) revoke: Option<Role>,
}

/// An address of this machine.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ListenAddress(SocketAddr);

impl ListenAddress {
    pub(crate) fn get(&self) -> SocketAddr {
        self.0
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}

impl FromStr for ListenAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let with_port = || text.parse::<SocketAddr>().ok();
        let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT));
        let address = with_port().or_else(bare).map(Self);
        address.ok_or("not an IP address of this machine, such as 127.0.0.1:7464, 0.0.0.0:7464 or [::]:7464")
    }
}

/// A size that messages may be limited to. The least is what workers put into one message of many small outcomes, with room to spare.
pub(crate) fn parse_message_size(text: &str) -> Result<usize, String> {
    let size = parse_size_within(text, 2 << 20..=1 << 30)?;
    usize::try_from(size.as_u64()).map_err(|error| error.to_string())
}

fn parse_advertised(text: &str) -> Result<String, String> {
    text.parse::<Address>().map(|_| text.to_owned())
}

impl CoordinatorArgs {
    /// Where to listen. Without TLS that is nowhere but on this machine.
    pub(super) fn listen(&self) -> Result<Vec<SocketAddr>, Failure> {
        let addresses: Vec<_> = self.listen.iter().map(|address| address.0).collect();
        match addresses.iter().find(|address| !address.ip().is_loopback()) {
            Some(address) if self.insecure => Err(Failure::Usage(format!(
                "--insecure lets everybody in who can connect, so it is not for {address}\n\
                 Listen at 127.0.0.1 only, or leave --insecure out: access files come by themselves"
            ))),
            _ => Ok(addresses),
        }
    }

    /// The folder of the coordinator.
    pub(super) fn folder(&self) -> Result<PathBuf, Failure> {
        let named = self.folder.clone().map_or_else(access::default_folder, Ok);
        named.map_err(|error| Failure::Usage(format!("{error}\nName one: --folder DIR")))
    }

    /// The addresses that the user wants in access files; those without a port have this one.
    pub(super) fn advertised(&self, port: u16) -> Vec<Address> {
        self.advertise.iter().filter_map(|text| Address::with_default_port(text, port).ok()).collect()
    }
}
