//! Cluster files that say what cannot be.

use crate::yard::{Yard, free_port};

/// What `up` says of a file, without its path.
fn fault(content: &str) -> String {
    let yard = Yard::new();
    yard.cluster(content);
    let ran = yard.poolmap("cluster up cluster.toml").exits(2);
    yard.leaves_nothing();
    ran.stderr
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_line_and_column() {
    let cases = [
        ("nmae = \"x\"", "1:1: unknown field `nmae`"),
        ("name = \"a/b\"", "1:8: 'a/b' is no name"),
        ("[coordinator]\nlisten = \"everywhere\"", "2:10: not an IP address of this machine"),
        ("[coordinator]\ndrain-timeout = \"soon\"", "2:17: expected number at 0; write it as"),
        ("[coordinator]\nadvertise = [\"a:b:c\"]", "'a:b:c' is no HOST"),
        (
            "[[workers]]\nlauncher = \"rocket\"",
            "2:12: unknown variant `rocket`, expected one of `local`, `ssh`, `slurm`",
        ),
        ("[[workers]]\ncount = 2", "1:1: missing field `launcher`"),
        ("[[workers]]\nlauncher = \"local\"\ncount = 0", "3:9: "),
        (
            "[[workers]]\nlauncher = \"local\"\nhosts = [\"a\"]",
            "3:9: `hosts` is no key of workers with the launcher \"local\"",
        ),
        (
            "[[workers]]\nlauncher = \"local\"\n\n[[workers]]\nlauncher = \"local\"\nname = \"local\"",
            "4:1: two groups of workers are called 'local'",
        ),
        ("[[workers]]\nlauncher = \"local\"\ndivisor = 0.5", "3:11: not a number of at least 1"),
        (
            "[[workers]]\nlauncher = \"local\"\nenv = { \"A=B\" = \"c\" }",
            "'A=B' is no name of an environment variable",
        ),
        ("[[workers]]\nlauncher = \"local\"\ncount = ", "3:9: "),
        ("[[workers]]\nlauncher = \"ssh\"", "2:12: the launcher \"ssh\" needs hosts"),
        (
            "[[workers]]\nlauncher = \"ssh\"\nhosts = [\"a\", \"-oProxyCommand=x\"]",
            "3:15: '-oProxyCommand=x' is no host",
        ),
        ("[[workers]]\nlauncher = \"ssh\"\nhosts = [\"a\", \"a\"]", "3:15: 'a' is there twice"),
        (
            "[[workers]]\nlauncher = \"ssh\"\nhosts = [\"a\"]",
            "1:1: these workers (ssh) run on other hosts, which cannot reach a coordinator that listens at 127.0.0.1:7464",
        ),
        (
            "[[workers]]\nlauncher = \"slurm\"\nnodes = 5\nmax-nodes = 2",
            "4:13: max-nodes is less than nodes, which is 5",
        ),
        ("[[workers]]\nlauncher = \"slurm\"\nnodes = 0", "2:12: nodes = 0 needs max-nodes"),
        ("[kubernetes]\nimage = \"i\"\nkind = \"DaemonSet\"", "3:8: unknown variant `DaemonSet`"),
        ("[kubernetes]\nreplicas = 2", "1:1: missing field `image`"),
    ];
    for (content, told) in cases {
        let said = fault(content);
        assert!(said.contains(told), "of\n{content}\nit says\n{said}not\n{told}");
        assert!(said.contains("cluster.toml:"), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = Yard::new().poolmap("cluster up nowhere.toml").exits(2);
    assert_eq!(ran.stderr, "poolmap: cannot read the cluster file nowhere.toml: No such file or directory\n");
}

#[test]
fn a_port_that_is_taken_is_told_with_what_the_coordinator_said() {
    let yard = Yard::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    yard.cluster(&format!("[coordinator]\nlisten = \"127.0.0.1:{port}\""));
    let told = format!("cannot listen at 127.0.0.1:{port}");
    yard.poolmap("cluster up cluster.toml").exits(3).says(&["coordinator: ", &told, "cluster is not up"]);
    yard.leaves_nothing();
}

#[test]
fn a_folder_that_another_coordinator_uses_is_told() {
    let yard = Yard::new();
    let file =
        |name: &str| format!("name = \"{name}\"\n[coordinator]\nlisten = \"127.0.0.1:{}\"", free_port());
    yard.write("other.toml", &file("other"));
    yard.cluster(&file("mine"));
    yard.poolmap("cluster up other.toml").succeeds();
    yard.poolmap("cluster up cluster.toml").exits(3).says(&["another coordinator runs in the folder"]);
    yard.poolmap("cluster down other.toml").succeeds();
    yard.leaves_nothing();
}
