//! Replacement strings against GNU parallel, whose meaning they are to have.
//!
//! Each line of `parallel_oracle.jsonl` holds a command, a task's values, and the arguments that GNU parallel (20221122) makes of
//! them. Templates are held against the table, with and without a shell; and the table against the real program.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets the unexpected shall fail there")]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::{Command, Stdio};

use poolmap_proto::v1;
use poolmap_worker::runtime::command::template::Template;

/// Prints each argument with a NUL behind it.
const PRINT: [&str; 2] = ["printf", r"'%s\0'"];

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    words: Vec<String>,
    values: Vec<String>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    replacement: String,
    arguments: Vec<String>,
}

impl Row {
    fn template(&self, prefix: &[&str], shell: bool) -> Template {
        let words = prefix.iter().map(|word| (*word).to_owned()).chain(self.words.clone());
        let command = v1::Command {
            words: words.map(Into::into).collect(),
            shell,
            replacement: self.replacement.clone().into(),
            columns: self.columns.iter().cloned().map(Into::into).collect(),
        };
        Template::new(&command).unwrap()
    }

    fn values(&self) -> Vec<&[u8]> {
        self.values.iter().map(String::as_bytes).collect()
    }

    fn description(&self) -> String {
        format!("{:?} over {:?}", self.words, self.values)
    }
}

fn rows() -> Vec<Row> {
    let table = include_str!("parallel_oracle.jsonl");
    table.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn split(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.strip_suffix('\0').unwrap_or(&text).split('\0').map(str::to_owned).collect()
}

#[test]
fn templates_make_the_arguments_that_the_table_says() {
    for row in rows() {
        let arguments = row.template(&[], false).expand(&row.values(), 1, 1);
        let arguments: Vec<String> =
            arguments.into_iter().map(|argument| String::from_utf8(argument).unwrap()).collect();
        assert_eq!(arguments, row.arguments, "{}", row.description());
    }
}

#[test]
fn a_shell_makes_the_same_arguments_of_shell_commands() {
    for row in rows() {
        let words = row.template(&PRINT, true).expand(&row.values(), 1, 1);
        let mut words = words.into_iter().map(OsString::from_vec);
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        assert_eq!(split(&output.stdout), row.arguments, "{}", row.description());
    }
}

#[test]
fn a_shell_makes_the_same_arguments_of_the_line_of_a_dry_run() {
    for row in rows() {
        let line = row.template(&["printf", r"%s\0"], false).dry_run_line(&row.values(), 1, 1);
        let output = Command::new("/bin/sh").arg("-c").arg(OsStr::from_bytes(&line)).output().unwrap();
        assert_eq!(split(&output.stdout), row.arguments, "{}", row.description());
    }
}

#[test]
fn gnu_parallel_makes_the_arguments_that_the_table_says() {
    if !is_gnu_parallel_installed() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "GNU parallel is not installed, and CI must not skip this test: install `parallel`");
        skip("GNU parallel is not installed");
        return;
    }
    // Starting it takes long, and one start answers all rows that differ in their only value.
    for alike in rows()
        .chunk_by(|row, next| row.words == next.words && row.values.len() == 1 && next.values.len() == 1)
    {
        let expected: Vec<String> = alike.iter().flat_map(|row| row.arguments.clone()).collect();
        assert_eq!(ask_gnu_parallel(alike), expected);
    }
}

#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

fn is_gnu_parallel_installed() -> bool {
    let output = Command::new("parallel").arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout.starts_with(b"GNU parallel"))
}

/// The arguments of all rows, which have the same command.
fn ask_gnu_parallel(alike: &[Row]) -> Vec<String> {
    let row = alike.first().unwrap();
    let mut parallel = Command::new("parallel");
    parallel.env("PARALLEL_SHELL", "/bin/sh").env_remove("PARALLEL").stdin(Stdio::null());
    parallel.args(["--will-cite", "-j1", "-k"]);
    if !row.columns.is_empty() {
        parallel.args(["--header", ":"]);
    }
    if !row.replacement.is_empty() {
        parallel.args(["-I", &row.replacement]);
    }
    parallel.args(PRINT).args(&row.words);
    for index in 0..row.values.len() {
        parallel.arg(":::").args(row.columns.get(index));
        parallel.args(alike.iter().filter_map(|row| row.values.get(index)));
    }
    let output = parallel.output().unwrap_or_else(|error| panic!("cannot run parallel: {error}"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", row.description());
    split(&output.stdout)
}
