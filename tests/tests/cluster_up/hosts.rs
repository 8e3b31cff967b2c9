//! Hosts with addresses and names of their own, on this machine: network namespaces joined by a bridge, a real sshd in each.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::yard::{Yard, eventually, has_programs, is_there};

/// Some hosts `node1`, `node2`…, and the head from which they are reached; all of them see each other and nothing else.
pub(crate) struct Hosts {
    prefix: String,
    count: usize,
    daemons: Vec<Child>,
}

/// Whether this machine can have hosts.
pub(crate) fn can_be_made() -> bool {
    if !has_programs(&["sshd", "ssh", "ssh-keygen", "ip", "nsenter", "unshare"]) {
        return false;
    }
    let trial = format!("poolmap-trial-{}", std::process::id());
    let made = Command::new("ip")
        .args(["netns", "add", &trial])
        .output()
        .is_ok_and(|output| output.status.success());
    if made {
        ip(&format!("netns del {trial}"));
    }
    is_there("network namespaces", made)
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Hosts {
    /// Makes the hosts and a yard whose commands run on the head. `ssh_config` in the yard leads to the hosts.
    pub(crate) fn new(count: usize) -> (Self, Yard) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("pm{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut hosts = Self { prefix, count, daemons: Vec::new() };
        ip(&format!("netns add {}", hosts.space("switch")));
        ip(&format!("-n {} link add br0 type bridge", hosts.space("switch")));
        ip(&format!("-n {} link set br0 up", hosts.space("switch")));
        hosts.join("head", 0);
        (1..=count).for_each(|number| hosts.join(&format!("node{number}"), number));
        let yard = Yard::new().inside(&["nsenter", &format!("--net=/run/netns/{}", hosts.space("head"))]);
        hosts.serve(&yard);
        (hosts, yard)
    }

    fn space(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    fn join(&self, host: &str, number: usize) {
        let (space, switch) = (self.space(host), self.space("switch"));
        ip(&format!("netns add {space}"));
        ip(&format!("link add v0 netns {space} type veth peer name p{number} netns {switch}"));
        ip(&format!("-n {switch} link set p{number} master br0 up"));
        ip(&format!("-n {space} link set lo up"));
        ip(&format!("-n {space} addr add {}/24 dev v0", address(number)));
        ip(&format!("-n {space} link set v0 up"));
    }

    /// Cuts a host off.
    pub(crate) fn cut(&self, number: usize) {
        ip(&format!("-n {} link set p{number} down", self.space("switch")));
    }

    /// The home folder of the user on a host.
    pub(crate) fn home(yard: &Yard, number: usize) -> PathBuf {
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
            yard.write(&format!("sshd{number}"), &sshd_config(yard, number));
            self.daemons.push(self.start_sshd(yard, number));
            known += &[address(number), public.clone()].join(" ");
        }
        yard.write("known_hosts", &known);
        yard.write("ssh_config", &ssh_config(yard, self.count));
        (1..=self.count).for_each(|number| {
            eventually(&format!("sshd of node{number} listens"), || {
                yard.path(&format!("pid{number}")).exists().then_some(())
            });
        });
    }

    fn start_sshd(&self, yard: &Yard, number: usize) -> Child {
        let net = format!("--net=/run/netns/{}", self.space(&format!("node{number}")));
        let script = format!(
            "hostname node{number}; exec /usr/sbin/sshd -D -e -f {}",
            yard.path(&format!("sshd{number}")).display()
        );
        // From the head it could not get there.
        let mut command = Command::new("nsenter");
        command.args([net.as_str(), "unshare", "--uts", "sh", "-c", &script]);
        command.stderr(fs::File::create(yard.path(&format!("sshd{number}.log"))).unwrap()).spawn().unwrap()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ended = daemon.kill();
            let _status = daemon.wait();
        }
        let nodes = (1..=self.count).map(|number| format!("node{number}"));
        for host in nodes.chain(["head".to_owned(), "switch".to_owned()]) {
            let _left = Command::new("ip").args(["netns", "del", &self.space(&host)]).status();
        }
    }
}

fn address(number: usize) -> String {
    format!("10.77.0.{}", if number == 0 { 100 } else { number })
}

fn sshd_config(yard: &Yard, number: usize) -> String {
    let (name, value) = yard.mark();
    let path = |name: &str| yard.path(name).display().to_string();
    format!(
        "ListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\nUsePAM no\nStrictModes no\n\
         SetEnv {name}={value} HOME={}\n",
        address(number),
        path("host_key"),
        path("user_key.pub"),
        path(&format!("pid{number}")),
        Hosts::home(yard, number).display(),
    )
}

fn ssh_config(yard: &Yard, count: usize) -> String {
    let path = |name: &str| yard.path(name).display().to_string();
    let hosts = (1..=count).map(|number| format!("Host node{number}\n  HostName {}\n", address(number)));
    let hosts: String = hosts.collect();
    let (key, known) = (path("user_key"), path("known_hosts"));
    format!(
        "{hosts}Host *\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  \
         GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  ConnectTimeout 2\n  ConnectionAttempts 1\n"
    )
}
