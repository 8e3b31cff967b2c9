//! A Slurm of one's own: munged, slurmctld and a slurmd for each node, all on this machine.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::Child;

use poolmap_tests::language::{SOON, eventually};

use crate::yard::{Yard, free_port, has_programs};

/// Whether Slurm is installed.
pub(crate) fn is_installed() -> bool {
    has_programs(&["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo"])
}

/// Its daemons, which end with this.
pub(crate) struct Slurm(Vec<Child>);

impl Slurm {
    /// Starts it, and a yard whose commands know it.
    pub(crate) fn start(nodes: usize) -> (Self, Yard) {
        let yard = Yard::new();
        // Workers need not see each other's folders, but Slurm wants to enter its own.
        fs::set_permissions(yard.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let configuration = yard.path("slurm.conf").display().to_string();
        let yard = yard.env("SLURM_CONF", configuration);
        for folder in ["ctl", "spool", "run"] {
            fs::create_dir(yard.path(folder)).unwrap();
        }
        write_key(&yard);
        yard.write("slurm.conf", &slurm_conf(&yard, nodes));
        let path = |name: &str| yard.path(name).display().to_string();
        let munge = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            format!("--key-file={}", path("munge.key")),
            format!("--socket={}", path("run/munge")),
            format!("--pid-file={}", path("run/munged.pid")),
            format!("--log-file={}", path("munged.log")),
            format!("--seed-file={}", path("run/seed")),
        ];
        let mut slurm = Self(Vec::new());
        slurm.0.push(yard.start("/usr/sbin/munged", &munge.each_ref().map(String::as_str)));
        eventually("munged listens", SOON, || yard.path("run/munge").exists().then_some(()));
        slurm.0.push(yard.start("/usr/sbin/slurmctld", &["-D", "-c"]));
        for node in 1..=nodes {
            slurm.0.push(yard.start("/usr/sbin/slurmd", &["-D", "-N", &format!("n{node}")]));
        }
        eventually("all nodes are idle", SOON, || {
            let output = yard.command("sinfo").args(["-h", "-o", "%D", "-t", "idle"]).output().unwrap();
            (String::from_utf8_lossy(&output.stdout).trim() == nodes.to_string()).then_some(())
        });
        (slurm, yard)
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for daemon in self.0.iter_mut().rev() {
            let _gone = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(daemon.id().cast_signed()),
                nix::sys::signal::Signal::SIGTERM,
            );
            let _status = daemon.wait();
        }
    }
}

fn write_key(yard: &Yard) {
    let mut key =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(yard.path("munge.key")).unwrap();
    let random: Vec<u8> = (0..1024).map(|_| rand::random()).collect();
    key.write_all(&random).unwrap();
}

fn slurm_conf(yard: &Yard, nodes: usize) -> String {
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let host = host.split('.').next().unwrap();
    let folder = yard.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    let node_lines: Vec<_> = (1..=nodes)
        .map(|node| format!("NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={} CPUs=2 RealMemory=1000 State=UNKNOWN\n", free_port()))
        .collect();
    let node_lines = node_lines.concat();
    format!(
        "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmUser=root\nSlurmdUser=root\n\
         AuthType=auth/munge\nAuthInfo=socket={folder}/run/munge\nCredType=cred/munge\nStateSaveLocation={folder}/ctl\n\
         SlurmdSpoolDir={folder}/spool/%n\nSlurmctldPidFile={folder}/run/ctl.pid\nSlurmdPidFile={folder}/run/%n.pid\n\
         SlurmctldLogFile={folder}/slurmctld.log\nSlurmdLogFile={folder}/slurmd-%n.log\nProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n\
         JobCompType=jobcomp/none\nMpiDefault=none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU_Memory\n\
         DefMemPerCPU=100\nSchedulerType=sched/backfill\n\
         SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1\nReturnToService=2\nSlurmctldTimeout=30\n\
         SlurmdTimeout=10\nKillWait=2\nMinJobAge=300\nSlurmdParameters=config_overrides\n{node_lines}\
         PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP\n",
        free_port()
    )
}
