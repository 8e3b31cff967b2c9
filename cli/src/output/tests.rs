//! What users see, and that nothing is lost on the way.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use poolmap_proto::v1::{Detail, Failure, FailureKind, OutcomeRun};
use proptest::prelude::*;

use super::reorder::Reorder;
use super::{Destination, Form, OutputError, Progress, ProgressMode, Style, Subject, Tags, Writer};
use crate::input::Chunk;

/// A destination that can be read, written by whole buffers.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<(Vec<u8>, usize)>>);

impl Screen {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut screen = self.0.lock().unwrap();
        screen.0.extend_from_slice(bytes);
        screen.1 += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A destination that fails in one way.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn style(form: Form, subject: Subject) -> Style {
    Style { form, subject, has_details: false, tags: None }
}

fn writer(destination: Destination, style: Style, keeps_order: bool) -> Writer {
    Writer::new(destination, style, keeps_order, Arc::new(Progress::new(ProgressMode::Never)))
}

/// Everything that comes of these runs, as on a terminal: both streams in one.
fn shown(style: Style, runs: impl IntoIterator<Item = OutcomeRun>) -> String {
    let screen = Screen::default();
    let mut writer = writer(Destination::of(screen.clone()), style, false).with_notes(screen.clone());
    runs.into_iter().for_each(|run| writer.write(run).unwrap());
    writer.finish().unwrap();
    screen.text()
}

fn run_of(first_index: u64, values: &[&str]) -> OutcomeRun {
    OutcomeRun {
        first_index,
        lengths: values.iter().map(|value| value.len() as u32).collect(),
        values: values.concat().into(),
        ..OutcomeRun::default()
    }
}

fn failure(offset: u32, kind: FailureKind, name: &str, message: &str) -> Failure {
    Failure {
        offset,
        kind: kind.into(),
        r#type: name.to_owned(),
        message: message.to_owned(),
        ..Failure::default()
    }
}

fn detail(stdout: &'static [u8], stderr: &'static [u8]) -> Detail {
    Detail { attempt: 1, seconds: 0.25, stdout: stdout.into(), stderr: stderr.into() }
}

/// Values of each kind, and failures between them.
fn function_run() -> OutcomeRun {
    let value_error = Failure {
        traceback: "Traceback:\n  File \"f.py\", line 1\nValueError: bad\n".to_owned(),
        ..failure(1, FailureKind::Exception, "ValueError", "bad \"x\"\nsecond line")
    };
    OutcomeRun {
        failures: vec![value_error, failure(4, FailureKind::Lost, "", "")],
        ..run_of(7, &["\"Pokemon#245\"", "", "[1, {\"a\": null}]", "\"a\\nb \\u00fc\"", ""])
    }
}

/// Commands that succeed, fail, and die.
fn command_run() -> OutcomeRun {
    let failed = |offset, status| Failure {
        exit_status: Some(status),
        ..failure(offset, FailureKind::Exit, "", &format!("exited with status {status}"))
    };
    OutcomeRun {
        failures: vec![failed(1, 3), failure(2, FailureKind::Crashed, "SIGSEGV", "killed by SIGSEGV")],
        details: vec![
            detail(b"one\ntwo", b"warned\n"),
            detail(b"half\n", b"failed\n"),
            detail(b"", b""),
            detail(b"\xff\n\n", b""),
        ],
        worker: "host-1".to_owned(),
        ..run_of(0, &["", "", "", ""])
    }
}

#[test]
fn functions_give_json_lines() {
    insta::assert_snapshot!(shown(style(Form::Json, Subject::Function), [function_run()]));
}

#[test]
fn details_follow_the_value_or_the_error() {
    let style = Style { has_details: true, ..style(Form::Json, Subject::Function) };
    let mut run = run_of(0, &["1", ""]);
    run.failures = vec![failure(1, FailureKind::Timeout, "", "ran longer than 30 s")];
    run.details = vec![detail(b"printed\n", b""), detail(b"", b"\xffoops")];
    run.worker = "host-1".to_owned();
    let never_began = OutcomeRun {
        failures: vec![failure(0, FailureKind::Cancelled, "", "the job was cancelled")],
        ..run_of(2, &[""])
    };
    insta::assert_snapshot!(shown(style, [run, never_began]));
}

#[test]
fn bare_values_stand_one_a_line_and_failures_below_each_other() {
    insta::assert_snapshot!(shown(style(Form::Value, Subject::Function), [function_run()]));
}

#[test]
fn commands_show_what_they_wrote_and_how_they_died() {
    insta::assert_snapshot!(shown(style(Form::Text, Subject::Command), [command_run()]));
}

#[test]
fn bare_values_of_commands_tell_exits_too() {
    insta::assert_snapshot!(shown(style(Form::Value, Subject::Command), [command_run()]));
}

#[test]
fn commands_give_json_lines() {
    insta::assert_snapshot!(shown(style(Form::Json, Subject::Command), [command_run()]));
    let style = Style { has_details: true, ..style(Form::Json, Subject::Command) };
    insta::assert_snapshot!(shown(style, [command_run()]));
}

#[test]
fn tags_stand_before_each_line_and_end_the_last() {
    let tags = Arc::new(Tags::default());
    tags.insert(0, &Chunk { lengths: vec![4, 2], payloads: "a\x001\0b\0".into() });
    tags.insert(2, &Chunk { lengths: vec![0, 4], payloads: "a b\0".into() });
    let style = Style { tags: Some(tags), ..style(Form::Text, Subject::Command) };
    insta::assert_snapshot!(shown(style, [command_run()]));
}

#[test]
fn a_result_waits_for_the_flush_and_then_leaves_in_one_write() {
    let screen = Screen::default();
    let mut writer = writer(Destination::of(screen.clone()), style(Form::Json, Subject::Function), false);
    writer.write(run_of(0, &["1", "2"])).unwrap();
    writer.write(run_of(2, &["3"])).unwrap();
    assert_eq!(screen.writes(), 0);
    writer.flush().unwrap();
    writer.flush().unwrap();
    assert_eq!(screen.writes(), 1);
    assert_eq!(writer.counts().to_string(), "3 tasks, 0 failed");
}

#[test]
fn counts_tell_failures_by_kind() {
    let mut writer = writer(Destination::of(Screen::default()), style(Form::Json, Subject::Function), false);
    writer.write(function_run()).unwrap();
    writer.write(OutcomeRun { first_index: 12, ..command_run() }).unwrap();
    assert_eq!(writer.counts().to_string(), "9 tasks, 4 failed (1 exception, 1 exit, 1 crashed, 1 lost)");
    assert_eq!((writer.counts().failed(), writer.counts().of_kind(FailureKind::Exit)), (4, 1));
}

#[test]
fn a_closed_pipe_is_told_apart_from_a_full_disk() {
    let fails = |kind| {
        let mut writer = writer(Destination::of(Broken(kind)), style(Form::Json, Subject::Function), false);
        writer.write(run_of(0, &["1"])).and_then(|()| writer.flush()).unwrap_err()
    };
    assert!(matches!(fails(io::ErrorKind::BrokenPipe), OutputError::Closed));
    insta::assert_snapshot!(fails(io::ErrorKind::StorageFull), @"writing results to here: no storage space");
    let error = Destination::file("/nonexistent/out.jsonl".as_ref()).err().unwrap();
    insta::assert_snapshot!(error, @"cannot create /nonexistent/out.jsonl for the results: No such file or directory");
}

#[test]
fn runs_that_contradict_themselves_are_refused() {
    let good = run_of(0, &["1", "2"]);
    let bad = [
        OutcomeRun { values: "1".into(), ..good.clone() },
        OutcomeRun { details: vec![Detail::default()], ..good.clone() },
        OutcomeRun { failures: vec![failure(2, FailureKind::Exit, "", "")], ..good.clone() },
        OutcomeRun { failures: vec![Failure::default(), Failure::default()], ..good.clone() },
        OutcomeRun { first_index: u64::MAX, ..good.clone() },
    ];
    for run in bad {
        let mut writer =
            writer(Destination::of(Screen::default()), style(Form::Json, Subject::Function), true);
        assert!(matches!(writer.write(run.clone()), Err(OutputError::Malformed { .. })), "{run:?}");
    }
}

#[test]
fn a_second_outcome_of_a_task_is_refused() {
    for (first, second) in [((0, 3), (2, 1)), ((4, 4), (2, 3)), ((4, 4), (5, 1)), ((4, 1), (4, 1))] {
        let run = |(begin, length): (u64, usize)| run_of(begin, &vec!["1"; length]);
        let mut order = Reorder::default();
        order.push(run(first)).unwrap();
        while order.take_next().is_some() {}
        assert!(order.push(run(second)).is_err(), "{first:?} {second:?}");
    }
}

#[test]
fn what_waits_for_missing_tasks_is_written_when_the_job_stops() {
    let screen = Screen::default();
    let style = style(Form::Value, Subject::Function);
    let mut writer = writer(Destination::of(screen.clone()), style, true);
    for (index, value) in [(9, "9"), (0, "0"), (4, "4")] {
        writer.write(run_of(index, &[value])).unwrap();
    }
    writer.flush().unwrap();
    assert_eq!(screen.text(), "0\n");
    assert!(writer.held_bytes() > 0);
    writer.finish().unwrap();
    assert_eq!(screen.text(), "0\n4\n9\n");
    assert_eq!(writer.held_bytes(), 0);
}

proptest! {
    #[test]
    fn any_order_of_runs_comes_out_in_input_order(
        lengths in prop::collection::vec(1..5_usize, 0..20),
        ranks in prop::collection::vec(any::<u32>(), 20),
    ) {
        let mut begin = 0;
        let mut runs = Vec::new();
        for (length, rank) in lengths.into_iter().zip(ranks) {
            let values: Vec<String> = (begin..begin + length).map(|index| index.to_string()).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            runs.push((rank, run_of(begin as u64, &values)));
            begin += length;
        }
        runs.sort_by_key(|(rank, _)| *rank);

        let screen = Screen::default();
        let mut writer = writer(Destination::of(screen.clone()), style(Form::Value, Subject::Function), true);
        let mut is_here = vec![false; begin];
        for (_, run) in runs {
            let first = run.first_index as usize;
            is_here[first..first + run.lengths.len()].fill(true);
            writer.write(run).unwrap();
            writer.flush().unwrap();
            let ready = is_here.iter().take_while(|&&here| here).count();
            let expected: Vec<String> = (0..ready).map(|index| index.to_string()).collect();
            let text = screen.text();
            prop_assert_eq!(text.lines().collect::<Vec<_>>(), expected);
            let waits = is_here[ready..].contains(&true);
            prop_assert_eq!(writer.held_bytes() > 0, waits);
        }
    }

    #[test]
    fn every_line_is_json_whatever_tasks_wrote(
        message: String,
        traceback: String,
        stdout: Vec<u8>,
        stderr: Vec<u8>,
        seconds: f64,
        has_details: bool,
        fails: bool,
    ) {
        let style = Style { has_details, ..style(Form::Json, Subject::Command) };
        let failed = Failure { message, traceback, kind: 99, ..Failure::default() };
        let run = OutcomeRun {
            failures: if fails { vec![failed] } else { Vec::new() },
            details: vec![Detail { attempt: 1, seconds, stdout: stdout.into(), stderr: stderr.into() }],
            ..run_of(0, &[""])
        };
        let screen = Screen::default();
        let mut writer = writer(Destination::of(screen.clone()), style, false).with_notes(io::sink());
        writer.write(run).unwrap();
        writer.finish().unwrap();
        let text = screen.text();
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
    }
}
