//! Native functions as tasks.

use std::ffi::CString;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;

use poolmap_proto::v1::{Function, JobStarted, NativeFunction, function};
use poolmap_worker::os::{self, Program, Spawn};
use poolmap_worker::runtime::native::{Natives, Registry, serve_descriptors};
use poolmap_worker::slot::map::SlotMap;

use crate::slot::{Record, Slot};

#[expect(clippy::panic, clippy::print_stdout, reason = "functions of users do such things")]
fn registry() -> Registry {
    Registry::new()
        .function("do_work", |a: i64, b: i64, c: i64| format!("Pokemon#{a}{b}{c}"))
        .function("pair_of", |name: String| (name, ()))
        .function("say", |text: String| println!("{text}"))
        .function("explode", |reason: String| -> u8 { panic!("{reason}") })
        .function("bytes_by_bytes", || std::collections::BTreeMap::from([(vec![1_u8], 1)]))
        .fallible("parse", |text: String| text.parse::<u8>())
}

fn job(name: &str, details: bool) -> JobStarted {
    let kind = function::Kind::Native(NativeFunction { name: name.to_owned() });
    JobStarted { function: Some(Function { kind: Some(kind) }), details, ..JobStarted::default() }
}

/// A slot in which `name` is function 1.
fn slot(name: &str) -> Slot {
    let mut slot = Slot::new(|| Natives::new(registry()));
    assert_eq!(slot.load(1, &job(name, false)), Ok(()));
    slot
}

#[test]
fn calls_come_as_arrays_or_objects_and_values_leave_as_json() {
    let records = slot("do_work")
        .run(1, &["[2,4,5]", r#" {"args":[3,8,1]}"#, r#"{"args":["x"],"kwargs":{},"function":"pair_of"}"#]);
    assert_eq!(
        records.iter().map(Record::text).collect::<Vec<_>>(),
        [r#""Pokemon#245""#, r#""Pokemon#381""#, r#"["x",null]"#]
    );
    assert!(records.iter().all(|record| record.detail.is_none()));
}

#[test]
fn a_job_that_wants_details_is_told_how_long_each_task_took() {
    let mut slot = slot("do_work");
    slot.load(2, &job("parse", true)).unwrap();
    for record in slot.run(2, &[r#"["7"]"#, r#"["x"]"#]) {
        let detail = record.detail.unwrap();
        assert!(detail.seconds > 0.0 && detail.stdout.is_empty());
    }
}

#[test]
fn wrong_arguments_are_failures_that_name_what_is_expected() {
    let payloads =
        ["[1,2]", r#"[1,2,"3"]"#, "7", "", r#"{"args":[1,2,3],"kwargs":{"a":1}}"#, r#"{"arg":[]}"#];
    let messages: Vec<String> =
        slot("do_work").run(1, &payloads).iter().map(|record| record.failure().message).collect();
    assert_eq!(messages[0], "cannot call do_work: it takes 3 arguments and was given 2");
    assert_eq!(messages[1], r#"cannot call do_work: argument 3: invalid type: string "3", expected i64"#);
    assert!(messages[2].contains("not a JSON array"), "{}", messages[2]);
    assert!(messages[3].contains("not a JSON array"), "{}", messages[3]);
    assert!(messages[4].contains("positional arguments"), "{}", messages[4]);
    assert!(messages[5].contains("unknown field `arg`"), "{}", messages[5]);
}

#[test]
fn errors_are_failures_with_their_type_and_text() {
    let records = slot("parse").run(1, &[r#"["12"]"#, r#"["x"]"#]);
    assert_eq!(records[0].text(), "12");
    let failure = records[1].failure();
    assert_eq!((failure.kind.as_str(), failure.kind_type.as_str()), ("exception", "ParseIntError"));
    assert_eq!(failure.message, "invalid digit found in string");
}

#[test]
fn a_panic_fails_its_task_and_no_other() {
    let mut slot = slot("explode");
    slot.load(2, &job("do_work", false)).unwrap();
    let failure = slot.run(1, &[r#"["boom"]"#])[0].failure();
    assert_eq!((failure.kind.as_str(), failure.kind_type.as_str()), ("exception", "panic"));
    assert_eq!(failure.message, "boom");
    assert!(failure.traceback.contains("native.rs:"), "{}", failure.traceback);
    assert_eq!(slot.run(2, &["[1,2,3]"])[0].text(), r#""Pokemon#123""#);
}

#[test]
fn a_value_that_json_cannot_carry_is_a_failure_that_names_its_type() {
    let failure = slot("bytes_by_bytes").run(1, &["[]"])[0].failure();
    assert!(failure.message.contains("BTreeMap<Vec<u8>, i32>"), "{}", failure.message);
}

#[test]
fn an_unknown_function_is_refused_with_the_names_there_are_and_the_closest() {
    let mut slot = Slot::new(|| Natives::new(registry()));
    let refused = slot.load(1, &job("do_wrok", false)).unwrap_err();
    assert_eq!(
        refused,
        "this binary has no native function `do_wrok`; did you mean `do_work`?\n\
         it has: bytes_by_bytes, do_work, explode, pair_of, parse, say"
    );
    slot.load(2, &job("do_work", false)).unwrap();
    let failure = slot.run(2, &[r#"{"function":"other"}"#])[0].failure();
    assert!(failure.message.contains("no native function `other`"), "{}", failure.message);
    let mut empty = Slot::new(|| Natives::new(Registry::new()));
    assert!(empty.load(1, &job("f", false)).unwrap_err().contains("none at all"));
}

/// Set in the environment of the process that [`a_child_process_serves_the_descriptors_it_inherits`] starts.
const DESCRIPTORS: &str = "POOLMAP_TEST_DESCRIPTORS";

/// The child process of the test below; as a test of its own it does nothing.
#[test]
fn child() {
    if let Ok(numbers) = std::env::var(DESCRIPTORS) {
        serve_descriptors(&numbers, &registry()).unwrap();
    }
}

#[test]
fn a_child_process_serves_the_descriptors_it_inherits() {
    let (socket, theirs) = UnixStream::pair().unwrap();
    let map = SlotMap::create().unwrap();
    let (stdout, stderr) = (os::capture_file().unwrap(), os::capture_file().unwrap());
    let this_program = std::env::current_exe().unwrap().into_os_string().into_vec();
    let pid = Spawn {
        program: &Program::find(&this_program, None).unwrap(),
        arguments: &["runners", "native::child", "--exact", "--nocapture"]
            .map(|word| CString::new(word).unwrap()),
        environment: &[CString::new(format!("{DESCRIPTORS}=7:4")).unwrap()],
        directory: None,
        descriptors: &[(stdout.as_fd(), 1), (stderr.as_fd(), 2), (theirs.as_fd(), 7), (map.fd(), 4)],
        own_group: true,
        own_session: false,
        die_with_parent: true,
    }
    .start()
    .unwrap();
    drop(theirs);
    let mut slot = Slot::without_runner(socket, map);
    slot.load(1, &job("do_work", false)).unwrap();
    slot.load(2, &job("say", false)).unwrap();
    assert_eq!(slot.run(1, &["[2,4,5]"])[0].text(), r#""Pokemon#245""#);
    assert_eq!(slot.run(2, &[r#"["printed by a function"]"#])[0].text(), "null");
    drop(slot);
    assert!(os::wait(pid).unwrap().0.success());
    let mut printed = vec![0; 4096];
    let length = std::os::unix::fs::FileExt::read_at(&stderr, &mut printed, 0).unwrap();
    let printed = String::from_utf8_lossy(&printed[..length]).into_owned();
    // What the test harness of that process prints then follows: its stdout, too, has become stderr.
    assert!(printed.starts_with("printed by a function\n"), "{printed}");
}

#[test]
fn descriptors_that_are_none_of_ours_are_refused() {
    for numbers in ["", "3", "a:b", "0:1", "1000000:1000001"] {
        assert!(serve_descriptors(numbers, &registry()).is_err(), "{numbers}");
    }
}
