//! Rust functions in a binary of the user's own.

use std::collections::{BTreeMap, BTreeSet};

use poolmap_tests::language::{native, program};
use poolmap_tests::programs::{built, root};
use serde_json::{Value, json};

#[test]
fn the_example_runs_the_main_job() {
    let job =
        program(&built().example).words("run native:do_work examples/pokemon.jsonl").current_dir(root());
    assert_eq!(job.run().succeeds().values(), ["Pokemon#245", "Pokemon#250", "Pokemon#380", "Pokemon#381"]);
}

fn places(words: &str) -> Vec<Value> {
    native("run native:where_am_i").words(words).tasks(12).run().succeeds().values()
}

fn distinct(values: &[Value], part: usize) -> usize {
    values.iter().map(|value| value[part].to_string()).collect::<BTreeSet<_>>().len()
}

#[test]
fn slots_are_children_or_threads_or_the_caller() {
    assert_eq!(distinct(&places("-j3"), 0), 3);
    assert_eq!(distinct(&places("-j3 --backend process"), 0), 3);
    let threads = places("-j3 --backend thread");
    assert_eq!((distinct(&threads, 0), distinct(&threads, 1)), (1, 3), "{threads:?}");
}

#[test]
fn one_slot_needs_no_process_but_the_command_itself() {
    for words in ["-j1", "-j5 --backend inline"] {
        let mut running =
            native("run native:where_am_i").words(words).tasks(0).file("one", "[1]\n").words("one").start();
        let own = running.process_id().as_raw();
        let mut output = String::new();
        std::io::Read::read_to_string(&mut running.stdout(), &mut output).unwrap();
        running.ends().succeeds();
        assert!(output.contains(&format!("[{own},")), "not in process {own}: {output}");
    }
}

#[test]
fn a_panic_fails_its_task_alone_on_every_backend() {
    for backend in ["process", "thread", "inline"] {
        let input = "[1,0]\n[1,1]\n[1,2]\n";
        let ran = native("run native:panic_at -j2 --backend").words(backend).stdin(input).run().exits(1);
        let error = ran.error(1);
        assert_eq!((&error["kind"], &error["type"]), (&json!("exception"), &json!("panic")), "{backend}");
        assert_eq!(error["message"], "task 1 is bad", "{backend}");
        assert_eq!((&ran.results()[0]["value"], &ran.results()[2]["value"]), (&json!(0), &json!(2)));
    }
}

#[test]
fn an_abort_fails_its_task_alone() {
    let input = (0..50).map(|task| format!("[20,{task}]\n")).collect::<Vec<_>>().concat();
    let ran = native("run native:abort_at -j2").stdin(input).run().exits(1);
    assert_eq!(ran.error(20)["type"], "SIGABRT");
    assert_eq!(ran.results().iter().filter(|result| result.get("value").is_some()).count(), 49);
}

#[test]
fn children_of_native_functions_are_replaced_too() {
    let values = places("-j2 --max-tasks-per-child 3");
    let mut shares = BTreeMap::new();
    for value in &values {
        *shares.entry(value[0].as_u64()).or_insert(0) += 1;
    }
    assert!(shares.values().all(|share| *share <= 3), "{values:?}");
}

#[test]
fn arguments_of_the_wrong_type_or_number_fail_their_task() {
    let input = "[1,2,\"x\"]\n[1,2]\n[1,2,-3]\n{\"kwargs\":{\"a\":1}}\n[1,2,3]\n";
    let ran = native("run native:do_work -j1").stdin(input).run().exits(1);
    assert_eq!(ran.results()[4]["value"], "Pokemon#123");
    let messages: Vec<_> =
        (0..4).map(|index| ran.error(index)["message"].as_str().unwrap().to_owned()).collect();
    insta::assert_snapshot!(messages.join("\n"), @r#"
    cannot call do_work: argument 3: invalid type: string "x", expected u32
    cannot call do_work: it takes 3 arguments and was given 2
    cannot call do_work: argument 3: invalid value: integer `-3`, expected u32
    native functions take positional arguments; give them in `args`
    "#);
}

#[test]
fn an_error_that_is_returned_is_an_outcome() {
    let ran = native("run native:parse -j1").stdin("[\"12\"]\n[\"x\"]\n").run().exits(1);
    assert_eq!(ran.results()[0]["value"], 12);
    assert_eq!(ran.error(1)["message"], "invalid digit found in string");
}

#[test]
fn what_a_native_function_prints_never_mixes_with_results() {
    for words in ["-j1", "-j2", "-j2 --backend thread"] {
        let ran = native("run native:print").words(words).stdin("[\"said\"]\n").run().exits(0);
        assert_eq!(
            (ran.stdout(), ran.stderr().as_str()),
            ("{\"index\":0,\"value\":null}\n", "said\n"),
            "{words}"
        );
    }
}

#[test]
fn a_binary_of_ones_own_does_everything_else_too() {
    assert_eq!(native("run -- echo ::: a").run().succeeds().stdout(), "a\n");
    assert!(native("cpus --json").run().succeeds().stdout().contains("\"slots\":"));
    let job = native("run f.py:f").file("f.py", "def f(x): return x").tasks(2);
    assert_eq!(job.run().succeeds().values(), [0, 1]);
}

#[test]
fn a_function_that_is_not_registered_is_named_with_what_is() {
    let ran = native("run native:do_wrok").tasks(1).run().exits(2);
    insta::assert_snapshot!(ran.stderr(), @r"
    poolmap: cannot run native:do_wrok: this binary has no native function `do_wrok`; did you mean `do_work`?
    it has: abort_at, do_work, letters, panic_at, parse, print, sleep_ms, where_am_i
    ");
}
