//! What every form of input has in common, tested through small readers that hand out given pieces.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::function::{JsonTasks, LineTasks, RowTasks};
use super::records::Records;
use super::source::Source;
use super::table::Rows;
use super::{InputError, TaskReader};

/// A pipe whose writer wrote these pieces, one per read.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    reads: Arc<AtomicUsize>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let Some(piece) = self.pieces.pop_front() else { return Ok(0) };
        let (now, later) = piece.split_at(piece.len().min(buffer.len()));
        buffer[..now.len()].copy_from_slice(now);
        if !later.is_empty() {
            self.pieces.push_front(later.to_vec());
        }
        Ok(now.len())
    }
}

fn source(pieces: impl IntoIterator<Item = Vec<u8>>) -> Source {
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    Source::new("in".to_owned(), Box::new(Pieces { pieces, reads: Arc::default() }))
}

fn lines_of(source: Source) -> Records {
    Records::of(source, b'\n')
}

/// Cuts bytes at some places, each given as a fraction of what is left.
fn cut(mut bytes: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = bytes.split_at(cut.index(bytes.len() + 1));
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces.push(bytes.to_vec());
    pieces
}

/// All payloads, and the error that ended the reading if one did.
fn read_all(mut reader: TaskReader) -> (Vec<Vec<u8>>, Option<InputError>) {
    let mut payloads = Vec::new();
    loop {
        let chunk = match reader.next_chunk() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return (payloads, None),
            Err(error) => return (payloads, Some(error)),
        };
        let mut rest = chunk.payloads;
        payloads.extend(chunk.lengths.iter().map(|&length| rest.split_to(length as usize).to_vec()));
        assert!(rest.is_empty(), "lengths must add up to the payloads");
    }
}

fn json_tasks(source: Source) -> TaskReader {
    TaskReader::new(JsonTasks { lines: lines_of(source) }, Vec::new())
}

fn row_tasks(source: Source, has_header: bool) -> TaskReader {
    TaskReader::new(RowTasks { rows: Rows::of(source, b','), names: has_header.then(Vec::new) }, Vec::new())
}

#[test]
fn what_a_pipe_brought_is_handed_out_before_it_is_read_again() {
    let reads = Arc::new(AtomicUsize::new(0));
    let pieces = VecDeque::from([b"[1]\n[2]\n[3".to_vec(), b"]\n".to_vec()]);
    let pipe = Pieces { pieces, reads: reads.clone() };
    let mut reader = json_tasks(Source::new("in".to_owned(), Box::new(pipe)));
    let mut seen = Vec::new();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        seen.push((chunk.payloads, reads.load(Ordering::Relaxed)));
    }
    assert_eq!(seen, [("[1][2]".into(), 1), ("[3]".into(), 2)]);
}

#[test]
fn rows_of_a_slow_pipe_are_handed_out_before_it_is_read_again() {
    let reads = Arc::new(AtomicUsize::new(0));
    let pieces = VecDeque::from([b"a,b\nc,\"d\n".to_vec(), b"e\"\n".to_vec()]);
    let pipe = Pieces { pieces, reads: reads.clone() };
    let mut reader = row_tasks(Source::new("in".to_owned(), Box::new(pipe)), false);
    let first = reader.next_chunk().unwrap().unwrap();
    assert_eq!((first.payloads, reads.load(Ordering::Relaxed)), (r#"["a","b"]"#.into(), 1));
    let second = reader.next_chunk().unwrap().unwrap();
    assert_eq!(second.payloads, r#"["c","d\ne"]"#);
    assert_eq!(reader.next_chunk().unwrap(), None);
}

#[test]
fn a_large_file_comes_in_chunks_of_bounded_size() {
    let text = b"[2,4,5]\n".repeat(50_000);
    let mut reader = json_tasks(source([text]));
    let mut tasks = 0;
    while let Some(chunk) = reader.next_chunk().unwrap() {
        assert!(chunk.lengths.len() <= 16_384);
        tasks += chunk.lengths.len();
    }
    assert_eq!(tasks, 50_000);
}

#[test]
fn a_line_longer_than_the_buffer_is_one_task() {
    let text = format!("[\"{}\"]", "x".repeat(3 << 20));
    let (payloads, error) = read_all(json_tasks(source([format!("[1]\n{text}\n[2]").into_bytes()])));
    assert!(error.is_none());
    assert_eq!(payloads, [b"[1]".to_vec(), text.into_bytes(), b"[2]".to_vec()]);
}

#[test]
fn tasks_before_a_bad_line_come_before_its_error() {
    let (payloads, error) = read_all(json_tasks(source([b"[1]\n\n[2]\n[3,]\n[4]\n".to_vec()])));
    assert_eq!(payloads, [b"[1]", b"[2]"]);
    insta::assert_snapshot!(error.unwrap(), @"in:4: not JSON: no value begins at column 4");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_no_part_of_tasks() {
    let (payloads, error) = read_all(json_tasks(source([
        b"\xef".to_vec(),
        b"\xbb".to_vec(),
        b"\xbf[1]\r".to_vec(),
        b"\n\r\n[2]".to_vec(),
    ])));
    assert!(error.is_none());
    assert_eq!(payloads, [b"[1]", b"[2]"]);
}

#[test]
fn an_empty_input_has_no_tasks() {
    for text in ["", "\n", " \n\r\n", "\u{feff}"] {
        let (payloads, error) = read_all(json_tasks(source([text.into()])));
        assert!(payloads.is_empty() && error.is_none(), "{text:?}");
    }
}

#[test]
fn a_plain_line_becomes_the_one_argument() {
    let text = "plain\r\n\n \"quoted\"\\ \nü".to_owned().into_bytes();
    let reader = TaskReader::new(LineTasks { lines: lines_of(source([text])) }, Vec::new());
    let (payloads, error) = read_all(reader);
    assert!(error.is_none());
    let payloads: Vec<_> = payloads.into_iter().map(|payload| String::from_utf8(payload).unwrap()).collect();
    assert_eq!(payloads, [r#"["plain"]"#, r#"[""]"#, r#"[" \"quoted\"\\ "]"#, r#"["ü"]"#]);
}

#[test]
fn a_header_makes_keyword_arguments() {
    let (payloads, error) =
        read_all(row_tasks(source([b"name,age\nAda,36\n\n\"x\"\"y\",\n".to_vec()]), true));
    assert!(error.is_none());
    let payloads: Vec<_> = payloads.into_iter().map(|payload| String::from_utf8(payload).unwrap()).collect();
    assert_eq!(
        payloads,
        [r#"{"kwargs":{"name":"Ada","age":"36"}}"#, r#"{"kwargs":{"name":"x\"y","age":""}}"#]
    );
}

/// One error per line: `input => message`.
fn errors_of(inputs: &[&[u8]], reader: impl Fn(Source) -> TaskReader) -> String {
    let error = |input: &&[u8]| {
        let (_, error) = read_all(reader(source([input.to_vec()])));
        let message = error.map_or("no error".to_owned(), |error| error.to_string());
        format!("{} => {message}\n", input.escape_ascii())
    };
    inputs.iter().map(error).collect()
}

#[test]
fn bad_lines_say_what_a_task_is() {
    let lines: &[&[u8]] = &[
        b"[1",
        b"[1 2]",
        b"   [1}",
        b"[1] 2",
        b"hello",
        b"\"hello\"",
        b"12",
        b"null",
        b"true",
        b"[\"\xff\"]",
        b"{\"args\": 1}",
        b"{\"args\": null}",
        b"{\"kwargs\": []}",
        b"{\"function\": 7}",
        b"{\"function\": \"\"}",
        b"{\"arguments\": []}",
        b"{\"args\": [], \"args\": []}",
        b"{\"args\": [1",
        b"{}",
        b"{\"args\": [[1], {}], \"kwargs\": {\"a\": null}, \"function\": \"f\\u0020\"}",
    ];
    insta::assert_snapshot!(errors_of(lines, json_tasks));
}

#[test]
fn bad_rows_say_where_they_are() {
    let tables: &[&[u8]] =
        &[b"a,b\n1,2\n3\n", b"a,b\r\n1,2,3\r\n", b"a,\n1,2\n", b"a,a\n", b"a\n\xff\n", b"a,b\n\"1\n2\",3\n4"];
    insta::assert_snapshot!(errors_of(tables, |source| row_tasks(source, true)));
}

#[test]
fn a_missing_input_is_an_error_before_anything_is_read() {
    let inputs = vec!["-".into(), "/nonexistent/jobs.jsonl".into()];
    let error = super::function_tasks(super::FunctionForm::JsonLines, inputs).err().unwrap();
    insta::assert_snapshot!(error, @"cannot open the input /nonexistent/jobs.jsonl: No such file or directory");
    let error = super::function_tasks(super::FunctionForm::Lines, vec!["/".into()]).err().unwrap();
    insta::assert_snapshot!(error, @"cannot open the input /: is a directory");
}

fn json_line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::collection::vec(any::<i64>(), 0..4).prop_map(|numbers| format!("{numbers:?}")),
        2 => any::<String>().prop_map(|text| serde_json::to_string(&[text]).unwrap()),
        1 => Just("{\"args\": [1], \"kwargs\": {\"a\": [2]}}".to_owned()),
        1 => Just(" \t".to_owned()),
        1 => Just("  [ 1 ]  \r".to_owned()),
    ]
}

proptest! {
    #[test]
    fn however_a_stream_is_cut_its_tasks_are_the_same(
        lines in prop::collection::vec(json_line(), 0..20),
        cuts: Vec<prop::sample::Index>,
        is_ended_by_newline: bool,
    ) {
        let mut text = lines.join("\n");
        text.push_str(if is_ended_by_newline { "\n" } else { "" });
        let expected: Vec<_> =
            lines.iter().map(|line| line.trim().as_bytes().to_vec()).filter(|line| !line.is_empty()).collect();
        let (payloads, error) = read_all(json_tasks(source(cut(text.as_bytes(), &cuts))));
        prop_assert!(error.is_none());
        prop_assert_eq!(payloads, expected);
    }

    #[test]
    fn any_bytes_give_the_same_tasks_and_error_however_they_are_cut(
        bytes in prop::collection::vec(prop::sample::select(b"[]{}\",1\n\r\xef\xbb\xbf ".to_vec()), 0..40),
        cuts: Vec<prop::sample::Index>,
    ) {
        let told = |(payloads, error): (Vec<Vec<u8>>, Option<InputError>)| (payloads, error.map(|error| error.to_string()));
        let (whole, pieces) = (source([bytes.clone()]), source(cut(&bytes, &cuts)));
        prop_assert_eq!(told(read_all(json_tasks(whole))), told(read_all(json_tasks(pieces))));
        let (whole, pieces) = (source([bytes.clone()]), source(cut(&bytes, &cuts)));
        prop_assert_eq!(told(read_all(row_tasks(whole, true))), told(read_all(row_tasks(pieces, true))));
    }

    #[test]
    fn rows_come_back_as_they_were_written(
        rows in (1..5_usize).prop_flat_map(|width| {
            prop::collection::vec(prop::collection::vec("[a-z\",\n\r ü]{0,4}", width), 0..12)
        }),
        cuts: Vec<prop::sample::Index>,
    ) {
        let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let (payloads, error) = read_all(row_tasks(source(cut(&text, &cuts)), false));
        prop_assert!(error.is_none());
        let read: Vec<Vec<String>> =
            payloads.iter().map(|payload| serde_json::from_slice(payload).unwrap()).collect();
        prop_assert_eq!(read, rows);
    }
}
