//! Commands: what reaches the program, and how it may end.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use poolmap_tests::language::{eventually, poolmap};
use serde_json::json;

/// What each argument looks like to the program, one in brackets each.
const SHOW: &str = "printf '[%s]' \"$@\"; echo";

#[test]
fn arguments_reach_the_program_as_they_are() {
    let hostile = ["a b", "*", "$(touch hacked)", "`id`", "it's", "\"q\"", "\\", "-n", "", "é😀", "a\nb"];
    let mut line = poolmap("run -k -- sh -c").args([SHOW, "sh", "{}", "x{}y", ":::"]);
    for word in hostile {
        line = line.arg(word);
    }
    let ran = line.run().succeeds();
    let expected = hostile.iter().map(|word| format!("[{word}][x{word}y]\n")).collect::<Vec<_>>().concat();
    assert_eq!(ran.stdout(), expected);
}

#[test]
fn a_shell_gets_each_value_quoted() {
    let values = ["a b", "$(touch hacked)", "it's; exit 3", "", "a\nb"];
    let mut line = poolmap("run -k --shell --").args(["printf '<%s>\\n' {} | cat", ":::"]);
    for word in values {
        line = line.arg(word);
    }
    let expected = values.iter().map(|word| format!("<{word}>\n")).collect::<Vec<_>>().concat();
    assert_eq!(line.run().succeeds().stdout(), expected);
}

#[test]
fn bytes_that_are_no_text_reach_the_program_and_come_back() {
    let odd = OsString::from_vec(b"a\xff\xfe".to_vec());
    let ran = poolmap("run -- printf %s: {}").arg(&odd).arg(":::").arg(&odd).run().succeeds();
    assert_eq!(ran.bytes(), b"a\xff\xfe:a\xff\xfe:");
    let ran = poolmap("run -- cat").stdin(b"").arg(":::").run().succeeds();
    assert_eq!(ran.bytes(), b"");
    let ran = poolmap("run -- echo").stdin(b"\xff\xfe\n").run().succeeds();
    assert_eq!(ran.bytes(), b"\xff\xfe\n");
    let ran = poolmap("run --output json -- echo").stdin(b"\xff\n").run().succeeds();
    assert_eq!(ran.value(), "\u{fffd}\n");
}

#[test]
fn replacement_strings_have_their_usual_meaning() {
    let words = "run -- echo {} {.} {/} {//} {/.} {1.} {-1/} {#} ::: dir/photo.tar.gz";
    let expected = "dir/photo.tar.gz dir/photo.tar photo.tar.gz dir photo.tar dir/photo.tar photo.tar.gz 1\n";
    assert_eq!(poolmap(words).run().succeeds().stdout(), expected);
    let other = poolmap("run -I ,, -- echo ,, {} {1} ::: a").run().succeeds();
    assert_eq!(other.stdout(), "a {} {1}\n");
}

#[test]
fn exit_statuses_are_outcomes() {
    let ran =
        poolmap("run --output json -- sh -c").args(["exit {}", ":::", "0", "1", "255", "127"]).run().exits(1);
    assert_eq!(ran.results()[0]["value"], "");
    let statuses: Vec<_> = [1, 2, 3].map(|index| ran.error(index)["status"].clone()).into();
    assert_eq!(statuses, [1, 255, 127]);
    assert_eq!(ran.error(1)["kind"], "exit");
    assert_eq!(ran.stderr(), "poolmap: 4 tasks, 3 failed (3 exit)\n");
}

#[test]
fn a_command_that_dies_of_a_signal_says_which() {
    let ran =
        poolmap("run --output json -- sh -c").args(["kill -{} $$", ":::", "KILL", "TERM"]).run().exits(1);
    let kinds: Vec<_> =
        [0, 1].map(|index| (ran.error(index)["kind"].clone(), ran.error(index)["type"].clone())).into();
    assert_eq!(kinds, [(json!("crashed"), json!("SIGKILL")), (json!("crashed"), json!("SIGTERM"))]);
    let ran = poolmap("run -- sh -c").args(["kill -KILL $$", ":::", "x"]).run().exits(1);
    insta::assert_snapshot!(ran.stderr(), @r"
    task 0 failed: killed by signal 9 (SIGKILL)
    poolmap: 1 task, 1 failed (1 crashed)
    ");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let ran = poolmap("run -- no-such-program ::: a").run().exits(1);
    insta::assert_snapshot!(ran.stderr(), @r"
    task 0 failed: cannot run no-such-program: it is in no folder of PATH; is it installed?
    poolmap: 1 task, 1 failed (1 exit)
    ");
    let ran = poolmap("run -- ./plain ::: a").file("plain", "text").run().exits(1);
    insta::assert_snapshot!(ran.stderr(), @r"
    task 0 failed: cannot run ./plain: it is not an executable file; is `chmod +x` missing?
    poolmap: 1 task, 1 failed (1 exit)
    ");
}

#[test]
fn large_outputs_arrive_whole_and_do_not_mix() {
    let script =
        "head -c 5000000 /dev/zero | tr '\\0' {}; echo; head -c 100000 /dev/zero | tr '\\0' {} >&2; echo >&2";
    let ran = poolmap("run -j4 -- sh -c").args([script, ":::"]).words("a b c d e f").run().exits(0);
    let mut lines = ran.lines();
    lines.sort_unstable();
    let expected = ["a", "b", "c", "d", "e", "f"].map(|letter| letter.repeat(5_000_000));
    assert!(
        lines.iter().eq(expected.iter()),
        "{:?}",
        lines.iter().map(|line| line.len()).collect::<Vec<_>>()
    );
    let stderr = ran.stderr();
    assert_eq!(stderr.lines().map(str::len).collect::<Vec<_>>(), [100_000; 6]);
}

#[test]
fn output_without_an_end_of_line_stays_without() {
    let ran = poolmap("run -k -- printf %s ::: a b").run().succeeds();
    assert_eq!(ran.stdout(), "ab");
}

#[test]
fn a_command_reads_nothing_from_the_input_of_the_job() {
    let ran = poolmap("run -- cat - /dev/null ::: /dev/null").stdin("not for it").run().succeeds();
    assert_eq!(ran.stdout(), "");
    let ran = poolmap("run -- sh -c").args(["cat; echo $0"]).stdin("one\ntwo\n").run().succeeds();
    assert_eq!(ran.sorted_lines(), ["one", "two"]);
}

#[test]
fn a_command_has_the_folder_and_environment_that_were_asked_for() {
    let words = "run --cwd other --env COLOUR=red -- sh -c";
    let script = "echo $(basename $PWD) $COLOUR $POOLMAP_ATTEMPT";
    let ran = poolmap(words).args([script, ":::", "x"]).file("other/x", "").run().succeeds();
    assert_eq!(ran.stdout(), "other red 1\n");
}

#[test]
fn what_a_command_leaves_running_holds_nothing_up_and_is_left_alone() {
    let mut running = poolmap("run -- sh -c").args(["sleep 300 & echo {}", ":::", "a"]).start();
    let mut output = String::new();
    running.stdout().read_to_string(&mut output).unwrap();
    assert_eq!(output, "a\n");
    eventually("only what was left running is there", Duration::from_secs(10), || {
        (running.has_ended() && running.processes().len() == 1).then_some(())
    });
    running.kill_all();
    running.ends().succeeds();
}

#[test]
fn commands_run_side_by_side() {
    // Each waits for the other's file: one after the other they would wait for ever.
    let script = "touch {1}; until [ -e {2} ]; do sleep 0.01; done";
    poolmap("run -j2 -- sh -c").args([script, ":::", "a", "b", ":::+", "b", "a"]).run().succeeds();
}
