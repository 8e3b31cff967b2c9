//! How long `cluster up` of three ssh hosts takes: `cargo run --release -p poolmap-bench --bin ssh_hosts`, as root.
//!
//! Prints a table in Markdown, for `bench/README.md`. The hosts are network namespaces with a real sshd each. All of it is in
//! namespaces of this program's own for processes, mounts and network, so that the kernel removes it whichever way this ends.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;

const HOSTS: usize = 3;
/// A tmpfs inside, so what is written there goes with it.
const PRIVATE: &str = "/run";
const CLUSTER: &str = "\
[coordinator]
listen = \"0.0.0.0:7464\"

[[workers]]
launcher = \"ssh\"
hosts = [\"node1\", \"node2\", \"node3\"]
arguments = [\"-F\", \"ssh_config\"]
slots = 1
";

#[derive(Parser)]
struct Args {
    /// Runs of which the median is told
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// This is the process inside
    #[arg(long, hide = true)]
    inside: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.inside { Hosts::make()?.measure(args.runs) } else { enclose(args.runs) }
}

/// Runs this program again, in namespaces of its own.
fn enclose(runs: usize) -> Result<()> {
    let status = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"])
        .arg(format!("mount -t tmpfs tmpfs {PRIVATE} && exec \"$0\" --inside --runs {runs}"))
        .arg(std::env::current_exe()?)
        .status()
        .context("starting unshare")?;
    ensure!(status.success(), "it needs root, iproute2 and openssh-server: {status}");
    Ok(())
}

/// Hosts `node1`…, each with an address, a name and a home of its own, that see each other and this one.
struct Hosts {
    folder: PathBuf,
}

impl Hosts {
    fn make() -> Result<Self> {
        let hosts = Self { folder: Path::new(PRIVATE).join("hosts") };
        fs::create_dir(&hosts.folder)?;
        fs::create_dir(Path::new(PRIVATE).join("sshd"))?;
        ip("link set lo up")?;
        ip("link add br0 type bridge")?;
        ip(&format!("addr add {}/24 dev br0", address(0)))?;
        ip("link set br0 up")?;
        for key in ["host_key", "user_key"] {
            run(hosts.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]))?;
        }
        for number in 1..=HOSTS {
            join(number)?;
            hosts.serve(number)?;
        }
        hosts.write_client()?;
        for number in 1..=HOSTS {
            hosts.answers(number)?;
        }
        Ok(hosts)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&self.folder).env("XDG_STATE_HOME", self.path("state")).stdin(Stdio::null());
        command
    }

    /// The home of the user on a host.
    fn home(&self, number: usize) -> PathBuf {
        self.path(&format!("home{number}"))
    }

    /// Starts sshd there; it ends with this program.
    fn serve(&self, number: usize) -> Result<()> {
        let home = self.home(number);
        fs::create_dir(&home)?;
        let config = self.path(&format!("sshd{number}"));
        let folder = self.folder.display();
        fs::write(
            &config,
            format!(
                "ListenAddress {}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/user_key.pub\n\
                 PidFile none\nUsePAM no\nStrictModes no\nSetEnv HOME={}\n",
                address(number),
                home.display()
            ),
        )?;
        let script = format!("hostname node{number}; exec /usr/sbin/sshd -D -e -f {}", config.display());
        let log = fs::File::create(self.path(&format!("sshd{number}.log")))?;
        self.command("ip")
            .args(["netns", "exec", &node(number), "unshare", "--uts", "sh", "-c", &script])
            .stderr(log)
            .spawn()
            .context("starting sshd")?;
        Ok(())
    }

    fn write_client(&self) -> Result<()> {
        let key = fs::read_to_string(self.path("host_key.pub"))?;
        let folder = self.folder.display();
        let (mut known, mut hosts) = (String::new(), String::new());
        for number in 1..=HOSTS {
            let address = address(number);
            known += &[&address, " ", &key].concat();
            hosts += &["Host ", &node(number), "\n  HostName ", &address, "\n"].concat();
        }
        fs::write(self.path("known_hosts"), known)?;
        fs::write(
            self.path("ssh_config"),
            format!(
                "{hosts}Host *\n  User root\n  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n  \
                 UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  BatchMode yes\n"
            ),
        )?;
        Ok(fs::write(self.path("cluster.toml"), CLUSTER)?)
    }

    fn answers(&self, number: usize) -> Result<()> {
        let begun = Instant::now();
        let mut ssh = self.command("ssh");
        ssh.args(["-F", "ssh_config", &node(number), "true"]);
        while let Err(error) = run(&mut ssh) {
            ensure!(begun.elapsed() < Duration::from_secs(10), "node{number} does not answer: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn measure(&self, runs: usize) -> Result<()> {
        let (mut copied, mut there) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            for number in 1..=HOSTS {
                // Not there the first time.
                let _absent = fs::remove_dir_all(self.home(number).join(".cache"));
            }
            copied.push(self.up()?);
            there.push(self.up()?);
        }
        let (copied, there) = (spread(copied), spread(there));
        let table = format!(
            "| `cluster up` of {HOSTS} ssh hosts that have poolmap | ≤ 5 s | {there}, of {runs} |\n\
             | the same, poolmap copied to each | ≤ 15 s | {copied}, of {runs} |\n"
        );
        Ok(io::stdout().write_all(table.as_bytes())?)
    }

    /// Seconds until all workers have joined; they have left when this returns.
    fn up(&self) -> Result<f64> {
        let poolmap = std::env::current_exe()?.with_file_name("poolmap");
        let begun = Instant::now();
        let said = run(self.command(&poolmap).args(["cluster", "up", "cluster.toml"]))?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(said.contains("is up: 3 workers"), "{said}");
        for number in 1..=HOSTS {
            ensure!(self.home(number).join(".cache/poolmap").exists(), "node{number} ran another poolmap");
        }
        run(self.command(&poolmap).args(["cluster", "down", "cluster.toml"]))?;
        Ok(seconds)
    }
}

/// Gives a host its network, joined to this one's.
fn join(number: usize) -> Result<()> {
    let host = node(number);
    ip(&format!("netns add {host}"))?;
    ip(&format!("link add p{number} type veth peer name v0 netns {host}"))?;
    ip(&format!("link set p{number} master br0 up"))?;
    ip(&format!("-n {host} link set lo up"))?;
    ip(&format!("-n {host} addr add {}/24 dev v0", address(number)))?;
    ip(&format!("-n {host} link set v0 up"))
}

fn node(number: usize) -> String {
    format!("node{number}")
}

fn address(number: usize) -> String {
    format!("10.77.0.{}", if number == 0 { 100 } else { number })
}

fn ip(words: &str) -> Result<()> {
    run(Command::new("ip").args(words.split(' '))).map(drop)
}

/// What a command prints.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn spread(mut seconds: Vec<f64>) -> String {
    seconds.sort_by(f64::total_cmp);
    let at = |place: usize| seconds.get(place).copied().unwrap_or(f64::NAN);
    format!("{:.2} s ({:.2}–{:.2})", at(seconds.len() / 2), at(0), at(seconds.len().saturating_sub(1)))
}
