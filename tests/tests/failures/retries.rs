//! Failures of the function or command are tried again when that was asked for, and may stop the job.

use std::io::Write as _;

use poolmap_tests::language::{Ran, SOON, eventually, poolmap};
use serde_json::{Value, json};

use crate::scene::{begun, traced};

const FAILS: &str = "
def fails_twice(task):
    trace(task)
    if task % 3 == 1 and ATTEMPT() < 3: raise ValueError(f'attempt {ATTEMPT()} of {task}')
    return [task, ATTEMPT()]
def when(task):
    with open('when', 'a') as file: file.write(f'{time.monotonic()}\\n')
    raise ValueError(task)
def odd(task):
    trace(task)
    time.sleep(0.01)
    if task % 2: raise ValueError(task)
    return task
def dies(task): os._exit(1)
";

/// How many results are values, and how many are exceptions. Tasks that were cancelled are counted, not written.
fn values_and_exceptions(ran: &Ran) -> (usize, usize) {
    let count = |word| ran.lines().into_iter().filter(|line| line.contains(word)).count();
    (count("\"value\":"), count("\"kind\":\"exception\""))
}

#[test]
fn a_failure_is_tried_again_as_often_as_asked() {
    let ran = traced(FAILS, "-j2 f.py:fails_twice --retries 2").tasks(300).run().exits(0);
    for (index, value) in ran.values().into_iter().enumerate() {
        assert_eq!(value, json!([index, if index % 3 == 1 { 3 } else { 1 }]));
    }
    assert_eq!(begun(&ran).values().sum::<usize>(), 300 + 2 * 100, "successes ran once");
    let ran = traced(FAILS, "-j2 f.py:fails_twice --retries 1 --details").tasks(3).run().exits(1);
    assert_eq!(ran.error(1)["message"], "attempt 2 of 1");
    assert_eq!((&ran.results()[1]["attempts"], &ran.results()[0]["attempts"]), (&json!(2), &json!(1)));
}

#[test]
fn without_retries_a_failure_is_final_and_retries_do_not_count_crashes() {
    let ran = traced(FAILS, "-j2 f.py:fails_twice --crash-limit 9").tasks(4).run().exits(1);
    assert_eq!(ran.error(1)["message"], "attempt 1 of 1");
    let ran = traced(FAILS, "-j1 f.py:dies --retries 9 --crash-limit 2 --details").tasks(1).run().exits(1);
    assert_eq!((&ran.results()[0]["attempts"], &ran.error(0)["kind"]), (&json!(2), &json!("crashed")));
}

#[test]
fn a_command_is_tried_again_too() {
    let script = "echo try $POOLMAP_ATTEMPT; exit $((3 - POOLMAP_ATTEMPT))";
    let ran = poolmap("run --retries 5 -- sh -c").args([script, ":::", "a"]).run().exits(0);
    assert_eq!(ran.stdout(), "try 3\n", "only the last attempt is shown");
}

#[test]
fn retries_wait_twice_as_long_each_time() {
    let words = "-j1 f.py:when --retries 3 --retry-delay 100ms";
    let ran = traced(FAILS, words).tasks(1).run().exits(1);
    let times: Vec<f64> = ran.file("when").lines().map(|line| line.parse().unwrap()).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // A quarter less or more, by chance.
    assert_eq!(waits.len(), 3);
    assert!(waits[0] >= 0.075 && waits[1] >= 0.15 && waits[2] >= 0.3, "{waits:?}");
}

#[test]
fn a_job_halts_never_at_the_first_failure_after_some_or_after_a_share() {
    let ran = traced(FAILS, "-j2 f.py:odd --halt never").tasks(200).run().exits(1);
    assert_eq!(values_and_exceptions(&ran), (100, 100));
    // What runs beside the last straw may fail, too.
    for (halt, least, most) in [("first", 1, 60), ("10", 10, 70), ("20%", 40, 95)] {
        let ran = traced(FAILS, "-j2 f.py:odd --halt").words(halt).tasks(200).run().exits(1);
        let (values, failed) = values_and_exceptions(&ran);
        let cancelled = 200 - values - failed;
        assert!(
            failed >= least && failed < most && cancelled > 0,
            "{halt}: {failed} failed, {cancelled} cancelled"
        );
        let said = ran.stderr();
        assert!(said.starts_with("poolmap: the job was stopped: "), "{said}");
        let counts =
            format!("200 tasks, {} failed ({failed} exception, {cancelled} cancelled)\n", failed + cancelled);
        assert!(said.ends_with(&counts), "{said}");
    }
}

#[test]
fn a_job_that_halts_does_not_wait_for_more_input() {
    let mut running = traced(FAILS, "-j2 f.py:odd - --halt first").start();
    let mut input = running.stdin();
    input.write_all(b"[0]\n[1]\n").unwrap();
    eventually("it ends", SOON, || running.has_ended().then_some(()));
    drop(input);
    running.ends().exits(1);
}

#[test]
fn failures_that_are_tried_again_do_not_halt_a_job() {
    let ran = traced(FAILS, "-j2 f.py:fails_twice --retries 2 --halt first").tasks(30).run().exits(0);
    assert!(ran.values().iter().all(Value::is_array));
}
