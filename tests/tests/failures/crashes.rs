//! A child's death costs the task that it was running, and nothing else.

use poolmap_tests::language::{Ran, native, poolmap};
use serde_json::json;

use crate::scene::{begun, traced};

/// Dies at 3, 5 and 8 in three ways.
const DIES: &str = "
def die_sometimes(task):
    trace(task)
    if task == 3: os._exit(7)
    if task == 5:
        large = b'x' * (150 << 20)
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == 8:
        print('first words')
        print('last words', file=sys.stderr)
        os.kill(os.getpid(), signal.SIGKILL)
    return task * task
";
const DEADLY: [usize; 3] = [3, 5, 8];

/// Fails unless all tasks but these have their square as value.
fn assert_others_are_squares(ran: &Ran, count: usize, failed: &[usize]) {
    let results = ran.results();
    assert_eq!(results.len(), count);
    for (index, result) in results.iter().enumerate().filter(|(index, _)| !failed.contains(index)) {
        assert_eq!(result["value"], index * index, "{result}");
    }
}

#[test]
fn a_function_that_kills_its_child_fails_alone_with_the_whole_cause() {
    for words in ["-j2 f.py:die_sometimes", "-j2 f.py:die_sometimes --preload json", "-j1 f.py:die_sometimes"]
    {
        let ran = traced(DIES, words).tasks(40).run().exits(1);
        assert_others_are_squares(&ran, 40, &DEADLY);
        let told = [
            ("", "exited with status 7"),
            ("SIGSEGV", "signal 11 (SIGSEGV)"),
            ("SIGKILL", "signal 9 (SIGKILL)"),
        ];
        for (index, (name, how)) in DEADLY.into_iter().zip(told) {
            let error = ran.error(index);
            let message = error["message"].as_str().unwrap();
            assert_eq!(error["kind"], "crashed", "{error}");
            assert_eq!(error["type"].as_str().unwrap_or_default(), name, "{error}");
            assert!(message.contains(how), "{message}");
        }
        let large = ran.error(5)["message"].as_str().unwrap().to_owned();
        assert!(large.contains("; peak memory 1"), "{large}");
        let last = ran.error(8)["message"].as_str().unwrap().to_owned();
        assert!(last.ends_with("first words\nlast words"), "{last}");
        assert!(ran.stderr().ends_with("poolmap: 40 tasks, 3 failed (3 crashed)\n"), "{}", ran.stderr());
    }
}

#[test]
fn only_tasks_whose_own_child_died_run_again() {
    let ran = traced(DIES, "-j1 f.py:die_sometimes").tasks(2000).run().exits(1);
    assert_others_are_squares(&ran, 2000, &DEADLY);
    for (task, times) in begun(&ran) {
        assert_eq!(times, if DEADLY.contains(&(task as usize)) { 3 } else { 1 }, "task {task}");
    }
}

#[test]
fn the_crash_limit_says_how_often_a_task_may_kill_its_child() {
    for limit in [1, 2, 5] {
        let words = format!("-j2 f.py:die_sometimes --crash-limit {limit} --retries 9");
        let ran = traced(DIES, &words).tasks(10).run().exits(1);
        let begun = begun(&ran);
        assert_eq!((begun[&3], begun[&8], begun[&9]), (limit, limit, 1));
    }
}

#[test]
fn a_task_that_survives_its_second_attempt_succeeds() {
    let source = "
def second(task):
    trace(task)
    if task % 50 == 7 and ATTEMPT() == 1: os.kill(os.getpid(), signal.SIGKILL)
    return [task, ATTEMPT()]
";
    for words in ["-j2 f.py:second", "-j2 f.py:second --preload json"] {
        let ran = traced(source, words).tasks(500).run().exits(0);
        for (index, value) in ran.values().into_iter().enumerate() {
            assert_eq!(value, json!([index, if index % 50 == 7 { 2 } else { 1 }]));
        }
        assert_eq!(begun(&ran).values().sum::<usize>(), 510);
    }
}

#[test]
fn a_forked_childs_parent_may_be_killed() {
    let source = "
def fells(task):
    trace(task)
    if task == 7 and ATTEMPT() == 1: os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(0.01)
    return task
";
    let ran = traced(source, "-j2 f.py:fells --preload json").tasks(60).run().exits(0);
    assert_eq!(ran.values(), (0..60).collect::<Vec<_>>());
    assert!(begun(&ran).values().sum::<usize>() <= 62, "only what ran when it died ran again");
}

#[test]
fn a_native_function_that_aborts_fails_alone() {
    let input = (0..500).map(|task| format!("[77,{task}]\n")).collect::<Vec<_>>().concat();
    let ran = native("run native:abort_at -j2").stdin(input).run().exits(1);
    let error = ran.error(77);
    assert_eq!((&error["kind"], &error["type"]), (&json!("crashed"), &json!("SIGABRT")));
    assert_eq!(ran.results().iter().filter(|result| result.get("value").is_some()).count(), 499);
}

#[test]
fn a_command_may_succeed_at_its_second_attempt() {
    let script = "test $POOLMAP_ATTEMPT -gt 1 || kill -KILL $$; echo {}";
    let ran = poolmap("run -k --retries 1 -- sh -c").args([script, ":::", "a", "b"]).run().exits(0);
    assert_eq!(ran.stdout(), "a\nb\n");
}

#[test]
fn threads_that_die_together_fail_only_the_tasks_that_ran() {
    let source = "
def die(task):
    time.sleep(0.05)
    if task == 4: os._exit(3)
    return task
";
    let ran = traced(source, "-j3 f.py:die --backend thread --crash-limit 5").tasks(12).run().exits(1);
    assert_eq!(ran.error(4)["kind"], "crashed");
    let values = ran.results().iter().filter(|result| result.get("value").is_some()).count();
    assert!(values >= 9, "at most two neighbours were in the same process at each death: {values}");
}

/// Writes to its slot's socket, the first of the descriptors that tasks are kept from by their numbers.
const GARBAGE: &str = "
def garbage(task):
    trace(task)
    if task in (2, 4, 6):
        sockets = [int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) >= 100]
        text = {2: os.urandom(48), 4: b'\\x02', 6: b'\\xff' * 48}[task]
        for fd in sockets:
            try: os.write(fd, text)
            except OSError: pass
        if task == 4: os._exit(0)
        time.sleep(300)
    return task * task
";

#[test]
fn a_child_that_writes_garbage_on_its_channel_is_replaced_and_its_task_has_crashed() {
    let ran = traced(GARBAGE, "-j2 f.py:garbage --crash-limit 1").tasks(50).run().exits(1);
    assert_others_are_squares(&ran, 50, &[2, 4, 6]);
    for index in [2, 4, 6] {
        assert_eq!(ran.error(index)["kind"], "crashed", "{}", ran.error(index));
    }
    assert!(begun(&ran).values().all(|times| *times == 1));
}
