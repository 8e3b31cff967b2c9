//! Values of commands: splitting, and the combinations that GNU parallel makes of the same words.

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;

use super::values::{RowForm, Split, ValueForm, ValueInput};
use super::{InputError, TaskReader, command_tasks, split_command};

fn lines(split: Split) -> ValueForm {
    ValueForm {
        rows: RowForm::Records { is_nul_separated: false, split },
        has_header: false,
        rows_per_task: NonZeroUsize::MIN,
    }
}

fn columns(separator: &str) -> Split {
    Split::Columns(regex::bytes::Regex::new(separator).unwrap())
}

/// The tasks as text: values joined by `|`, tasks by a space.
fn tasks_of(mut reader: TaskReader) -> Result<String, InputError> {
    let mut tasks = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        let mut rest = chunk.payloads;
        for &length in &chunk.lengths {
            let payload = rest.split_to(length as usize);
            let values = payload.strip_suffix(b"\0").unwrap_or(&payload);
            tasks.push(values.escape_ascii().to_string().replace("\\x00", "|"));
        }
    }
    Ok(tasks.join(" "))
}

fn of_file(form: &ValueForm, text: &[u8]) -> Result<String, InputError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let name = file.path().display().to_string();
    let read = command_tasks(form, ValueInput::Path(file.path().into())).and_then(tasks_of);
    read.map_err(|error| match error {
        InputError::Line { name: found, line, problem } if found == name => {
            InputError::Line { name: "in".to_owned(), line, problem }
        }
        other => other,
    })
}

fn of_words(form: &ValueForm, words: &str) -> String {
    let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
    let (command, lists) = split_command(&words);
    assert!(command.is_empty());
    tasks_of(command_tasks(form, ValueInput::Lists(lists)).unwrap()).unwrap()
}

#[test]
fn lists_combine_as_gnu_parallel_combines_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("two"), "1\n2\n").unwrap();
    fs::write(path("none"), "").unwrap();
    // Each row was run through GNU parallel 20221122.
    let rows = [
        ("::: a b ::: 1 2", "a|1 a|2 b|1 b|2"),
        ("::: a b c :::+ 1 2", "a|1 b|2"),
        ("::: a b :::+ 1 2 3", "a|1 b|2"),
        ("::: a b :::+ 1 2 ::: x y", "a|1|x a|1|y b|2|x b|2|y"),
        ("::: a b ::: 1 2 :::+ x y", "a|1|x a|2|y b|1|x b|2|y"),
        ("::: a b :::+ 1 2 :::+ x y z", "a|1|x b|2|y"),
        ("::: x y ::: a b :::+ 1 2 3 :::+ p q", "x|a|1|p x|b|2|q y|a|1|p y|b|2|q"),
        (":::+ a b :::+ 1 2", "a|1 b|2"),
        (":::", ""),
        ("::: :::", ""),
        ("::: a b :::", "a| b|"),
        ("::: ::: a b", "|a |b"),
        ("::: a b :::+", "a|"),
        ("::: a b :::+ ::: 1 2", "a||1 a||2"),
        (":::: two", "1 2"),
        (":::: two ::: a b", "1|a 1|b 2|a 2|b"),
        ("::: a b ::::+ two", "a|1 b|2"),
        (":::: two two", "1|1 1|2 2|1 2|2"),
        ("::: a b ::::+ two two", "a|1|1 b|2|2"),
        (":::: none ::: a b", "|a |b"),
        (":::: none none", ""),
        ("::: 1 2 ::: a b ::::+ none", "1|a| 2|a|"),
    ];
    for (words, tasks) in rows {
        let words = words.replace("two", &path("two")).replace("none", &path("none"));
        assert_eq!(of_words(&lines(Split::Whole), &words), tasks, "{words}");
    }
}

#[test]
fn several_combinations_make_a_task_as_in_gnu_parallel() {
    let form = ValueForm { rows_per_task: NonZeroUsize::new(2).unwrap(), ..lines(Split::Whole) };
    assert_eq!(of_words(&form, "::: a b c"), "a|b c");
    assert_eq!(of_words(&form, "::: a b ::: 1 2"), "a|1|a|2 b|1|b|2");
}

#[test]
fn values_of_lists_are_split_into_columns() {
    assert_eq!(of_words(&lines(columns(",")), "::: a,b c,d ::: 1"), "a|b|1 c|d|1");
    assert_eq!(of_words(&lines(columns(",")), "::: a, ,b"), "a| |b");
}

#[test]
fn a_million_million_combinations_are_made_one_by_one() {
    let words: Vec<OsString> = (0..1000).map(|number| number.to_string().into()).collect();
    let list = [vec![":::".into()], words].concat();
    let (_, lists) = split_command(&vec![list; 4].concat());
    let mut reader = command_tasks(&lines(Split::Whole), ValueInput::Lists(lists)).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert!(chunk.payloads.starts_with(b"0\x000\x000\x000\x000\x000\x000\x001\x00"));
}

#[test]
fn the_command_ends_where_the_first_list_begins() {
    let words = ["echo", "{}", "::::+", "f", "g", ":::", "a"].map(OsString::from);
    let (command, lists) = split_command(&words);
    assert_eq!(command, ["echo", "{}"]);
    assert_eq!(lists.iter().map(|list| list.is_linked).collect::<Vec<_>>(), [true, true, false]);
    let (command, lists) = split_command(&words[..2]);
    assert_eq!((command.len(), lists.len()), (2, 0));
}

#[test]
fn headers_name_the_columns() {
    let form = ValueForm { has_header: true, ..lines(columns(",")) };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "name,age\nAda,36\n").unwrap();
    let reader = command_tasks(&form, ValueInput::Path(file.path().into())).unwrap();
    assert_eq!(reader.columns(), ["name", "age"]);
    assert_eq!(tasks_of(reader).unwrap(), "Ada|36");

    let words = [":::", "n,m", "1,2", ":::", "x", "a", "b"].map(OsString::from);
    let reader = command_tasks(&form, ValueInput::Lists(split_command(&words).1)).unwrap();
    assert_eq!(reader.columns(), ["n", "m", "x"]);
    assert_eq!(tasks_of(reader).unwrap(), "1|2|a 1|2|b");

    let reader = command_tasks(&form, ValueInput::Path("/dev/null".into())).unwrap();
    assert!(reader.columns().is_empty());
}

#[test]
fn lines_are_values_as_they_stand() {
    assert_eq!(of_file(&lines(Split::Whole), b"a\n\nb\r\n  c \n\xff").unwrap(), r"a  b\r   c  \xff");
    let form = ValueForm { rows_per_task: NonZeroUsize::new(2).unwrap(), ..lines(Split::Whole) };
    assert_eq!(of_file(&form, b"a\nb\nc\n").unwrap(), "a|b c");
    let form = ValueForm { rows_per_task: NonZeroUsize::new(2).unwrap(), ..lines(columns(",")) };
    assert_eq!(of_file(&form, b"a,b\nc,d\ne,f\n").unwrap(), "a|b|c|d e|f");
    assert_eq!(of_file(&lines(columns(" +")), b"a  b\nc\n\nd e f").unwrap(), "a|b c  d|e|f");
}

#[test]
fn a_nul_ends_values_only_if_asked() {
    let form = ValueForm {
        rows: RowForm::Records { is_nul_separated: true, split: Split::Whole },
        ..lines(Split::Whole)
    };
    assert_eq!(of_file(&form, b"a\0\0b\nx\0c").unwrap(), r"a  b\nx c");
    let error = of_file(&lines(Split::Whole), b"a\nb\0c\n").unwrap_err();
    insta::assert_snapshot!(error, @"in:2: a value has a NUL byte, which no argument of a command can hold");
}

#[test]
fn json_lines_hold_values_of_commands() {
    let json = lines(Split::Json);
    let text = br#"["a b", 1, -2.50, "\u00fc"]

        {"args": ["x"]}
        []
    "#;
    assert_eq!(of_file(&json, text).unwrap(), r"a b|1|-2.50|\xc3\xbc x ");
    let bad: [&[u8]; 8] = [
        b"\"a\"",
        b"[true]",
        b"[[1]]",
        b"[null]",
        b"{\"args\": [1], \"kwargs\": {}}",
        b"{}",
        b"[\"a\\u0000\"]",
        b"[1",
    ];
    let errors: Vec<_> = bad.iter().map(|line| of_file(&json, line).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn rows_of_tables_are_values_of_commands() {
    let form = ValueForm { rows: RowForm::Table { separator: b'\t' }, ..lines(Split::Whole) };
    assert_eq!(of_file(&form, b"a\t\"b\tc\"\nd\te\n").unwrap(), r"a|b\tc d|e");
    let error = of_file(&form, b"a\tb\nc\n").unwrap_err();
    insta::assert_snapshot!(error, @"in:2: 1 value, where the first row has 2");
    let lists = split_command(&[":::", "a"].map(OsString::from)).1;
    let error = command_tasks(&form, ValueInput::Lists(lists)).err().unwrap();
    insta::assert_snapshot!(error);
}

#[test]
fn errors_in_lists_say_which_value() {
    let lists = split_command(&[":::", "[1]", ":::", "[2]", "{}"].map(OsString::from)).1;
    let error = command_tasks(&lines(Split::Json), ValueInput::Lists(lists)).err().unwrap();
    insta::assert_snapshot!(error);
    let lists = split_command(&["::::", "/nonexistent", ":::", "a"].map(OsString::from)).1;
    let error = command_tasks(&lines(Split::Whole), ValueInput::Lists(lists)).err().unwrap();
    insta::assert_snapshot!(error, @"cannot open the input /nonexistent: No such file or directory");
}
