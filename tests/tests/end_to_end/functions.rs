//! Python functions of all kinds, well-behaved or not.

use poolmap_tests::language::{poolmap, python};
use serde_json::{Value, json};

const KINDS: &str = "
import asyncio

class Shop:
    rate = 2
    @staticmethod
    def double(x): return 2 * x
    @classmethod
    def rated(cls, x): return cls.rate * x
    class Inner:
        @staticmethod
        def deep(x): return ['deep', x]

class Scale:
    def __init__(self, factor): self.factor = factor
    def __call__(self, x): return self.factor * x
    def times(self, x): return self.factor * x

scale = Scale(10)
bound = scale.times
anonymous = lambda x: x + 1

async def later(x):
    await asyncio.sleep(0.01)
    return x
";

#[test]
fn every_kind_of_callable_is_a_function() {
    let cases = [
        ("Shop.double", json!(6)),
        ("Shop.rated", json!(6)),
        ("Shop.Inner.deep", json!(["deep", 3])),
        ("scale", json!(30)),
        ("scale.times", json!(30)),
        ("bound", json!(30)),
        ("anonymous", json!(4)),
        ("later", json!(3)),
    ];
    let input: String =
        cases.iter().map(|(name, _)| json!({"function": name, "args": [3]}).to_string() + "\n").collect();
    let values = python(KINDS, "f.py:scale -").stdin(input).run().succeeds().values();
    assert_eq!(values, cases.map(|(_, value)| value));
    let alone = python(KINDS, "f.py:Shop.Inner.deep").stdin("[3]").run().succeeds();
    assert_eq!(alone.value(), json!(["deep", 3]));
}

#[test]
fn awaiting_tasks_of_threads_do_not_wait_for_each_other() {
    let values = python(KINDS, "f.py:later -j4 --backend thread").tasks(40).run().succeeds().values();
    assert_eq!(values, (0..40).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn a_module_is_found_in_the_current_folder() {
    let job = poolmap("run shop.pricing:quote").file("shop/__init__.py", "").file("shop/pricing.py", QUOTE);
    assert_eq!(job.stdin("[4]").run().succeeds().value(), json!([4, "shop.pricing"]));
}

const QUOTE: &str = "
def quote(x): return [x, __name__]
";

#[test]
fn a_module_is_found_in_the_folder_of_the_tasks() {
    let job = poolmap("run --cwd elsewhere pricing:quote").file("elsewhere/pricing.py", QUOTE);
    assert_eq!(job.stdin("[4]").run().succeeds().value(), json!([4, "pricing"]));
}

#[test]
fn a_file_imports_what_lies_beside_it() {
    let job = poolmap("run jobs/f.py:quote")
        .file("jobs/f.py", "from near import quote")
        .file("jobs/near.py", QUOTE);
    assert_eq!(job.stdin("[4]").run().succeeds().value(), json!([4, "near"]));
}

#[test]
fn tasks_run_in_the_folder_and_environment_that_were_asked_for() {
    let source = "
import os
def here(): return [os.path.basename(os.getcwd()), os.environ['COLOUR'], os.environ['POOLMAP_ATTEMPT']]
";
    let job = python(source, "f.py:here --cwd other --env COLOUR=a=b").file("other/x", "");
    assert_eq!(job.stdin("[]").run().succeeds().value(), json!(["other", "a=b", "1"]));
}

#[test]
fn what_a_function_prints_never_mixes_with_results() {
    let source = "
import os, subprocess, sys
def speak(task):
    print('printed', task)
    os.write(1, b'written\\n')
    subprocess.run(['echo', 'echoed'])
    sys.__stdout__.write('original\\n')
    return task
";
    let ran = python(source, "f.py:speak").tasks(3).run().exits(0);
    assert_eq!(ran.values(), [0, 1, 2]);
    let stderr = ran.stderr();
    for said in ["printed 2", "written", "echoed", "original"] {
        assert!(stderr.lines().any(|line| line == said), "{said}: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 12, "{stderr}");
}

#[test]
fn a_function_may_close_its_standard_streams() {
    let source = "
import os, sys
def close(task):
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    for descriptor in (0, 1, 2):
        try: os.close(descriptor)
        except OSError: pass
    return task
";
    let ran = python(source, "f.py:close -j1").tasks(5).run().succeeds();
    assert_eq!(ran.values(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_function_reads_nothing_from_the_input_of_the_job() {
    let source = "
import sys
def read(task): return sys.stdin.read()
";
    let ran = python(source, "f.py:read -").tasks(3).run().succeeds();
    assert_eq!(ran.values(), ["", "", ""]);
}

#[test]
fn an_exception_comes_back_with_its_traceback() {
    let source = "
class Bad(ValueError): pass
def inner(x): raise Bad(f'no {x}')
def outer(x): return inner(x) if x == 1 else x
";
    let ran = python(source, "f.py:outer").tasks(3).run().exits(1);
    assert_eq!(ran.stderr(), "poolmap: 3 tasks, 1 failed (1 exception)\n");
    assert_eq!((&ran.results()[0]["value"], &ran.results()[2]["value"]), (&json!(0), &json!(2)));
    let error = ran.error(1);
    assert_eq!(
        (&error["kind"], &error["type"], &error["message"]),
        (&json!("exception"), &json!("f.Bad"), &json!("no 1"))
    );
    let traceback = error["traceback"].as_str().unwrap();
    assert!(traceback.starts_with("Traceback (most recent call last):\n"), "{traceback}");
    assert!(traceback.contains("line 4, in outer") && traceback.contains("line 3, in inner"), "{traceback}");
    assert!(!traceback.contains("poolmap_runner"), "frames of ours are of no use to anybody: {traceback}");
}

#[test]
fn arguments_that_do_not_fit_fail_their_task() {
    let source = "def pair(a, b): return [a, b]";
    let input = "[1]\n[1,2,3]\n{\"kwargs\":{\"a\":1,\"c\":2}}\n[1,2]\n";
    let ran = python(source, "f.py:pair").stdin(input).run().exits(1);
    assert_eq!(ran.results()[3]["value"], json!([1, 2]));
    for (index, said) in
        ["missing 1 required positional argument: 'b'", "takes 2", "unexpected keyword argument 'c'"]
            .iter()
            .enumerate()
    {
        let error = ran.error(index);
        assert_eq!(error["type"], "TypeError");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
}

#[test]
fn sys_exit_is_an_outcome_and_not_the_end_of_the_child() {
    let source = "
import os, sys
def leave(task):
    if task == 1: sys.exit('enough')
    return os.getpid()
";
    let ran = python(source, "f.py:leave -j1").tasks(3).run().exits(1);
    assert_eq!((&ran.error(1)["type"], &ran.error(1)["message"]), (&json!("SystemExit"), &json!("enough")));
    assert_eq!(ran.results()[0]["value"], ran.results()[2]["value"]);
}

fn dying(how: &str) -> String {
    format!(
        "
import os, signal, sys
def die(task):
    if task == 50: {how}
    return task
"
    )
}

/// Runs a hundred tasks of which one dies so; gives its error, after all others are seen to have succeeded.
fn death(how: &str, words: &str) -> Value {
    let ran = python(&dying(how), "f.py:die -j2 --details").words(words).tasks(100).run().exits(1);
    for (index, result) in ran.results().iter().enumerate().filter(|(index, _)| *index != 50) {
        assert_eq!((&result["value"], &result["attempts"]), (&json!(index), &json!(1)), "{result}");
    }
    assert_eq!(ran.stderr(), "poolmap: 100 tasks, 1 failed (1 crashed)\n");
    assert_eq!(ran.results()[50]["attempts"], 3);
    ran.error(50)
}

#[test]
fn a_task_that_ends_its_child_fails_alone_and_says_the_status() {
    let error = death("os._exit(7)", "");
    assert_eq!(error["kind"], "crashed");
    assert!(error["message"].as_str().unwrap().contains("exited with status 7"), "{error}");
}

#[test]
fn a_task_that_kills_its_child_fails_alone_and_says_the_signal() {
    let error = death("os.kill(os.getpid(), signal.SIGKILL)", "");
    assert_eq!((&error["kind"], &error["type"]), (&json!("crashed"), &json!("SIGKILL")));
    assert!(error["message"].as_str().unwrap().contains("killed by signal 9 (SIGKILL)"), "{error}");
}

#[test]
fn a_task_that_kills_a_forked_child_fails_alone_too() {
    let error = death("os.kill(os.getpid(), signal.SIGSEGV)", "--preload json");
    assert_eq!(error["type"], "SIGSEGV");
}

#[test]
fn a_task_that_dies_leaves_recycling_as_it_was() {
    assert_eq!(death("os.abort()", "--max-tasks-per-child 10")["type"], "SIGABRT");
}

#[test]
fn a_result_that_json_cannot_carry_names_its_type() {
    let source = "
def give(what):
    return eval(what)
";
    let cases = [
        ("{1, 2}", "set"),
        ("b'x'", "bytes"),
        ("object()", "object"),
        ("{'a': [1j]}", "complex"),
        ("{(1, 2): 3}", "tuple"),
        ("(i for i in [])", "generator"),
        ("float('nan')", "nan"),
        ("[1, float('inf')]", "inf"),
    ];
    let input: String = cases.iter().map(|(what, _)| json!([what]).to_string() + "\n").collect();
    let ran = python(source, "f.py:give").stdin(input).run().exits(1);
    for (index, (what, kind)) in cases.iter().enumerate() {
        let message = ran.error(index)["message"].as_str().unwrap().to_owned();
        let is_named = message.contains(kind) || message.contains("Out of range float");
        assert!(is_named && message.starts_with("the function returned"), "{what}: {message}");
    }
}

#[test]
fn huge_results_arrive_whole() {
    let source = "
def big(size): return 'x' * size
";
    let ran =
        python(source, "f.py:big -j2").stdin("[5000000]\n[1]\n[50000000]\n[5000000]\n").run().succeeds();
    let sizes: Vec<_> = ran.values().iter().map(|value| value.as_str().unwrap().len()).collect();
    assert_eq!(sizes, [5_000_000, 1, 50_000_000, 5_000_000]);
}

const SAME: &str = "
def same(x): return x
";

#[test]
fn huge_arguments_arrive_whole() {
    let input = format!("[\"{}\"]\n[\"{}\"]\n", "x".repeat(5_000_000), "y".repeat(20_000_000));
    let values = python(SAME, "f.py:same").stdin(input).run().succeeds().values();
    let sizes: Vec<_> = values.iter().map(|value| value.as_str().unwrap().len()).collect();
    assert_eq!(sizes, [5_000_000, 20_000_000]);
}

#[test]
fn every_text_survives_the_round_trip() {
    let texts = ["", "é😀\u{10ffff}", "a\nb\r\n\t\0", "\"\\\u{7f}\u{2028}", "</script>"];
    let input: String = texts.iter().map(|text| json!([text]).to_string() + "\n").collect();
    let values = python(SAME, "f.py:same").stdin(input).run().succeeds().values();
    assert_eq!(values, texts);
}

#[test]
fn half_a_character_survives_the_round_trip() {
    let ran = python(SAME, "f.py:same").stdin("[\"\\ud800x\"]\n").run().succeeds();
    assert_eq!(ran.stdout(), "{\"index\":0,\"value\":\"\\ud800x\"}\n");
}

#[test]
fn numbers_survive_the_round_trip() {
    let input = "[123456789012345678901234567890]\n[-0.0]\n[1e308]\n[0.1]\n[true]\n[null]\n";
    let ran = python(SAME, "f.py:same -k").stdin(input).run().succeeds();
    let values: Vec<_> = ran
        .lines()
        .iter()
        .map(|line| line.split("\"value\":").nth(1).unwrap().trim_end_matches('}'))
        .collect();
    assert_eq!(values, ["123456789012345678901234567890", "-0.0", "1e+308", "0.1", "true", "null"]);
}

#[test]
fn deep_values_are_values_or_outcomes() {
    let nested = |depth: usize| format!("[{}1{}]\n", "[".repeat(depth), "]".repeat(depth));
    let input = [nested(100), nested(500), nested(100_000)].concat();
    let ran = python(SAME, "f.py:same -k").stdin(input).run().exits(1);
    let failed: Vec<_> = ran.lines().iter().map(|line| line.contains("\"error\"")).collect();
    assert_eq!(failed, [false, false, true]);
}

/// A function that leaves something running that would last for minutes, and returns.
fn leaving(what: &str) {
    let source = format!(
        "
import subprocess, threading, time
def leave(task):
    {what}
    return task
"
    );
    let ran = python(&source, "f.py:leave -j2").tasks(4).run().succeeds();
    assert_eq!(ran.values(), [0, 1, 2, 3]);
}

#[test]
fn a_daemon_thread_that_stays_holds_nothing_up() {
    leaving("threading.Thread(target=time.sleep, args=[300], daemon=True).start()");
}

#[test]
fn a_thread_that_stays_holds_nothing_up() {
    leaving("threading.Thread(target=time.sleep, args=[300]).start()");
}

#[test]
fn a_process_that_stays_ends_with_the_job() {
    leaving("subprocess.Popen(['sleep', '300'])");
}

#[test]
fn a_process_that_stays_and_holds_all_descriptors_ends_with_the_job() {
    leaving("subprocess.Popen(['sleep', '300'], close_fds=False)");
}

#[test]
fn a_function_may_start_processes_of_its_own() {
    let source = "
import multiprocessing
def square(x): return x * x
def squares(n):
    with multiprocessing.get_context('fork').Pool(2) as pool:
        return pool.map(square, range(n))
";
    let ran = python(source, "f.py:squares").stdin("[4]").run().succeeds();
    assert_eq!(ran.value(), json!([0, 1, 4, 9]));
}
