//! The main job, and the order in which results come.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use poolmap_tests::language::{poolmap, python};
use poolmap_tests::programs::root;

const NAP: &str = "
import time
def nap(seconds):
    time.sleep(seconds)
    return seconds
";

#[test]
fn four_tuples_give_four_values() {
    let job = poolmap("run examples/pokemon.py:do_work examples/pokemon.jsonl").current_dir(root());
    let ran = job.run().succeeds();
    assert_eq!(ran.values(), ["Pokemon#245", "Pokemon#250", "Pokemon#380", "Pokemon#381"]);
    assert!(ran.stdout().contains("{\"index\":0,\"value\":\"Pokemon#245\"}\n"), "{}", ran.stdout());
}

/// When each line of a command's output came, since its start, with the line.
fn arrivals(words: &str) -> Vec<(Duration, String)> {
    let input = std::iter::once("[2]\n").chain(std::iter::repeat_n("[0]\n", 20)).collect::<String>();
    let mut running = python(NAP, words).file("naps.jsonl", input).start();
    let begun = Instant::now();
    let lines = BufReader::new(running.stdout()).lines();
    let lines = lines.map(|line| (begun.elapsed(), line.unwrap())).collect();
    running.ends().succeeds();
    lines
}

#[test]
fn the_others_do_not_wait_for_a_slow_first_task() {
    let lines = arrivals("f.py:nap naps.jsonl -j2");
    let (last_came, last) = lines.last().unwrap();
    assert_eq!((lines.len(), last.as_str()), (21, "{\"index\":0,\"value\":2}"));
    let (others_came, _) = &lines[19];
    assert!(*last_came >= Duration::from_secs(2), "{lines:?}");
    assert!(*last_came > *others_came + Duration::from_secs(1), "the others came late: {lines:?}");
}

#[test]
fn results_come_in_input_order_if_asked() {
    let lines = arrivals("f.py:nap naps.jsonl -j2 -k");
    let (first_came, _) = &lines[0];
    assert!(*first_came >= Duration::from_secs(2), "{lines:?}");
    let indices =
        lines.iter().map(|(_, line)| line.split([':', ',']).nth(1).unwrap().parse::<u32>().unwrap());
    assert!(indices.eq(0..21), "{lines:?}");
}

#[test]
fn ordered_results_do_not_wait_for_later_tasks() {
    let mut running = python(NAP, "f.py:nap naps.jsonl -j1 -k").file("naps.jsonl", "[0]\n[2]\n").start();
    let begun = Instant::now();
    let first = BufReader::new(running.stdout()).lines().next().unwrap().unwrap();
    assert_eq!(first, "{\"index\":0,\"value\":0}");
    assert!(begun.elapsed() < Duration::from_secs(2), "it came only after {:?}", begun.elapsed());
    running.ends().succeeds();
}

#[test]
fn a_task_runs_as_soon_as_its_line_is_there() {
    use std::io::Write as _;
    let mut running = python(NAP, "f.py:nap -").start();
    let mut input = running.stdin();
    let mut output = BufReader::new(running.stdout()).lines();
    for index in 0..3 {
        writeln!(input, "[0]").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), format!("{{\"index\":{index},\"value\":0}}"));
    }
    drop(input);
    assert!(output.next().is_none());
    running.ends().succeeds();
}
