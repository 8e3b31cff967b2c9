//! What cluster files say, and what is wrong with them.

use super::*;

fn parse(text: &str) -> Result<ClusterFile, String> {
    ClusterFile::parse(Path::new("demo.toml"), text).map_err(|fault| fault.to_string())
}

#[test]
fn an_empty_file_is_a_coordinator_on_this_machine() -> Result<(), String> {
    let file = parse("")?;
    assert_eq!((file.name.as_str(), file.groups.len()), ("demo", 0));
    assert_eq!(file.coordinator.flags(), ["--listen=127.0.0.1:7464", "--drain-timeout=10s"]);
    Ok(())
}

#[test]
fn what_a_coordinator_takes_may_be_limited() -> Result<(), String> {
    let file = parse("[coordinator]\nmax-message-size = \"8MiB\"\nmax-files-size = \"1GiB\"")?;
    assert_eq!(file.coordinator.limits(), ["--max-message-size=8388608", "--max-files-size=1073741824"]);
    let wrong = parse("[coordinator]\nmax-message-size = \"1MiB\"");
    assert!(wrong.as_ref().is_err_and(|text| text.starts_with("demo.toml:2:20: ")), "{wrong:?}");
    Ok(())
}

#[test]
fn what_is_the_same_for_all_workers_becomes_flags() -> Result<(), String> {
    let file = parse(
        "[[workers]]\nlauncher = \"local\"\ndivisor = 1\nmax-slots = 3\nlabels = [\"a b\"]\npython = \"py\"\nenv = { A = \"1\" }",
    )?;
    let Some(group) = file.groups.first() else { return Err("no group".to_owned()) };
    assert_eq!(group.settings.flags, ["--divisor=1", "--max-slots=3", "--label=a b", "--python=py"]);
    assert_eq!(group.settings.environment.len(), 1);
    assert!(matches!(group.launcher, Launcher::Local { count: 1 }));
    Ok(())
}

#[test]
fn groups_without_names_are_numbered_from_the_second_on() -> Result<(), String> {
    let group = "[[workers]]\nlauncher = \"local\"\n";
    let file = parse(&group.repeat(3))?;
    let names: Vec<_> = file.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["local", "local-2", "local-3"]);
    Ok(())
}

#[test]
fn columns_count_characters() {
    let wrong = parse("name = \"demo\"\n[coordinator]\nfolder = \"ä\"\nlisten = 1");
    assert!(wrong.as_ref().is_err_and(|text| text.starts_with("demo.toml:4:10: ")), "{wrong:?}");
}

#[test]
fn hosts_may_reach_a_coordinator_that_listens_at_home_where_its_user_says_how() {
    let ssh = "[[workers]]\nlauncher = \"ssh\"\nhosts = [\"a\"]\n";
    assert!(parse(ssh).is_err());
    assert!(parse(&format!("[coordinator]\nlisten = \"10.0.0.1\"\n{ssh}")).is_ok());
    assert!(parse(&format!("[coordinator]\nadvertise = [\"gate:99\"]\n{ssh}")).is_ok());
}

#[test]
fn examples_are_read() -> Result<(), FileFault> {
    for example in ["local", "ssh", "slurm", "kubernetes"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        ClusterFile::read(&root.join(format!("cluster-{example}.toml")))?;
    }
    Ok(())
}
