//! What users read before they run anything.

use poolmap_tests::language::poolmap;
use poolmap_tests::programs::root;

#[test]
fn the_first_page() {
    insta::assert_snapshot!("poolmap", poolmap("--help").run().succeeds().stdout());
}

#[test]
fn the_page_of_run() {
    insta::assert_snapshot!("run", poolmap("run --help").run().succeeds().stdout());
}

#[test]
fn the_page_of_coordinator() {
    insta::assert_snapshot!("coordinator", poolmap("coordinator --help").run().succeeds().stdout());
}

#[test]
fn the_page_of_worker() {
    insta::assert_snapshot!("worker", poolmap("worker --help").run().succeeds().stdout());
}

#[test]
fn the_page_of_cpus() {
    insta::assert_snapshot!("cpus", poolmap("cpus --help").run().succeeds().stdout());
}

#[test]
fn the_page_of_cluster() {
    insta::assert_snapshot!("cluster", poolmap("cluster --help").run().succeeds().stdout());
}

#[test]
fn a_word_that_is_no_command_is_corrected() {
    let ran = poolmap("rum f.py:f").run().exits(2);
    insta::assert_snapshot!(ran.stderr(), @r"
    error: unrecognized subcommand 'rum'

      tip: some similar subcommands exist: 'run', 'resume'

    Usage: poolmap [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn the_version_is_told() {
    assert_eq!(
        poolmap("--version").run().succeeds().stdout(),
        format!("poolmap {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn nothing_at_all_is_answered_with_the_first_page() {
    let ran = poolmap("").run().exits(2);
    assert!(ran.stderr().contains("Usage: poolmap") && ran.stderr().contains("run"), "{}", ran.stderr());
}

#[test]
fn shells_complete_our_words() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = poolmap("completions").words(shell).run().succeeds();
        for word in ["run", "cpus", "max-tasks-per-child", "keep-order"] {
            assert!(ran.stdout().contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn a_reader_of_help_may_go_away() {
    let mut running = poolmap("run --help").start();
    drop(running.stdout());
    running.ends().succeeds();
}

#[test]
fn every_option_of_run_is_in_its_guide_or_its_help() {
    let guide = std::fs::read_to_string(root().join("docs/run.md")).unwrap();
    let help = poolmap("run --help").run().succeeds();
    let named = guide
        .split('`')
        .filter_map(|code| code.split_whitespace().next())
        .filter(|word| word.starts_with("--"));
    for option in named.filter(|option| option.len() > 2) {
        assert!(help.stdout().contains(option), "docs/run.md speaks of {option}, which is no option");
    }
}
