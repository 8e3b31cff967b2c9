//! The order of things: claims, fences, room for records.

use std::io::ErrorKind;

use poolmap_proto::v1::JobStarted;
use poolmap_worker::slot::frame::{Header, Kind};
use poolmap_worker::slot::map::{AREA_BYTES, NO_FENCE};
use poolmap_worker::slot::serve::{Call, Outcome, Tasks};

use crate::slot::{Record, Slot, header};

/// Answers each payload with itself, as often as the function's number says.
struct Echo;

impl Tasks for Echo {
    fn load(&mut self, function: u32, _body: &[u8]) -> Result<(), String> {
        if function == 0 { Err("no function has the number 0".to_owned()) } else { Ok(()) }
    }

    fn run(&mut self, call: &Call<'_>, outcome: &mut Outcome) {
        for _ in 0..call.function {
            outcome.value().extend_from_slice(call.payload);
        }
    }
}

/// Sets the fence of its own slot while it runs its first task.
struct Fences;

impl Tasks for Fences {
    fn load(&mut self, _function: u32, _body: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn run(&mut self, call: &Call<'_>, outcome: &mut Outcome) {
        if call.index == 0 {
            call.map.set_fence(3);
        }
        outcome.value().extend_from_slice(call.index.to_string().as_bytes());
    }
}

#[test]
fn a_function_is_answered_with_ready_or_the_reason_against_it() {
    let mut slot = Slot::new(|| Echo);
    assert_eq!(slot.load(1, &JobStarted::default()), Ok(()));
    assert_eq!(slot.load(0, &JobStarted::default()), Err("no function has the number 0".to_owned()));
}

#[test]
fn records_come_in_order_and_the_map_shows_the_task_begun_last() {
    let mut slot = Slot::new(|| Echo);
    let records = slot.run(1, &["a", "", "ccc"]);
    assert_eq!(records.iter().map(Record::text).collect::<Vec<_>>(), ["a", "", "ccc"]);
    assert_eq!(slot.map.begun(), 3);
    assert_eq!(slot.run(2, &["d"])[0].text(), "dd");
    assert_eq!(slot.map.begun(), 4);
}

#[test]
fn a_batch_without_tasks_is_done_at_once() {
    let mut slot = Slot::new(|| Echo);
    assert_eq!(slot.run::<&str>(1, &[]), []);
}

#[test]
fn no_task_begins_behind_a_fence() {
    let mut slot = Slot::new(|| Fences);
    let first = slot.send_batch(header(Kind::Batch), &["", "", "", ""]);
    let records = slot.collect(first);
    assert_eq!(records.iter().map(Record::text).collect::<Vec<_>>(), ["0", "1"]);
    let second = slot.send_batch(Header { index: 7, ..header(Kind::Batch) }, &["", ""]);
    assert_eq!(slot.collect(second), []);
    slot.map.set_fence(NO_FENCE);
    let third = slot.send_batch(Header { index: 9, ..header(Kind::Batch) }, &["", ""]);
    let records = slot.collect(third);
    assert_eq!(records.iter().map(Record::text).collect::<Vec<_>>(), ["9", "10"]);
}

#[test]
fn a_full_area_is_drained_while_later_frames_wait() {
    let mut slot = Slot::new(|| Echo);
    let payloads = vec![vec![b'x'; 1000]; 2500];
    let first = slot.send_batch(Header { function: 1, ..header(Kind::Batch) }, &payloads);
    let second = slot.send_batch(Header { function: 1, ..header(Kind::Batch) }, &["later"]);
    let records = slot.collect(first);
    assert_eq!(records.len(), 2500);
    assert!(records.iter().all(|record| record.value == payloads[0]));
    assert_eq!(slot.collect(second)[0].text(), "later");
}

#[test]
fn a_record_larger_than_the_area_comes_in_a_frame_of_its_own() {
    let mut slot = Slot::new(|| Echo);
    let large = vec![b'x'; AREA_BYTES];
    let records = slot.run(1, &[b"before".as_slice(), &large, b"after"]);
    assert_eq!(records[0].text(), "before");
    assert_eq!(records[1].value, large);
    assert_eq!(records[2].text(), "after");
}

#[test]
fn a_runner_leaves_when_told_and_when_the_pool_is_gone() {
    let mut told = Slot::new(|| Echo);
    told.send(header(Kind::Exit), &[]);
    assert!(told.runner.take().unwrap().join().unwrap().is_ok());
    assert!(Slot::new(|| Echo).close().is_ok());
}

#[test]
fn frames_that_break_the_protocol_end_the_runner() {
    for (header, body) in [
        (header(Kind::Ready), &b""[..]),
        (Header { count: 1, ..header(Kind::Batch) }, b""),
        (Header { count: 1, ..header(Kind::Batch) }, b"\x05\0\0\0abc"),
        (Header { count: u32::MAX, ..header(Kind::Batch) }, b"\xff\xff\xff\xff"),
    ] {
        let mut slot = Slot::new(|| Echo);
        slot.send(header, body);
        assert_eq!(slot.close().unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
