//! Hosts with addresses and names of their own, on this machine: network namespaces joined by a bridge, a real sshd in each.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use poolmap_tests::language::{SOON, eventually};
use poolmap_tests::network::{Host, Network};

use crate::yard::{Yard, has_programs};

/// What it takes to have hosts.
const PROGRAMS: &[&str] = &["sshd", "ssh", "ssh-keygen", "ip", "nsenter", "unshare"];

/// Some hosts `node1`, `node2`…, and a last one, the head from which they are reached; all of them see each other and nothing
/// else.
pub(crate) struct Hosts {
    network: Network,
    count: u32,
    daemons: Vec<Child>,
}

impl Hosts {
    /// Makes the hosts and a yard whose commands run on the head; `None` where that cannot be. `ssh_config` in the yard leads to
    /// the hosts.
    pub(crate) fn new(count: u32) -> Option<(Self, Yard)> {
        if !has_programs(PROGRAMS) {
            return None;
        }
        let network = Network::of(count + 1)?;
        let yard = Yard::new().inside(&["nsenter", &entry(&network.host(count + 1))]);
        let mut hosts = Self { network, count, daemons: Vec::new() };
        hosts.serve(&yard);
        Some((hosts, yard))
    }

    /// Cuts a host off.
    pub(crate) fn cut(&self, number: u32) {
        self.network.cut(number);
    }

    /// Joins it to the others again.
    pub(crate) fn restore(&self, number: u32) {
        self.network.restore(number);
    }

    /// The home folder of the user on a host.
    pub(crate) fn home(yard: &Yard, number: u32) -> PathBuf {
        yard.path(&format!("home{number}"))
    }

    /// Starts sshd on all of them, with keys of their own.
    fn serve(&mut self, yard: &Yard) {
        fs::create_dir_all("/run/sshd").unwrap();
        for key in ["host_key", "user_key"] {
            let status =
                yard.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]).status();
            assert!(status.unwrap().success());
        }
        let public = fs::read_to_string(yard.path("host_key.pub")).unwrap();
        let mut known = String::new();
        for number in 1..=self.count {
            fs::create_dir(Self::home(yard, number)).unwrap();
            yard.write(&format!("sshd{number}"), &sshd_config(yard, number, &self.network.host(number)));
            self.daemons.push(self.start_sshd(yard, number));
            known += &[self.network.host(number).address(), public.clone()].join(" ");
        }
        yard.write("known_hosts", &known);
        yard.write("ssh_config", &self.ssh_config(yard));
        (1..=self.count).for_each(|number| {
            eventually(&format!("sshd of node{number} listens"), SOON, || {
                yard.path(&format!("pid{number}")).exists().then_some(())
            });
        });
    }

    fn start_sshd(&self, yard: &Yard, number: u32) -> Child {
        let net = entry(&self.network.host(number));
        let script = format!(
            "hostname node{number}; exec /usr/sbin/sshd -D -e -f {}",
            yard.path(&format!("sshd{number}")).display()
        );
        // From the head it could not get there.
        let mut command = Command::new("nsenter");
        command.args([net.as_str(), "unshare", "--uts", "sh", "-c", &script]);
        command.stderr(fs::File::create(yard.path(&format!("sshd{number}.log"))).unwrap()).spawn().unwrap()
    }

    fn ssh_config(&self, yard: &Yard) -> String {
        let path = |name: &str| yard.path(name).display().to_string();
        let host =
            |number| format!("Host node{number}\n  HostName {}\n", self.network.host(number).address());
        let hosts: String = (1..=self.count).map(host).collect();
        let (key, known) = (path("user_key"), path("known_hosts"));
        format!(
            "{hosts}Host *\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  \
             GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ConnectTimeout 2\n  ConnectionAttempts 1\n"
        )
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ended = daemon.kill();
            let _status = daemon.wait();
        }
    }
}

/// The way into a host's network.
fn entry(host: &Host) -> String {
    format!("--net=/run/netns/{}", host.namespace())
}

fn sshd_config(yard: &Yard, number: u32, host: &Host) -> String {
    let (name, value) = yard.mark();
    let path = |name: &str| yard.path(name).display().to_string();
    format!(
        "ListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\nUsePAM no\nStrictModes no\n\
         SetEnv {name}={value} HOME={}\n",
        host.address(),
        path("host_key"),
        path("user_key.pub"),
        path(&format!("pid{number}")),
        Hosts::home(yard, number).display(),
    )
}
