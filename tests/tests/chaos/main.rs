//! A hundred thousand tasks while somebody kills and stops children and workers at random: every task has its value, once.
//!
//! The seed of the choices is printed; `POOLMAP_CHAOS_SEED` takes the same ones again. What they hit depends on the moment,
//! so a seed replays the choices and not the run.
#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![expect(clippy::print_stdout, reason = "what a test skips, or chose by chance, must be seen")]
#![expect(clippy::indexing_slicing, reason = "what a JSON value lacks is null, and fails its comparison")]

mod killer;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::sync::mpsc::{self, Receiver};

use poolmap_tests::language::python;

use crate::killer::{Deeds, Killer};

const TASKS: usize = 100_000;
/// Tasks that are given out before the first deed; the others come a share with each deed, so that there is always work.
const HEAD_START: usize = 5_000;

/// About 0.2 ms of work.
const WORK: &str = "
def work(task, rounds):
    total = 0
    for number in range(rounds):
        total += number
    return f'{task}:{total}'
";
const ROUNDS: usize = 3_000;

#[test]
fn every_task_has_its_value_once_whatever_is_killed() {
    let words = "-j2 --workers 2 f.py:work - --crash-limit 1000 --worker-timeout 1s --log-level error";
    let mut running = python(WORK, words).start();
    let (stdin, stdout) = (running.stdin(), BufReader::new(running.stdout()));
    let (more, shares) = mpsc::channel();
    let feeder = std::thread::spawn(move || feed(stdin, &shares));
    let reader = std::thread::spawn(move || stdout.lines().map(Result::unwrap).collect::<Vec<_>>());

    more.send(0..HEAD_START).unwrap();
    let mut killer = Killer::new();
    let share = (TASKS - HEAD_START).div_ceil(Killer::DEEDS);
    let mut given = HEAD_START;
    while let Some(()) = killer.act(&running) {
        let next = TASKS.min(given + share);
        more.send(given..next).unwrap();
        given = next;
    }
    more.send(given..TASKS).unwrap();
    drop(more);

    let lines = reader.join().unwrap();
    feeder.join().unwrap();
    running.ends().exits(0);
    assert_values(&lines);
    let Deeds { killed_children, killed_workers, stopped_children, stopped_workers } = killer.deeds();
    println!(
        "killed {killed_children} children and {killed_workers} workers, stopped {stopped_children} and {stopped_workers}"
    );
    assert!(killed_children >= 50 && killed_workers >= 10);
}

/// Writes the tasks that it is told to.
fn feed(mut stdin: impl std::io::Write, shares: &Receiver<Range<usize>>) {
    for share in shares {
        let mut lines = String::new();
        for task in share {
            writeln!(lines, "[{task},{ROUNDS}]").unwrap();
        }
        stdin.write_all(lines.as_bytes()).unwrap();
    }
}

fn assert_values(lines: &[String]) {
    assert_eq!(lines.len(), TASKS);
    let total = ROUNDS * (ROUNDS - 1) / 2;
    let mut is_done = vec![false; TASKS];
    for line in lines {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let index = usize::try_from(result["index"].as_u64().unwrap()).unwrap();
        assert_eq!(result["value"], format!("{index}:{total}"), "{line}");
        assert!(!std::mem::replace(&mut is_done[index], true), "task {index} has two outcomes");
    }
}
