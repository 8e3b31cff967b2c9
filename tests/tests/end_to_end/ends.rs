//! How a command ends before its job does: a reader that goes away, Ctrl-C, SIGKILL. Nothing may be left behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use poolmap_tests::language::{Running, eventually, poolmap, python};
use poolmap_tests::processes::peak_rss_bytes;
use poolmap_tests::programs::root;

const WORK: &str = "
import time
def do_work(a, b, c): return f'Pokemon#{a}{b}{c}'
def sleep(seconds): time.sleep(seconds)
def stubborn(seconds):
    end = time.time() + seconds
    while time.time() < end:
        try: time.sleep(1)
        except BaseException: pass
";
const MEGABYTE: u64 = 1 << 20;

#[test]
fn an_endless_input_runs_in_bounded_memory_until_nobody_reads() {
    let mut running = python(WORK, "f.py:do_work -").start();
    let mut input = running.stdin();
    let feeder = std::thread::spawn(move || {
        let block = "[1,2,3]\n".repeat(8192);
        while input.write_all(block.as_bytes()).is_ok() {}
    });
    let mut output = BufReader::new(running.stdout());
    let mut line = String::new();
    for index in 0..100_000 {
        line.clear();
        output.read_line(&mut line).unwrap();
        assert!(line.ends_with(",\"value\":\"Pokemon#123\"}\n"), "line {index}: {line}");
    }
    let peak = peak_rss_bytes(running.process_id()).unwrap();
    assert!(peak < 200 * MEGABYTE, "{} MB", peak / MEGABYTE);
    drop(output);
    running.ends().succeeds();
    feeder.join().unwrap();
}

#[test]
fn a_pipe_that_is_closed_ends_the_job_quietly() {
    let script = "yes '[1,2,3]' | poolmap run f.py:do_work - | head -n 1000 | wc -l";
    let line = poolmap_tests::language::program("sh").arg("-c").arg(script).file("f.py", WORK);
    assert_eq!(line.run().succeeds().stdout().trim(), "1000");
}

#[test]
fn a_reader_that_is_slow_makes_the_input_wait() {
    let mut running = python("def big(x): return 'x' * 100_000", "f.py:big -").start();
    let mut input = running.stdin();
    let feeder = std::thread::spawn(move || {
        let mut lines = 0_u64;
        while input.write_all(b"[1]\n".repeat(1024).as_slice()).is_ok() {
            lines += 1024;
        }
        lines
    });
    let mut output = running.stdout();
    let mut some = vec![0; 20_000_000];
    output.read_exact(&mut some).unwrap();
    let peak = peak_rss_bytes(running.process_id()).unwrap();
    drop(output);
    running.ends().succeeds();
    feeder.join().unwrap();
    assert!(peak < 500 * MEGABYTE, "{} MB", peak / MEGABYTE);
}

#[test]
fn a_pipe_that_was_closed_before_is_no_error() {
    let mut running = poolmap("run -- echo ::: a b c").start();
    drop(running.stdout());
    running.ends().succeeds();
}

/// A job with two tasks that sleep for minutes, once both have begun, after one that has ended.
fn sleeping(words: &str) -> Running {
    let mut running =
        python(WORK, words).file("naps.jsonl", "[0]\n[300]\n[300]\n[300]\n").words("naps.jsonl").start();
    let mut first = String::new();
    BufReader::new(running.stdout()).read_line(&mut first).unwrap();
    assert_eq!(first, "{\"index\":0,\"value\":null}\n");
    running
}

#[test]
fn a_command_that_is_killed_takes_everything_with_it() {
    for words in
        ["-j2 f.py:sleep", "-j2 f.py:sleep --preload json", "-j2 f.py:sleep --backend thread --workers 2"]
    {
        let running = sleeping(words);
        assert!(running.processes().len() >= 3, "{words}");
        running.send(Signal::SIGKILL);
        assert_eq!(running.ends().signal(), Some(9));
    }
}

#[test]
fn a_killed_command_takes_the_commands_of_its_tasks_with_it() {
    let running = poolmap("run -j2 -- sh -c").args(["sleep 300; true", ":::", "a", "b"]).start();
    eventually("both tasks run", Duration::from_secs(20), || (running.processes().len() >= 6).then_some(()));
    running.send(Signal::SIGKILL);
    assert_eq!(running.ends().signal(), Some(9));
}

#[test]
fn an_interrupt_stops_cleanly_and_says_what_was_done() {
    for words in ["-j2 f.py:sleep", "-j2 f.py:sleep --preload json"] {
        let running = sleeping(words);
        running.send(Signal::SIGINT);
        let ran = running.ends().exits(130);
        let said = ran.stderr();
        assert!(said.starts_with("poolmap: interrupted: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let mut running = sleeping("-j2 f.py:stubborn");
    running.send(Signal::SIGINT);
    let begun = Instant::now();
    let mut since = begun;
    // Until it ends: as often as a person would press the keys.
    let ended = eventually("an end", Duration::from_secs(20), || {
        if since.elapsed() > Duration::from_millis(200) {
            since = Instant::now();
            running.send(Signal::SIGINT);
        }
        running.has_ended().then(|| begun.elapsed())
    });
    let ran = running.ends();
    assert!(ended < Duration::from_secs(2), "{ended:?}");
    assert!(ran.exits(130).stderr().contains("interrupted"));
}

#[test]
fn an_interrupt_ends_commands_too() {
    let running = poolmap("run -j2 -- sleep ::: 300 300 300").start();
    eventually("both tasks run", Duration::from_secs(20), || (running.processes().len() >= 4).then_some(()));
    running.send(Signal::SIGINT);
    running.ends().exits(130);
}

#[test]
fn an_interrupt_ends_a_job_that_waits_for_input() {
    let mut running = python(WORK, "f.py:sleep -").start();
    let mut input = running.stdin();
    input.write_all(b"[0]\n").unwrap();
    let mut first = String::new();
    BufReader::new(running.stdout()).read_line(&mut first).unwrap();
    running.send(Signal::SIGINT);
    running.ends().exits(130);
}

#[test]
fn a_termination_is_as_good_as_an_interrupt() {
    let running = sleeping("-j2 f.py:sleep");
    running.send(Signal::SIGTERM);
    running.ends().exits(130);
}

/// The worker processes of a command.
fn workers(running: &Running) -> Vec<Pid> {
    let is_worker = |process: &Pid| {
        let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(b"worker")
    };
    running.processes().into_iter().filter(is_worker).collect()
}

#[test]
fn a_worker_that_is_killed_is_started_again_and_nothing_is_lost() {
    let input: String = (0..200).map(|_| "[0.005]\n").collect();
    let mut running = python(WORK, "f.py:sleep naps.jsonl -j2").file("naps.jsonl", input).start();
    let mut output = BufReader::new(running.stdout());
    let mut lines = String::new();
    output.read_line(&mut lines).unwrap();
    signal::kill(workers(&running)[0], Signal::SIGKILL).unwrap();
    output.read_to_string(&mut lines).unwrap();
    let ran = running.ends_with_files_left().exits(0);
    let mut indices: Vec<usize> =
        lines.lines().map(|line| line.split([':', ',']).nth(1).unwrap().parse().unwrap()).collect();
    indices.sort_unstable();
    assert!(indices.into_iter().eq(0..200), "each task has one outcome: {lines}");
    assert!(ran.stderr().contains("worker local-1 ended (signal: 9 (SIGKILL))"), "{}", ran.stderr());
}

#[test]
fn the_folder_for_temporary_files_may_have_a_long_name() {
    let long = "a".repeat(100);
    let line = poolmap("run -- echo ::: a").file(&format!("{long}/x"), "");
    let folder = line.folder().join(&long);
    assert_eq!(line.env("TMPDIR", folder).run().succeeds().stdout(), "a\n");
}

#[test]
fn nothing_is_written_beside_the_users_files() {
    let line = poolmap("run examples/pokemon.py:do_work examples/pokemon.jsonl").current_dir(root());
    line.run().succeeds();
    assert!(!root().join("examples/__pycache__").exists());
}
