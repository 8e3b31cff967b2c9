//! Workers that die or stop answering: their tasks run again, and what they say late is not believed.

use std::time::Duration;

use nix::sys::signal::Signal;
use poolmap_tests::cast::Cast;
use poolmap_tests::language::{Ran, Running, SOON, eventually, poolmap};
use poolmap_tests::processes::send;

use crate::scene::{begun, eventually_lines, traced};

const STEPS: &str = "
def step(task):
    trace(task)
    time.sleep(0.05)
    return task
def deadly(task):
    trace(task)
    # Its worker notices within milliseconds that it has begun; what kills sooner is not told from a bystander.
    time.sleep(0.05)
    if task == 2: os.kill(os.getppid(), signal.SIGKILL)
    return task
";

/// A job of tasks that take a twentieth of a second each, once some have begun.
fn steps(count: usize, words: &str) -> Running {
    let tasks = (0..count).map(|task| format!("[{task}]\n")).collect::<Vec<_>>().concat();
    let running = traced(STEPS, "f.py:step tasks -o out").words(words).file("tasks", tasks).start();
    eventually_lines(&running, "trace", 6);
    running
}

/// Fails unless each task has its value, once.
fn assert_whole(ran: &Ran, count: usize) {
    let text = ran.file("out");
    let mut results: Vec<_> = text.lines().map(str::to_owned).collect();
    let mut expected: Vec<_> =
        (0..count).map(|task| format!("{{\"index\":{task},\"value\":{task}}}")).collect();
    results.sort_unstable();
    expected.sort_unstable();
    assert_eq!(results, expected);
}

#[test]
fn a_worker_that_is_killed_is_started_again_and_its_tasks_run_again() {
    for words in ["-j2", "-j1 --workers 2", "-j2 --preload json"] {
        let running = steps(30, words);
        send(Cast::of(&running).workers[0], Signal::SIGKILL);
        let ran = running.ends().exits(0);
        assert_whole(&ran, 30);
        let again = begun(&ran).values().filter(|times| **times > 1).count();
        assert!(again <= 2, "only what ran when it died ran again: {again}");
        assert!(ran.stderr().contains("it is started again"), "{}", ran.stderr());
    }
}

#[test]
fn a_task_that_kills_its_worker_again_and_again_fails_alone() {
    let ran = traced(STEPS, "-j1 f.py:deadly").tasks(20).run().exits(1);
    assert_eq!(ran.error(2)["kind"], "lost");
    assert_eq!(ran.results().iter().filter(|result| result.get("value").is_some()).count(), 19);
    assert_eq!(begun(&ran)[&2], 3);
}

#[test]
fn a_worker_that_dies_at_start_again_and_again_ends_the_run() {
    // It may live long enough to begin the task, which then is not to be blamed.
    let mut running = poolmap("run --crash-limit 1000 -- sleep ::: 3600").start();
    eventually("it gives up", SOON, || {
        for worker in Cast::of(&running).workers {
            send(worker, Signal::SIGKILL);
        }
        running.has_ended().then_some(())
    });
    let said = running.ends().exits(3).stderr();
    assert!(
        said.contains("poolmap: all workers are gone: worker local-1 ended (signal: 9 (SIGKILL))"),
        "{said}"
    );
}

#[test]
fn a_worker_that_does_not_answer_is_lost_and_replaced() {
    let running = steps(60, "-j2 --worker-timeout 1s");
    let worker = Cast::of(&running).workers[0];
    send(worker, Signal::SIGSTOP);
    let ran = running.ends().exits(0);
    assert_whole(&ran, 60);
    assert!(ran.stderr().contains("silent for too long"), "{}", ran.stderr());
}

#[test]
fn a_worker_that_comes_back_is_not_believed_twice() {
    let running = steps(120, "-j1 --workers 2 --worker-timeout 1s");
    // For longer than the time-out, shorter, and at about that time.
    for stopped_ms in [1500, 300, 950, 1050] {
        let workers = Cast::of(&running).workers;
        let Some(&worker) = workers.first() else { continue };
        send(worker, Signal::SIGSTOP);
        std::thread::sleep(Duration::from_millis(stopped_ms));
        send(worker, Signal::SIGCONT);
    }
    assert_whole(&running.ends().exits(0), 120);
}

#[test]
fn a_worker_may_be_killed_often_if_it_does_its_work() {
    let running = steps(200, "-j2");
    // More often than one that brings no outcome may be started again.
    for kill in 0..7 {
        let cast = Cast::eventually(&running, 1, 2, 0);
        eventually_lines(&running, "trace", 6 + 20 * (kill + 1));
        send(cast.workers[0], Signal::SIGKILL);
    }
    assert_whole(&running.ends().exits(0), 200);
}

#[test]
fn commands_of_a_lost_worker_run_again() {
    let script = "echo {} >> trace; sleep 0.2; echo {}";
    let running = poolmap("run -j2 -o out -- sh -c").arg(script).words("::: a b c d e f g h").start();
    eventually_lines(&running, "trace", 2);
    send(Cast::of(&running).workers[0], Signal::SIGKILL);
    let ran = running.ends().exits(0);
    let text = ran.file("out");
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d", "e", "f", "g", "h"]);
}
