//! Several hosts on this machine: network namespaces on one switch, each with an address of its own. Nothing in there reaches
//! the network outside, or this machine's own loopback.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Address of a host, without its last part.
const NET: &str = "10.77.0";
/// Names of devices hold 15 bytes, those of namespaces are ours to choose.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// Hosts that see each other through a switch. All is taken down when this is dropped.
pub struct Network {
    name: String,
    hosts: u32,
}

/// One host of a network: hosts are numbered from 1.
#[derive(Clone)]
pub struct Host {
    namespace: String,
    number: u32,
}

impl Network {
    /// Makes so many hosts; `None`, after a word on why, where namespaces may not be made. CI must be able to.
    pub fn of(hosts: u32) -> Option<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self { name: format!("pm{}-{number}", std::process::id()), hosts };
        if let Err(why) = ip(&format!("netns add {}", network.switch())) {
            assert!(std::env::var_os("CI").is_none(), "network namespaces cannot be made: {why}");
            println!("skipped: network namespaces cannot be made: {why}");
            return None;
        }
        network.connect();
        Some(network)
    }

    fn connect(&self) {
        let switch = self.switch();
        run(&format!("-n {switch} link add br0 type bridge"));
        run(&format!("-n {switch} link set br0 up"));
        for host in (1..=self.hosts).map(|number| self.host(number)) {
            let Host { namespace, number } = &host;
            run(&format!("netns add {namespace}"));
            run(&format!("link add v0 netns {namespace} type veth peer name p{number} netns {switch}"));
            run(&format!("-n {switch} link set p{number} master br0 up"));
            run(&format!("-n {namespace} link set lo up"));
            run(&format!("-n {namespace} addr add {}/24 dev v0", host.address()));
            run(&format!("-n {namespace} link set v0 up"));
        }
    }

    fn switch(&self) -> String {
        format!("{}-0", self.name)
    }

    /// One of its hosts.
    pub fn host(&self, number: u32) -> Host {
        assert!((1..=self.hosts).contains(&number));
        Host { namespace: format!("{}-{number}", self.name), number }
    }

    /// Cuts a host off: its packets and those to it are lost without a word.
    pub fn cut(&self, host: u32) {
        run(&format!("-n {} link set p{host} down", self.switch()));
    }

    /// The same for a while, whose length is what a test is about.
    pub fn cut_for(&self, host: u32, time: Duration) {
        self.cut(host);
        std::thread::sleep(time);
        self.restore(host);
    }

    /// Joins a host to the others again.
    pub fn restore(&self, host: u32) {
        run(&format!("-n {} link set p{host} up", self.switch()));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for number in 0..=self.hosts {
            let namespace = format!("{}-{number}", self.name);
            // What still runs in there was started by a test that has failed.
            for process in processes(&namespace) {
                let _gone = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL);
            }
            let _was_not_made = ip(&format!("netns del {namespace}"));
        }
    }
}

impl Host {
    /// Its address, as text.
    pub fn address(&self) -> String {
        format!("{NET}.{}", self.number)
    }

    /// The name of its network namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A command that runs a program on this host. It becomes that program, so that signals reach it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        // Unlike `ip netns exec` this leaves /sys alone, where the limits of the machine stand.
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program);
        command
    }
}

fn processes(namespace: &str) -> Vec<nix::unistd::Pid> {
    let output = Command::new("ip").args(["netns", "pids", namespace]).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let pids = String::from_utf8_lossy(&output);
    pids.split_whitespace().filter_map(|pid| pid.parse().ok()).map(nix::unistd::Pid::from_raw).collect()
}

fn run(words: &str) {
    ip(words).unwrap_or_else(|why| panic!("ip {words}: {why}"));
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|error| error.to_string())?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(error) }
}
