//! Every form that results can have.

use poolmap_tests::language::{poolmap, python};
use serde_json::{Value, json};

const MIXED: &str = "
import sys
def mixed(x):
    print('out', x)
    print('err', x, file=sys.stderr)
    if x == 1: raise ValueError('one')
    return [None, 1, 'line\\nline', {'a': [1]}][x]
";

#[test]
fn bare_values_stand_one_a_line_and_failures_on_stderr() {
    let ran = python(MIXED, "f.py:mixed -k --output value").tasks(4).run().exits(1);
    assert_eq!(ran.stdout(), "null\nline\nline\n{\"a\":[1]}\n");
    let told: Vec<_> =
        ran.stderr().lines().filter(|line| line.starts_with(['t', 'p'])).map(str::to_owned).collect();
    assert_eq!(told, ["task 1 failed: ValueError: one", "poolmap: 4 tasks, 1 failed (1 exception)"]);
    assert!(ran.stderr().contains("\n    Traceback (most recent call last):\n"), "{}", ran.stderr());
}

#[test]
fn details_tell_what_each_task_of_a_function_took_and_printed() {
    let ran = python(MIXED, "f.py:mixed --details").tasks(2).run().exits(1);
    for (index, mut result) in ran.results().into_iter().enumerate() {
        let seconds = result["seconds"].take().as_f64().unwrap();
        assert!((0.0..10.0).contains(&seconds), "{seconds}");
        assert_eq!(result["stdout"], format!("out {index}\n"));
        assert_eq!(result["stderr"], format!("err {index}\n"));
        assert_eq!((&result["attempts"], &result["worker"]), (&json!(1), &json!("local-1")));
    }
}

#[test]
fn details_tell_what_each_task_of_a_command_took_and_wrote() {
    let ran =
        poolmap("run --output json --details -- sh -c").args(["echo $0; echo no >&2; exit $1", "{1}", "{2}"]);
    let results = ran.words("::: a b :::+ 0 3").run().exits(1).results();
    let (good, bad) = (&results[0], &results[1]);
    assert_eq!(
        (&good["stdout"], &good["stderr"], &good["attempts"]),
        (&json!("a\n"), &json!("no\n"), &json!(1))
    );
    assert_eq!((&bad["stdout"], &bad["stderr"]), (&json!("b\n"), &json!("no\n")));
    assert_eq!(bad["error"], json!({"kind": "exit", "message": "exited with status 3", "status": 3}));
    assert!(bad["seconds"].as_f64().is_some(), "{bad}");
}

#[test]
fn details_name_the_worker_and_slot_numbers_stay_within_the_pool() {
    let words = "run --output json --details --workers 2 -j2 -- sh -c";
    let ran = poolmap(words).args(["sleep 0.05; echo {%}", ":::"]).words("1 2 3 4 5 6 7 8").run().succeeds();
    let results = ran.results();
    let mut workers: Vec<_> = results.iter().map(|result| result["worker"].as_str().unwrap()).collect();
    workers.sort_unstable();
    workers.dedup();
    assert_eq!(workers, ["local-1", "local-2"]);
    for result in &results {
        let slot: u32 = result["stdout"].as_str().unwrap().trim().parse().unwrap();
        assert!((1..=2).contains(&slot), "{result}");
    }
}

#[test]
fn results_go_to_a_file_if_asked() {
    let ran = python(MIXED, "f.py:mixed -o out.jsonl").stdin("[0]").run().exits(0);
    assert_eq!(ran.stdout(), "");
    assert_eq!(ran.file("out.jsonl"), "{\"index\":0,\"value\":null}\n");
}

#[test]
fn a_file_of_results_is_written_anew() {
    let ran =
        poolmap("run -o out -- echo ::: x").file("out", "much that stood there before").run().succeeds();
    assert_eq!(ran.file("out"), "x\n");
}

#[test]
fn a_command_gives_json_if_asked() {
    let ran = poolmap("run -k --output json -- printf").arg("%s\\n").words("::: a b").run().succeeds();
    assert_eq!(ran.stdout(), "{\"index\":0,\"value\":\"a\\n\"}\n{\"index\":1,\"value\":\"b\\n\"}\n");
}

#[test]
fn a_command_writes_to_both_streams() {
    let ran =
        poolmap("run -k -- sh -c").args(["echo out {}; echo err {} >&2", ":::", "a", "b"]).run().exits(0);
    assert_eq!(ran.stdout(), "out a\nout b\n");
    assert_eq!(ran.stderr(), "err a\nerr b\n");
}

#[test]
fn tags_stand_before_each_line() {
    let words = ["printf 'one\\ntwo'; echo bad >&2", ":::"];
    let ran = poolmap("run -k --tag -- sh -c").args(words).args(["x y", "z"]).run().exits(0);
    assert_eq!(ran.stdout(), "x y\tone\nx y\ttwo\nz\tone\nz\ttwo\n");
    assert_eq!(ran.stderr(), "x y\tbad\nz\tbad\n");
}

#[test]
fn progress_tells_where_the_job_stands_even_without_a_terminal() {
    let source = "
import time
def nap(task): time.sleep(0.7)
";
    let ran = python(source, "f.py:nap -j1 --progress always").tasks(4).run().exits(0);
    assert_eq!(ran.values(), [Value::Null, Value::Null, Value::Null, Value::Null]);
    assert!(ran.stderr().lines().any(|line| line.contains("/4")), "{}", ran.stderr());
    let silent = python(source, "f.py:nap -j1").tasks(1).run().succeeds();
    assert_eq!(silent.stderr(), "");
}

#[test]
fn a_dry_run_prints_what_would_run_and_runs_nothing() {
    let ran = poolmap("run --dry-run -- touch {} {#} :::").args(["a b", "it's"]).run().succeeds();
    assert_eq!(ran.stdout(), "touch 'a b' 1\ntouch 'it'\\''s' 2\n");
    let ran = poolmap("run --dry-run --shell --").args(["cat {} > {.}", ":::", "a b.txt"]).run().succeeds();
    assert_eq!(ran.stdout(), "cat 'a b.txt' > 'a b'\n");
    let ran = python("def f(x): open('ran', 'w')", "f.py:f --dry-run").tasks(2).run().succeeds();
    assert_eq!(ran.stdout(), "f.py:f [0]\nf.py:f [1]\n");
}
