//! Tasks that take too long are stopped, and only they.

use poolmap_tests::language::{SOON, eventually, native, poolmap};

use crate::scene::{begun, traced};

const FOREVER: &str = "
def forever(task):
    trace(task)
    if task % 4 == 1: time.sleep(3600)
    time.sleep(0.1)
    return task
def tidy(task):
    trace(task)
    try:
        if task == 0: time.sleep(3600)
    finally:
        open(f'tidied-{task}', 'w').close()
def stubborn(task):
    trace(task)
    while task == 1:
        try:
            subprocess.run(['sleep', '3600'])
        except BaseException: pass
def deaf(task):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if task == 1: time.sleep(3600)
def stopped(task):
    if task == 1: os.kill(os.getpid(), signal.SIGSTOP)
";

#[test]
fn tasks_without_end_time_out_and_their_neighbours_are_not_disturbed() {
    for words in ["-j2 f.py:forever --timeout 500ms", "-j2 f.py:forever --timeout 0.5 --preload json"] {
        let ran = traced(FOREVER, words).tasks(8).run().exits(1);
        for (index, result) in ran.results().iter().enumerate() {
            if index % 4 == 1 {
                assert_eq!(result["error"]["kind"], "timeout", "{result}");
                assert_eq!(result["error"]["message"], "the task was stopped after 0.5 s, its time-out");
            } else {
                assert_eq!(result["value"], index, "{result}");
            }
        }
        assert!(begun(&ran).values().all(|times| *times == 1), "nothing ran twice");
        assert_eq!(ran.stderr(), "poolmap: 8 tasks, 2 failed (2 timeout)\n");
    }
}

#[test]
fn a_task_that_is_stopped_may_tidy_up() {
    let ran = traced(FOREVER, "-j1 f.py:tidy --timeout 300ms").tasks(2).run().exits(1);
    assert_eq!(ran.error(0)["kind"], "timeout");
    assert_eq!((ran.file("tidied-0"), ran.file("tidied-1")), (String::new(), String::new()));
}

#[test]
fn a_task_that_will_not_stop_is_killed_with_all_that_it_has_started() {
    for function in ["stubborn", "deaf", "stopped"] {
        let ran =
            traced(FOREVER, "-j2 --timeout 300ms").words(&format!("f.py:{function}")).tasks(4).run().exits(1);
        assert_eq!(ran.error(1)["kind"], "timeout", "{function}");
        assert_eq!(ran.results().iter().filter(|result| result.get("value").is_some()).count(), 3);
    }
}

#[test]
fn a_native_function_times_out_too() {
    let input = "[0]\n[3600000]\n[1]\n";
    let ran = native("run native:sleep_ms -j2 --timeout 300ms").stdin(input).run().exits(1);
    assert_eq!(ran.error(1)["kind"], "timeout");
    assert_eq!((&ran.results()[0]["value"], &ran.results()[2]["value"]), (&0.into(), &1.into()));
}

#[test]
fn a_command_times_out_with_everything_it_has_started() {
    let script = "case {} in slow) sleep 3600 & sleep 3600 & wait;; deaf) trap '' TERM INT; sleep 3600;; esac; echo {}";
    let ran = poolmap("run -j3 --output json --timeout 300ms -- sh -c")
        .args([script, ":::", "a", "slow"])
        .args(["deaf", "b"])
        .run()
        .exits(1);
    assert_eq!((&ran.error(1)["kind"], &ran.error(2)["kind"]), (&"timeout".into(), &"timeout".into()));
    assert_eq!((&ran.results()[0]["value"], &ran.results()[3]["value"]), (&"a\n".into(), &"b\n".into()));
}

#[test]
fn a_timeout_counts_for_each_attempt() {
    let source = "
def slow_at_first(task):
    trace(task)
    if ATTEMPT() < 3: time.sleep(3600)
    return ATTEMPT()
";
    let words = "-j2 f.py:slow_at_first --timeout 300ms --retries 2";
    let ran = traced(source, words).tasks(2).run().exits(0);
    assert_eq!(ran.values(), [3, 3]);
}

#[test]
fn a_job_that_takes_too_long_is_stopped_and_says_what_was_done() {
    let ran = traced(FOREVER, "-j2 f.py:forever --job-timeout 2s").tasks(10).run().exits(1);
    // Two tasks hold the two slots for ever, and all others but one come before the second of them.
    let values = ran.lines().len();
    assert!(ran.lines().contains(&"{\"index\":0,\"value\":0}") && values < 8, "{values}");
    let said = ran.stderr();
    let counts = format!("10 tasks, {} failed ({0} cancelled)\n", 10 - values);
    assert!(said.ends_with(&counts), "{said}");
    assert!(
        said.starts_with("poolmap: the job was stopped: it was not done after 2 s, its time-out\n"),
        "{said}"
    );
}

#[test]
fn a_job_that_waits_for_input_is_stopped_in_time_too() {
    let mut running = traced(FOREVER, "-j2 f.py:forever - --job-timeout 500ms").start();
    let input = running.stdin();
    eventually("it ends", SOON, || running.has_ended().then_some(()));
    drop(input);
    assert!(running.ends().exits(1).stderr().contains("the job was stopped"));
}
