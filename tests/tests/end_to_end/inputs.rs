//! Every form that input can have.

use poolmap_tests::language::{Line, poolmap, python};
use serde_json::{Value, json};

const SAME: &str = "
def same(*args, **kwargs): return [list(args), kwargs]
def other(*args): return ['other', *args]
";

fn same(words: &str) -> Line {
    python(SAME, "f.py:same").words(words)
}

fn values(words: &str, input: impl AsRef<[u8]>) -> Vec<Value> {
    same(words).stdin(input).run().succeeds().values()
}

#[test]
fn a_json_line_is_an_array_of_arguments() {
    assert_eq!(
        values("", "[]\n[1,\"two\",[3],{\"four\":null}]\n"),
        [json!([[], {}]), json!([[1, "two", [3], {"four": null}], {}]),]
    );
}

#[test]
fn a_json_line_is_an_object_with_arguments_of_both_kinds() {
    let input = "{\"args\":[1]}\n{\"kwargs\":{\"a\":2}}\n{\"args\":[1],\"kwargs\":{\"é\":2}}\n{}\n";
    let expected = [json!([[1], {}]), json!([[], {"a": 2}]), json!([[1], {"é": 2}]), json!([[], {}])];
    assert_eq!(values("-", input), expected);
}

#[test]
fn a_json_line_may_name_a_function_of_its_own() {
    let input = "{\"function\":\"other\",\"args\":[1]}\n{\"function\":\"g.py:twice\",\"args\":[2]}\n\
        {\"function\":\"math:sqrt\",\"args\":[9]}\n[5]\n";
    let job = same("-").file("g.py", "def twice(x): return 2 * x").stdin(input);
    assert_eq!(job.run().succeeds().values(), [json!(["other", 1]), json!(4), json!(3.0), json!([[5], {}])]);
}

#[test]
fn blank_lines_line_ends_of_windows_and_byte_order_marks_mean_nothing() {
    let input = "\u{feff}[1]\r\n\r\n   \n\t[ 2 , 3 ]  \r\n\n[4]";
    assert_eq!(values("", input), [json!([[1], {}]), json!([[2, 3], {}]), json!([[4], {}])]);
}

#[test]
fn several_inputs_are_read_one_after_the_other() {
    let job = same("a.jsonl - b.jsonl").file("a.jsonl", "[1]\n[2]").file("b.jsonl", "[4]\n").stdin("[3]");
    let values = job.run().succeeds().values();
    assert_eq!(values, [1, 2, 3, 4].map(|number| json!([[number], {}])));
}

#[test]
fn a_line_of_text_is_one_string() {
    let input = "a b\r\n[1]\n\n\"q\" 'r'";
    assert_eq!(values("--lines", input), ["a b", "[1]", "", "\"q\" 'r'"].map(|text| json!([[text], {}])));
}

#[test]
fn a_row_is_its_cells() {
    let csv = "a,\"b, \"\"c\"\"\",\r\n1,2,3\n\"two\nlines\",x,y";
    let expected = [
        json!([["a", "b, \"c\"", ""], {}]),
        json!([["1", "2", "3"], {}]),
        json!([["two\nlines", "x", "y"], {}]),
    ];
    assert_eq!(values("--csv", csv), expected);
    assert_eq!(values("--tsv", "a\tb,c\n"), [json!([["a", "b,c"], {}])]);
}

#[test]
fn a_header_names_the_keyword_arguments() {
    let expected = [json!([[], {"name": "x", "size": "1"}]), json!([[], {"name": "y", "size": "2"}])];
    assert_eq!(values("--csv --header", "\u{feff}name,size\r\nx,1\r\ny,2\r\n"), expected);
    assert_eq!(values("--tsv --header", "name\tsize\nx\t1\ny\t2"), expected);
}

#[test]
fn each_file_has_a_header_of_its_own() {
    let job = same("--csv --header a.csv b.csv").file("a.csv", "n\n1\n").file("b.csv", "n\n2\n");
    assert_eq!(job.run().succeeds().values(), [json!([[], {"n": "1"}]), json!([[], {"n": "2"}])]);
}

/// The lines that `echo` prints for these words and input, in order.
fn echoed(words: &str, input: impl AsRef<[u8]>) -> Vec<String> {
    let ran = poolmap("run -k").words(words).stdin(input).run().succeeds();
    ran.lines().iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_command_takes_lines() {
    assert_eq!(echoed("-- echo", "a b\r\n\nc\n"), ["a b", "", "c"]);
    assert_eq!(echoed("-- echo <{}>", "a b\nc"), ["<a b>", "<c>"]);
}

#[test]
fn a_command_takes_items_that_end_with_nul() {
    assert_eq!(echoed("-0 -- echo", "a b\0\"c\"\0d"), ["a b", "\"c\"", "d"]);
}

#[test]
fn a_command_takes_columns() {
    assert_eq!(echoed("--colsep [,;] -- echo {2}/{1}/{-1}", "a,b\nc;d,e"), ["b/a/b", "d/c/e"]);
    assert_eq!(echoed("--csv -- echo {2} {1}", "\"a,x\",b\n"), ["b a,x"]);
    assert_eq!(echoed("--tsv -- echo {2} {1}", "a,x\tb\n"), ["b a,x"]);
    assert_eq!(echoed("--jsonl -- echo {2} {1}", "[\"a b\",5]\n"), ["5 a b"]);
}

#[test]
fn a_header_names_the_columns_of_a_command() {
    assert_eq!(echoed("--csv --header -- echo {size} {name}", "name,size\nx,1\n"), ["1 x"]);
    assert_eq!(echoed("--colsep , --header -- echo {size}-{name}", "name,size\nx,1\n"), ["1-x"]);
    assert_eq!(echoed("--header -- echo <{name}>", "name\nx\ny\n"), ["<x>", "<y>"]);
}

#[test]
fn a_command_takes_several_lines_at_once() {
    assert_eq!(echoed("-n 2 -- echo", "1\n2\n3\n4\n5\n"), ["1 2", "3 4", "5"]);
    assert_eq!(echoed("-n 2 -- echo {2}{1}", "1\n2\n3\n4\n"), ["21", "43"]);
}

#[test]
fn a_command_reads_a_file() {
    let job = poolmap("run -k --input names -- echo").file("names", "a\nb\n");
    assert_eq!(job.run().succeeds().lines(), ["a", "b"]);
}

#[test]
fn lists_after_a_command_give_all_combinations() {
    assert_eq!(echoed("-- echo ::: a b ::: 1 2", ""), ["a 1", "a 2", "b 1", "b 2"]);
    assert_eq!(echoed("-- echo {2}{1} ::: a b ::: 1 2", ""), ["1a", "2a", "1b", "2b"]);
}

#[test]
fn lists_are_paired_if_asked() {
    assert_eq!(echoed("-- echo ::: a b :::+ 1 2", ""), ["a 1", "b 2"]);
    assert_eq!(echoed("-- echo ::: a b :::+ 1 2 ::: x y", ""), ["a 1 x", "a 1 y", "b 2 x", "b 2 y"]);
}

#[test]
fn lists_come_from_files() {
    let job =
        poolmap("run -k -- echo :::: letters ::: 1 2 ::::+ -").file("letters", "a\nb\n").stdin("x\ny\n");
    assert_eq!(job.run().succeeds().lines(), ["a 1 x", "a 2 y", "b 1 x", "b 2 y"]);
}

#[test]
fn an_empty_input_is_no_task() {
    for words in ["", "--lines", "--csv", "--csv --header", "--jsonl"] {
        let ran = same(words).run().succeeds();
        assert_eq!(ran.stdout(), "", "{words}");
    }
    for words in ["-- echo", "-0 -- echo", "--csv --header -- echo", "-- echo :::"] {
        assert_eq!(echoed(words, ""), [""; 0], "{words}");
    }
    assert_eq!(same("-").stdin("\n\n").run().succeeds().stdout(), "");
}
