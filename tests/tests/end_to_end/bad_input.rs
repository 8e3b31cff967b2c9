//! What is wrong is said once, clearly, with what to do next; nothing is lost, and nothing is left.

use poolmap_tests::language::{Line, poolmap, python};
use poolmap_tests::programs::interpreter;

const ONE: &str = "
import os
limit = 5
class Shop:
    def sell(self, x): return x
def first(x): return x
def second(x): return x
";

/// What a command line in which something is wrong says, on stderr alone and with status 2.
fn refusal(line: Line) -> String {
    let ran = line.run().exits(2);
    assert_eq!(ran.stdout(), "");
    let text = ran.stderr().replace(&interpreter().display().to_string(), "[python]");
    assert!(text.lines().count() <= 7 && !text.contains("panicked"), "{text}");
    text
}

fn refused(words: &str) -> String {
    refusal(python(ONE, words).tasks(1))
}

#[test]
fn a_file_that_is_not_there() {
    insta::assert_snapshot!(refused("g.py:first"), @r"
    poolmap: cannot read g.py: No such file or directory
    beside it are: f.py
    ");
    insta::assert_snapshot!(refused("nowhere/f.py:first"), @"poolmap: cannot read nowhere/f.py: No such file or directory");
}

#[test]
fn a_module_that_is_not_there() {
    let said = refused("no_such_module:f");
    assert!(
        said.starts_with("poolmap: cannot run no_such_module:f: there is no module 'no_such_module'"),
        "{said}"
    );
}

#[test]
fn a_function_that_is_not_there() {
    insta::assert_snapshot!(refused("f.py:frist"), @"poolmap: cannot run f.py:frist: f.py has no function 'frist'; did you mean 'first'? It has: Shop, first, second");
    insta::assert_snapshot!(refused("f.py:Shop.sel"), @"poolmap: cannot run f.py:Shop.sel: class Shop in f.py has no function 'sel'; did you mean 'sell'? It has: sell");
    insta::assert_snapshot!(refused("json:dumpz"), @"poolmap: cannot run json:dumpz: module 'json' has no function 'dumpz'; did you mean 'dump'? It has: dump, dumps, detect_encoding, load, loads");
    insta::assert_snapshot!(refused("native:f"), @r"
    poolmap: cannot run native:f: this binary has no native function `f`
    it has none at all: build one of your own with poolmap::main(registry)
    ");
}

#[test]
fn what_names_no_function() {
    insta::assert_snapshot!(refused("f.py"), @"poolmap: 'f.py' names no function: add the function's name: f.py:NAME");
    insta::assert_snapshot!(refused("f.py:"), @"poolmap: 'f.py:' names no function: add the function's name: f.py:NAME");
    insta::assert_snapshot!(refused("gzip"), @"poolmap: 'gzip' names no function: a function is FILE.py:NAME, MODULE:NAME or native:NAME; a command goes after --: poolmap run -- gzip");
    insta::assert_snapshot!(refused("f.py:limit"), @"poolmap: cannot run f.py:limit: 'limit' in f.py is of type int, not a function");
    insta::assert_snapshot!(refused("f.py:os"), @"poolmap: cannot run f.py:os: 'os' in f.py is of type module, not a function");
}

#[test]
fn a_file_that_cannot_be_imported() {
    let raises = python("def f(x): return x\nraise RuntimeError('at import')\n", "f.py:f").tasks(1);
    insta::assert_snapshot!(refusal(raises), @r"
    poolmap: cannot run f.py:f: f.py cannot be imported; it raised RuntimeError: at import
        f.py, line 2: raise RuntimeError('at import')
    ");
    let syntax = python("def f(x:\n    return x\n", "f.py:f").tasks(1);
    assert!(refusal(syntax).starts_with("poolmap: cannot run f.py:f: f.py, line 1: "));
    let missing = python("import no_such_module\n", "f.py:f").tasks(1);
    let said = refusal(missing);
    assert!(said.starts_with("poolmap: cannot run f.py:f: f.py imports 'no_such_module', which "), "{said}");
    let exits = python("import sys\nsys.exit(4)\n", "f.py:f").tasks(1);
    insta::assert_snapshot!(refusal(exits), @r"
    poolmap: cannot run f.py:f: f.py cannot be imported; it raised SystemExit: 4
        f.py, line 2: sys.exit(4)
    ");
    let dies = python("import os\nos._exit(4)\n", "f.py:f").tasks(1);
    insta::assert_snapshot!(refusal(dies), @r"
    poolmap: cannot run f.py:f: its Python ('python3') exited with status 4 while it loaded the function; what it said is above
    If that is no Python 3.9 or newer, name one with --python PATH.
    ");
}

/// What is said of a line after two good ones, which must have been run.
fn bad_line(line: &str) -> String {
    let input = format!("[1]\n[2]\n{line}\n[3]\n");
    let ran = python(ONE, "f.py:first jobs.jsonl").file("jobs.jsonl", input).run().exits(2);
    assert_eq!(ran.values(), [1, 2]);
    ran.stderr()
}

#[test]
fn a_line_that_is_no_task_is_named_after_those_before_it_have_run() {
    let lines = [
        "not json",
        "5",
        "\"text\"",
        "[1",
        "[1] [2]",
        "{\"args\":5}",
        "{\"kwargs\":[]}",
        "{\"args\":[],\"x\":1}",
        "[NaN]",
        "{\"function\":1}",
    ];
    let said = lines.iter().map(|line| format!("{line}\n  {}", bad_line(line))).collect::<Vec<_>>().concat();
    insta::assert_snapshot!(said, @r#"
    not json
      poolmap: jobs.jsonl:3: not JSON: a word that JSON does not know at column 2
    5
      poolmap: jobs.jsonl:3: a task is an array of arguments, or an object with args, kwargs, function; this line is a number
    "text"
      poolmap: jobs.jsonl:3: a task is an array of arguments, or an object with args, kwargs, function; this line is a string
    [1
      poolmap: jobs.jsonl:3: not JSON: the line ends within a list at column 2
    [1] [2]
      poolmap: jobs.jsonl:3: not JSON: trailing characters at column 5
    {"args":5}
      poolmap: jobs.jsonl:3: a task's object has args (array), kwargs (object), function (string) and nothing else: invalid type: integer `5`, expected an array of positional arguments at column 9
    {"kwargs":[]}
      poolmap: jobs.jsonl:3: a task's object has args (array), kwargs (object), function (string) and nothing else: invalid type: sequence, expected an object of keyword arguments at column 10
    {"args":[],"x":1}
      poolmap: jobs.jsonl:3: a task's object has args (array), kwargs (object), function (string) and nothing else: unknown field `x`, expected one of `args`, `kwargs`, `function` at column 14
    [NaN]
      poolmap: jobs.jsonl:3: not JSON: no value begins at column 2
    {"function":1}
      poolmap: jobs.jsonl:3: a task's object has args (array), kwargs (object), function (string) and nothing else: invalid type: integer `1`, expected a function's name at column 13
    "#);
}

#[test]
fn a_bad_first_line_is_all_that_is_spoken_of() {
    for _ in 0..3 {
        let said = refusal(python(ONE, "f.py:first").stdin("nonsense\n"));
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("poolmap: stdin:1: "), "{said}");
    }
}

#[test]
fn input_that_is_no_text() {
    insta::assert_snapshot!(refusal(python(ONE, "f.py:first").stdin(b"[\"\xff\"]\n")), @"poolmap: stdin:1: not UTF-8 text; convert the input first, for example with iconv");
    insta::assert_snapshot!(refusal(python(ONE, "f.py:first --lines").stdin(b"\xff\n")), @"poolmap: stdin:1: not UTF-8 text; convert the input first, for example with iconv");
    insta::assert_snapshot!(refusal(python(ONE, "f.py:first --csv").stdin(b"a,\xff\n")), @"poolmap: stdin:1: not UTF-8 text; convert the input first, for example with iconv");
}

#[test]
fn input_that_is_not_there() {
    insta::assert_snapshot!(refused("f.py:first nothing.jsonl"), @"poolmap: cannot open the input nothing.jsonl: No such file or directory");
    insta::assert_snapshot!(refused("f.py:first ."), @"poolmap: cannot open the input .: is a directory");
    insta::assert_snapshot!(refusal(poolmap("run -- echo :::: nothing")), @"poolmap: cannot open the input nothing: No such file or directory");
    insta::assert_snapshot!(refusal(poolmap("run --input nothing -- echo")), @"poolmap: cannot open the input nothing: No such file or directory");
}

#[test]
fn rows_that_do_not_fit_their_header() {
    insta::assert_snapshot!(refusal(python(ONE, "f.py:first --csv --header").stdin("a,b\n1\n")), @"poolmap: stdin:2: 1 value, where the first row has 2");
    insta::assert_snapshot!(refusal(python(ONE, "f.py:first --csv --header").stdin("a,a\n1,2\n")), @r#"poolmap: stdin:1: two columns are named "a""#);
}

#[test]
fn sizes_that_make_no_sense() {
    for divisor in ["0", "0.5", "-1", "nan", "x"] {
        let said = refused(&format!("f.py:first --divisor {divisor}"));
        assert!(
            said.contains(&format!("'{divisor}' for '--divisor <X>': not a number of at least 1")),
            "{said}"
        );
    }
    for option in ["--slots 0", "--slots -1", "--slots x", "--workers 0", "--max-tasks-per-child 0"] {
        let said = refused(&format!("f.py:first {option}"));
        assert!(said.contains("not a whole number of at least 1"), "{said}");
    }
    insta::assert_snapshot!(refused("f.py:first --max-child-rss 0"), @r"
    error: invalid value '0' for '--max-child-rss <SIZE>': a size of 0 leaves no room for anything

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refused("f.py:first --max-child-rss much"), @r"
    error: invalid value 'much' for '--max-child-rss <SIZE>': not a size such as 500MB or 2GiB

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refusal(poolmap("run -n 0 -- echo")), @r"
    error: invalid value '0' for '-n <N>': not a whole number of at least 1

    For more information, try '--help'.
    ");
}

#[test]
fn an_interpreter_that_is_none() {
    insta::assert_snapshot!(refused("f.py:first --python no-such-python"), @r"
    poolmap: cannot run f.py:first: cannot start Python ('no-such-python'): there is no such program
    Name an interpreter with --python PATH (3.9 or newer).
    ");
    insta::assert_snapshot!(refused("f.py:first --python /nowhere/python3"), @r"
    poolmap: cannot run f.py:first: cannot start Python ('/nowhere/python3'): there is no such program
    Name an interpreter with --python PATH (3.9 or newer).
    ");
    insta::assert_snapshot!(refused("f.py:first --python /tmp"), @r"
    poolmap: cannot run f.py:first: cannot start Python ('/tmp'): it is not an executable file
    Name an interpreter with --python PATH (3.9 or newer).
    ");
    insta::assert_snapshot!(refused("f.py:first --python true"), @r"
    poolmap: cannot run f.py:first: its Python ('true') exited with status 0 while it loaded the function; what it said is above
    If that is no Python 3.9 or newer, name one with --python PATH.
    ");
    insta::assert_snapshot!(refused("f.py:first --python true --preload json"), @r"
    poolmap: cannot run f.py:first: its Python ('true') is gone while it loaded the function; what it said is above
    If that is no Python 3.9 or newer, name one with --python PATH.
    ");
}

#[test]
fn options_that_contradict_each_other() {
    let words = [
        "f.py:first --header",
        "f.py:first --tag",
        "f.py:first --colsep ,",
        "f.py:first -0",
        "f.py:first -n 2",
        "f.py:first --shell",
        "f.py:first --input x",
        "f.py:first -I ,,",
        "f.py:first --backend thread --max-tasks-per-child 2",
        "f.py:first --backend inline --workers 2",
        "f.py:first --lines --csv",
        "--backend thread -- echo",
        "--max-tasks-per-child 2 -- echo",
        "--preload json -- echo",
        "--python python3 -- echo",
        "--lines -- echo",
        "--details -- echo",
        "--input x -- echo ::: a",
        "-- echo :::: - :::: -",
        "--colsep ( -- echo",
        "-- ::: a",
        "f.py:first -- echo",
        "",
    ];
    let said = words.map(|words| {
        let said = refused(words);
        let essence = said.lines().next().unwrap_or_default().to_owned();
        format!("{words}\n  {essence}\n")
    });
    insta::assert_snapshot!(said.concat(), @r"
    f.py:first --header
      poolmap: --header needs columns: add --csv or --tsv
    f.py:first --tag
      error: the argument '[FUNCTION]' cannot be used with '--tag'
    f.py:first --colsep ,
      error: the argument '[FUNCTION]' cannot be used with '--colsep <RE>'
    f.py:first -0
      error: the argument '[FUNCTION]' cannot be used with '--null'
    f.py:first -n 2
      error: the argument '[FUNCTION]' cannot be used with '-n <N>'
    f.py:first --shell
      error: the argument '[FUNCTION]' cannot be used with '--shell'
    f.py:first --input x
      error: the argument '[FUNCTION]' cannot be used with '--input <FILE>'
    f.py:first -I ,,
      error: the argument '[FUNCTION]' cannot be used with '-I <STR>'
    f.py:first --backend thread --max-tasks-per-child 2
      poolmap: --max-tasks-per-child and --max-child-rss need children that can be replaced one by one: use --backend process
    f.py:first --backend inline --workers 2
      poolmap: --backend inline has no workers: leave out --workers
    f.py:first --lines --csv
      error: the argument '--lines' cannot be used with '--csv'
    --backend thread -- echo
      poolmap: --backend thread is for functions: a command always runs in a process of its own
    --max-tasks-per-child 2 -- echo
      poolmap: --max-tasks-per-child and --max-child-rss are for functions: a command's process ends with its task
    --preload json -- echo
      poolmap: --preload names Python modules: it is for Python functions
    --python python3 -- echo
      poolmap: --python is for Python functions
    --lines -- echo
      poolmap: --lines is for functions: a command's values are lines anyway
    --details -- echo
      poolmap: --details are a part of JSON results: add --output json
    --input x -- echo ::: a
      poolmap: the values come either from --input or from lists after the command (:::), not from both
    -- echo :::: - :::: -
      poolmap: only one list of values can come from standard input (:::: -)
    --colsep ( -- echo
      error: invalid value '(' for '--colsep <RE>': regex parse error:
    -- ::: a
      poolmap: the command is empty; give a program to run
    f.py:first -- echo
      error: the argument '[FUNCTION]' cannot be used with '[COMMAND]...'

      error: the following required arguments were not provided:
    ");
}

#[test]
fn places_that_are_not_there() {
    insta::assert_snapshot!(refused("f.py:first -o nowhere/out"), @"poolmap: cannot create nowhere/out for the results: No such file or directory");
    insta::assert_snapshot!(refused("f.py:first -o ."), @"poolmap: cannot create . for the results: Is a directory");
    insta::assert_snapshot!(refused("f.py:first --cwd nowhere"), @"poolmap: cannot run tasks in nowhere: No such file or directory");
    insta::assert_snapshot!(refused("f.py:first --cwd f.py"), @"poolmap: cannot run tasks in f.py: it is not a folder");
    insta::assert_snapshot!(refused("f.py:first --env COLOUR"), @r"
    error: invalid value 'COLOUR' for '--env <NAME=VALUE>': not NAME=VALUE

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(refused("f.py:first --env =red"), @r"
    error: invalid value '=red' for '--env <NAME=VALUE>': not NAME=VALUE

    For more information, try '--help'.
    ");
}

#[test]
fn modules_that_cannot_be_preloaded() {
    let said = refused("f.py:first --preload json,no_such_module");
    assert!(
        said.starts_with("poolmap: cannot run f.py:first: --preload no_such_module: there is no module"),
        "{said}"
    );
    let raises = python(ONE, "f.py:first --preload broken").file("broken.py", "1 / 0").tasks(1);
    let said = refusal(raises);
    assert!(
        said.contains("--preload broken: module 'broken' cannot be imported; it raised ZeroDivisionError"),
        "{said}"
    );
}

#[test]
fn a_function_that_one_task_names_and_is_not_there_fails_that_task() {
    let input = "{\"function\":\"third\",\"args\":[1]}\n{\"function\":\"g.py:f\",\"args\":[1]}\n[1]\n";
    let ran = python(ONE, "f.py:first").stdin(input).run().exits(1);
    assert_eq!(ran.results()[2]["value"], 1);
    let said = [0, 1].map(|index| ran.error(index)["message"].as_str().unwrap().to_owned());
    assert!(said[0].starts_with("f.py has no function 'third'") && said[1].contains("g.py"), "{said:?}");
}
