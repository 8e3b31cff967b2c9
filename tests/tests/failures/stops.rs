//! Stops: in steps when asked, and without a trace whoever is killed.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;
use poolmap_tests::cast::Cast;
use poolmap_tests::language::{Line, Running, SOON, eventually, native, poolmap};
use poolmap_tests::processes::send;

use crate::scene::{eventually_lines, traced};

const NAPS: &str = "
def nap(task):
    trace(task)
    time.sleep(1)
    return task
def slow(task):
    trace(task)
    time.sleep(2.5)
def long(task):
    trace(task)
    try: time.sleep(3600)
    finally: open(f'tidied-{task}', 'w').close()
def family(task):
    subprocess.run(['sh', '-c', 'sleep 3600 & sleep 3600; true'])
";

/// A job of which two tasks run.
fn two_running(function: &str) -> Running {
    let running =
        traced(NAPS, "-j2").words(function).file("tasks", "[0]\n[1]\n[2]\n[3]\n").words("tasks").start();
    eventually_lines(&running, "trace", 2);
    running
}

#[test]
fn the_first_signal_lets_tasks_that_run_end_and_begins_no_other() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = two_running("f.py:nap");
        let mut stdout = running.stdout();
        running.send(signal);
        let mut output = String::new();
        stdout.read_to_string(&mut output).unwrap();
        let ran = running.ends().exits(130);
        let ended: Vec<_> = output.lines().filter(|line| line.contains("\"value\"")).collect();
        assert_eq!(ended.len(), 2, "{output}");
        assert_eq!(ran.file("trace").lines().count(), 2, "no other task began");
        assert_eq!(ran.stderr(), "poolmap: interrupted: 4 tasks, 2 failed (2 cancelled)\n", "{signal}");
    }
}

#[test]
fn a_signal_does_not_wait_for_long_tasks() {
    let jobs = [Signal::SIGINT, Signal::SIGTERM].map(|signal| {
        let running = two_running("f.py:long");
        running.send(signal);
        running
    });
    for running in jobs {
        assert!(running.ends().exits(130).stderr().starts_with("poolmap: interrupted: "));
    }
}

#[test]
fn the_second_signal_does_not_wait_at_all() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = two_running("f.py:slow");
        let mut stdout = running.stdout();
        // Two that come close together are one to the system, so there are more.
        eventually("it ends", SOON, || {
            let has_ended = running.has_ended();
            if !has_ended {
                running.send(signal);
            }
            has_ended.then_some(())
        });
        let mut output = String::new();
        stdout.read_to_string(&mut output).unwrap();
        running.ends().exits(130);
        assert_eq!(output, "", "both tasks would have ended in the time that the first signal gives them");
    }
}

/// Jobs whose tasks run for an hour, with the processes that they need at least: children of the worker, and others.
fn endless() -> [(Line, usize, usize); 4] {
    [
        (traced(NAPS, "-j2 f.py:family tasks").file("tasks", "[0]\n[1]\n"), 2, 4),
        (traced(NAPS, "-j2 f.py:family tasks --preload json").file("tasks", "[0]\n[1]\n"), 1, 6),
        (native("run native:sleep_ms -j2 tasks").file("tasks", "[3600000]\n[3600000]\n"), 2, 0),
        (poolmap("run -j2 -- sh -c").args(["sleep 3600 & sleep 3600; true", ":::", "a", "b"]), 2, 4),
    ]
}

/// Starts one of those, and waits until all its processes are there.
fn started((line, children, others): (Line, usize, usize)) -> (Running, Cast) {
    let mut running = line.start();
    let cast = Cast::eventually(&running, 1, children, others);
    drain(&mut running);
    (running, cast)
}

/// Nobody reads what it prints.
fn drain(running: &mut Running) {
    let stdout = BufReader::new(running.stdout());
    std::thread::spawn(move || stdout.lines().count());
}

#[test]
fn nothing_outlives_the_command() {
    for job in endless() {
        let (running, _) = started(job);
        running.send(Signal::SIGKILL);
        assert_eq!(running.ends().signal(), Some(9));
    }
}

#[test]
fn nothing_outlives_its_worker() {
    for job in endless() {
        let (running, cast) = started(job);
        let old = [cast.children, cast.others].concat();
        send(cast.workers[0], Signal::SIGKILL);
        eventually("what the worker had started has ended", SOON, || {
            let left = running.processes();
            old.iter().all(|process| !left.contains(process)).then_some(())
        });
        running.send(Signal::SIGKILL);
        running.ends();
    }
}

#[test]
fn nothing_outlives_its_child() {
    for job in endless() {
        let (running, cast) = started(job);
        // One that was forked is not the worker's own child.
        let victim = *cast.children.last().unwrap();
        send(victim, Signal::SIGKILL);
        eventually("the child is gone", SOON, || (!running.processes().contains(&victim)).then_some(()));
        running.send(Signal::SIGKILL);
        running.ends();
    }
}

#[test]
fn nothing_is_left_when_several_are_killed_at_once_in_any_order() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for job in endless() {
            let (running, cast) = started(job);
            for part in order {
                let victims = match part {
                    0 => &vec![running.process_id()],
                    1 => &cast.workers,
                    _ => &cast.children,
                };
                for victim in victims {
                    send(*victim, Signal::SIGKILL);
                }
            }
            running.ends();
        }
    }
}

#[test]
fn the_socket_is_in_a_folder_of_this_user_alone() {
    let running = two_running("f.py:long");
    let tmp = format!("/proc/{}/cwd/tmp", running.process_id());
    let folders: Vec<_> = std::fs::read_dir(tmp).unwrap().map(Result::unwrap).collect();
    assert_eq!(folders.len(), 1, "all that a run needs is in one folder: {folders:?}");
    assert_eq!(folders[0].metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(folders[0].path().join("socket").exists());
    running.send(Signal::SIGKILL);
    running.ends();
}

#[test]
fn a_command_that_is_stopped_for_a_while_goes_on() {
    let running = two_running("f.py:nap");
    running.send(Signal::SIGSTOP);
    eventually("it has stopped", SOON, || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", running.process_id())).unwrap();
        status.contains(") T ").then_some(())
    });
    running.send(Signal::SIGCONT);
    running.ends().exits(0);
}
