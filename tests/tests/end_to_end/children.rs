//! Children: how many tasks each runs, when it is replaced, and what slots are.

use std::collections::{BTreeMap, BTreeSet};

use poolmap_tests::language::{Ran, python};
use serde_json::Value;

const PID: &str = "
import os
def pid(*task): return os.getpid()
";

/// How many tasks each child has run, fewest first.
fn shares(ran: &Ran) -> Vec<usize> {
    let mut tasks = BTreeMap::new();
    for value in ran.values() {
        *tasks.entry(value.as_u64().unwrap()).or_default() += 1;
    }
    let mut shares: Vec<usize> = tasks.into_values().collect();
    shares.sort_unstable();
    shares
}

#[test]
fn a_hundred_tasks_fill_ten_children_with_ten_tasks_each() {
    let ran = python(PID, "f.py:pid -j2 --max-tasks-per-child 10").tasks(100).run().succeeds();
    assert_eq!(shares(&ran), [10; 10]);
}

#[test]
fn a_hundred_tasks_fill_ten_forked_children_with_ten_tasks_each() {
    let job = python(PID, "f.py:pid -j2 --max-tasks-per-child 10 --preload json,decimal").tasks(100);
    assert_eq!(shares(&job.run().succeeds()), [10; 10]);
}

#[test]
fn no_child_runs_more_than_its_share() {
    let ran = python(PID, "f.py:pid -j3 --max-tasks-per-child 7 --preload json").tasks(500).run().succeeds();
    let shares = shares(&ran);
    assert_eq!(shares.iter().sum::<usize>(), 500);
    assert!(shares.iter().all(|&share| share <= 7), "{shares:?}");
    assert!(shares.len() <= 500 / 7 + 3, "children left before they had run their share: {shares:?}");
}

#[test]
fn a_child_may_run_a_single_task() {
    let ran = python(PID, "f.py:pid -j2 --max-tasks-per-child 1").tasks(6).run().succeeds();
    assert_eq!(shares(&ran), [1; 6]);
}

#[test]
fn one_slot_means_one_interpreter() {
    let ran = python(PID, "f.py:pid -j1").tasks(200).run().succeeds();
    assert_eq!(shares(&ran), [200]);
}

const LEAK: &str = "
import os
kept = []
def leak(task):
    kept.append(b'x' * (10 << 20))
    return [os.getpid(), len(kept)]
";

#[test]
fn a_child_that_has_grown_too_large_is_replaced_between_tasks() {
    let ran = python(LEAK, "f.py:leak -j2 --max-child-rss 80MB").tasks(60).run().succeeds();
    let values = ran.values();
    let children: BTreeSet<u64> = values.iter().map(|value| value[0].as_u64().unwrap()).collect();
    let most = values.iter().map(|value| value[1].as_u64().unwrap()).max().unwrap();
    assert_eq!(values.len(), 60);
    assert!(children.len() >= 60 / 8, "{values:?}");
    assert!(most <= 12, "a child kept {most} times 10 MB: {values:?}");
}

const PLACE: &str = "
import os, threading, time
def place(task):
    time.sleep(0.05)
    return [os.getpid(), threading.get_ident()]
";

fn distinct(values: &[Value], part: usize) -> usize {
    values.iter().map(|value| value[part].to_string()).collect::<BTreeSet<_>>().len()
}

#[test]
fn slots_of_the_thread_backend_are_threads_of_one_child() {
    let values = python(PLACE, "f.py:place -j4 --backend thread").tasks(16).run().succeeds().values();
    assert_eq!((distinct(&values, 0), distinct(&values, 1)), (1, 4), "{values:?}");
}

#[test]
fn slots_of_the_process_backend_are_children() {
    let values = python(PLACE, "f.py:place -j3").tasks(12).run().succeeds().values();
    assert_eq!(distinct(&values, 0), 3, "{values:?}");
}

#[test]
fn slots_of_several_workers_are_all_used() {
    let values = python(PLACE, "f.py:place -j2 --workers 2").tasks(16).run().succeeds().values();
    assert_eq!(distinct(&values, 0), 4, "{values:?}");
}

#[test]
fn a_python_function_runs_inline_in_a_single_interpreter() {
    let values = python(PLACE, "f.py:place -j4 --backend inline").tasks(4).run().succeeds().values();
    assert_eq!((distinct(&values, 0), distinct(&values, 1)), (1, 1), "{values:?}");
}

#[test]
fn preloaded_modules_are_there_before_the_first_task() {
    let source = "
import os, sys
def parent(task): return ['json' in sys.modules, os.getppid()]
";
    let values = python(source, "f.py:parent -j2 --preload json --max-tasks-per-child 1")
        .tasks(4)
        .run()
        .succeeds()
        .values();
    assert_eq!(distinct(&values, 0), 1);
    assert_eq!(values[0][0], true);
    assert_eq!(distinct(&values, 1), 1, "all children have the same parent: {values:?}");
}

#[test]
fn numeric_libraries_get_their_share_of_the_processors() {
    let source = "
import os
def caps(*names): return [os.environ.get(name) for name in names]
";
    let words = "f.py:caps -j1000 --env MKL_NUM_THREADS=7";
    let job = python(source, words).env("OPENBLAS_NUM_THREADS", "5");
    let ran =
        job.stdin("[\"OMP_NUM_THREADS\",\"OPENBLAS_NUM_THREADS\",\"MKL_NUM_THREADS\"]").run().succeeds();
    assert_eq!(ran.value(), serde_json::json!(["1", "5", "7"]));
}
