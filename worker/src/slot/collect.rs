//! Gathers outcome records into the runs that travel to the coordinator.

use bytes::{Buf as _, Bytes};
use bytesize::ByteSize;
use poolmap_proto::ENVELOPE_BYTES;
use poolmap_proto::v1::{Detail, Failure, FailureKind, OutcomeRun};

use super::map::SlotMap;
use super::record::{self, WORD_BYTES, Word};

/// A runner wrote what is not an outcome, or spoke out of turn. It is replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Violation {
    #[error("the child wrote an outcome that does not lie within its area")]
    OutsideArea,
    #[error("the child wrote details that are longer than their outcome")]
    BadDetails,
    #[error("the child wrote a failure that cannot be read: {0}")]
    BadFailure(#[from] serde_json::Error),
    #[error("the child sent {0}")]
    BadFrame(#[from] super::frame::UnknownKind),
    #[error("the child sent a frame of {0} bytes")]
    FrameTooLarge(u64),
    #[error("the child stopped in the middle of a frame")]
    HalfFrame,
    #[error("the child sent {0} where nothing of the kind was due")]
    OutOfTurn(&'static str),
}

/// A run of outcomes in the making.
#[derive(Debug, Default)]
pub(crate) struct RunBuilder {
    lengths: Vec<u32>,
    values: Vec<u8>,
    /// The first value if it did not come from the area, before `values`: it is not copied as long as no other follows.
    first: Bytes,
    failures: Vec<Failure>,
    details: Vec<Detail>,
}

impl RunBuilder {
    /// Takes the record that stands in the area at `offset`; returns the offset after it.
    pub(crate) fn take(&mut self, map: &SlotMap, offset: usize) -> Result<usize, Violation> {
        let before = self.values.len();
        if !map.read_area(offset, WORD_BYTES, &mut self.values) {
            return Err(Violation::OutsideArea);
        }
        let word = self.word_at(before)?;
        self.values.truncate(before);
        let body = offset + WORD_BYTES;
        if word.failed() || word.detailed() {
            let mut bytes = Vec::new();
            if !map.read_area(body, word.length(), &mut bytes) {
                return Err(Violation::OutsideArea);
            }
            self.push_special(word, bytes.into())?;
        } else {
            if !map.read_area(body, word.length(), &mut self.values) {
                return Err(Violation::OutsideArea);
            }
            self.lengths.push(word.length() as u32);
        }
        Ok(body + word.length())
    }

    /// Takes a record that came in a frame. One that does not fit into a message is a failure of its task: the others go on.
    pub(crate) fn take_large(
        &mut self,
        mut record: Bytes,
        max_message_bytes: usize,
    ) -> Result<(), Violation> {
        if record.len() < WORD_BYTES {
            return Err(Violation::OutsideArea);
        }
        let word = Word::decode(record.get_u32_le().to_le_bytes());
        if word.length() != record.len() {
            return Err(Violation::OutsideArea);
        }
        if record.len() + ENVELOPE_BYTES > max_message_bytes {
            self.push_failure(too_large(record.len(), max_message_bytes));
            return Ok(());
        }
        self.push_special(word, record)
    }

    /// Takes a failure that the pool itself has to tell of.
    pub(crate) fn push_failure(&mut self, failure: Failure) {
        self.failures.push(Failure { offset: self.lengths.len() as u32, ..failure });
        self.lengths.push(0);
    }

    fn word_at(&self, at: usize) -> Result<Word, Violation> {
        let bytes = self.values.get(at..).and_then(|bytes| bytes.first_chunk::<WORD_BYTES>());
        bytes.map(|bytes| Word::decode(*bytes)).ok_or(Violation::OutsideArea)
    }

    fn push_special(&mut self, word: Word, mut body: Bytes) -> Result<(), Violation> {
        if word.detailed() {
            let detail = record::Detail::take(&mut body).ok_or(Violation::BadDetails)?;
            let (stdout, stderr, seconds) = (detail.stdout, detail.stderr, detail.seconds);
            self.details.resize(self.lengths.len(), Detail::default());
            self.details.push(Detail { attempt: 0, seconds, stdout, stderr });
        }
        if word.failed() {
            let mut exception = memchr::memchr(0, &body).map_or_else(Bytes::new, |end| body.split_off(end));
            exception.advance(exception.len().min(1));
            let failure = serde_json::from_slice::<record::Failure>(&body)?;
            let offset = self.lengths.len() as u32;
            self.failures.push(Failure { exception, ..failure_message(failure, offset) });
            self.lengths.push(0);
        } else {
            self.lengths.push(body.len() as u32);
            if self.lengths.len() == 1 {
                self.first = body;
            } else {
                self.values.extend_from_slice(&body);
            }
        }
        Ok(())
    }

    /// How many outcomes there are.
    pub(crate) fn count(&self) -> u32 {
        self.lengths.len() as u32
    }

    /// The run; `has_details` says whether each task must have details, if only empty ones.
    pub(crate) fn finish(mut self, has_details: bool) -> OutcomeRun {
        if has_details || !self.details.is_empty() {
            self.details.resize(self.lengths.len(), Detail::default());
        }
        let values = match (self.first.is_empty(), self.values.is_empty()) {
            (true, _) => self.values.into(),
            (false, true) => self.first,
            (false, false) => [&self.first[..], &self.values].concat().into(),
        };
        OutcomeRun {
            lengths: self.lengths,
            values,
            failures: self.failures,
            details: self.details,
            ..OutcomeRun::default()
        }
    }
}

fn too_large(bytes: usize, max_message_bytes: usize) -> Failure {
    let [bytes, most] = [bytes, max_message_bytes].map(|bytes| ByteSize(bytes as u64).display().iec());
    Failure {
        kind: FailureKind::Exception.into(),
        r#type: "OutcomeTooLarge".to_owned(),
        message: format!(
            "what came of this task, with what it printed, takes {bytes}, and the coordinator takes messages of at most {most}: \
             have it return less, such as the name of a file, or start the coordinator with a larger --max-message-size"
        ),
        ..Failure::default()
    }
}

fn failure_message(failure: record::Failure, offset: u32) -> Failure {
    let kind = match failure.kind.as_str() {
        "exit" => FailureKind::Exit,
        "crashed" => FailureKind::Crashed,
        "timeout" => FailureKind::Timeout,
        _ => FailureKind::Exception,
    };
    Failure {
        offset,
        kind: kind.into(),
        r#type: failure.kind_type,
        message: failure.message,
        traceback: failure.traceback,
        exit_status: failure.exit_status,
        exception: Bytes::new(),
    }
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected shall fail there"
)]
mod tests {
    use proptest::prelude::*;

    use poolmap_proto::MAX_TAKEN_BYTES;

    use super::super::map::AREA_BYTES;
    use super::*;

    /// A record as a runner writes it.
    fn record(failed: bool, detail: Option<&record::Detail>, body: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        if let Some(detail) = detail {
            detail.encode(&mut whole);
        }
        whole.extend_from_slice(body);
        [&Word::new(whole.len(), failed, detail.is_some()).encode()[..], &whole].concat()
    }

    fn failure(message: &str) -> Vec<u8> {
        let failure = record::Failure {
            kind: "exception".to_owned(),
            message: message.to_owned(),
            ..record::Failure::default()
        };
        record(true, None, &serde_json::to_vec(&failure).unwrap())
    }

    fn map_with(bytes: &[u8]) -> SlotMap {
        let map = SlotMap::create().unwrap();
        assert!(map.write_area(0, bytes));
        map
    }

    /// Takes all records of a map's area.
    fn take_all(records: &[Vec<u8>]) -> Result<RunBuilder, Violation> {
        let map = map_with(&records.concat());
        let (mut run, mut offset) = (RunBuilder::default(), 0);
        for record in records {
            let next = run.take(&map, offset)?;
            assert_eq!(next, offset + record.len());
            offset = next;
        }
        Ok(run)
    }

    fn printed(text: &'static [u8]) -> record::Detail {
        record::Detail { stdout: Bytes::from_static(text), stderr: Bytes::new(), seconds: 0.25 }
    }

    #[test]
    fn values_lie_end_to_end_and_a_failure_among_them_has_none() -> Result<(), Violation> {
        let records =
            [record(false, None, b"12"), failure("no"), record(false, None, b""), record(false, None, b"3")];
        let run = take_all(&records)?.finish(false);
        assert_eq!((&run.lengths[..], &run.values[..]), (&[2, 0, 0, 1][..], &b"123"[..]));
        assert_eq!((run.failures[0].offset, run.failures[0].message.as_str()), (1, "no"));
        assert!(run.details.is_empty());
        Ok(())
    }

    #[test]
    fn each_outcome_of_a_run_has_details_if_any_has() -> Result<(), Violation> {
        let records = [
            record(false, None, b"1"),
            record(false, Some(&printed(b"out")), b"2"),
            record(false, None, b"3"),
        ];
        let run = take_all(&records)?.finish(false);
        assert_eq!(run.values, b"123"[..]);
        let printed: Vec<_> = run.details.iter().map(|detail| &detail.stdout[..]).collect();
        assert_eq!(printed, [&b""[..], b"out", b""]);
        assert!((run.details[1].seconds - 0.25).abs() < f64::EPSILON);
        assert_eq!(take_all(&[record(false, None, b"1")])?.finish(true).details.len(), 1);
        Ok(())
    }

    #[test]
    fn a_record_in_a_frame_is_the_same_as_one_in_the_area() -> Result<(), Violation> {
        for record in [
            record(false, None, b"12"),
            failure("no"),
            record(true, Some(&printed(b"x")), b"{\"kind\":\"exit\"}"),
        ] {
            let mut framed = RunBuilder::default();
            framed.take_large(record.clone().into(), MAX_TAKEN_BYTES)?;
            assert_eq!(framed.finish(false), take_all(&[record])?.finish(false));
        }
        Ok(())
    }

    #[test]
    fn an_outcome_that_no_message_can_carry_is_a_failure_of_its_task() -> Result<(), Violation> {
        let value = record(false, None, &[b'7'; 3000]);
        let mut run = RunBuilder::default();
        run.take_large(value.clone().into(), 3000 + ENVELOPE_BYTES)?;
        run.take_large(value.into(), 2999 + ENVELOPE_BYTES)?;
        let run = run.finish(false);
        assert_eq!((&run.lengths[..], run.failures[0].offset), (&[3000, 0][..], 1));
        assert!(run.failures[0].message.contains("--max-message-size"), "{}", run.failures[0].message);
        Ok(())
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let too_long = Word::new(AREA_BYTES, false, false).encode();
        assert!(matches!(take_all(&[too_long.to_vec()]), Err(Violation::OutsideArea)));
        let map = map_with(&[]);
        for offset in [AREA_BYTES - 3, AREA_BYTES, usize::MAX - 2] {
            assert!(matches!(RunBuilder::default().take(&map, offset), Err(Violation::OutsideArea)));
        }
        let detail = record(false, None, b"short");
        let detailed = [&[detail[0], detail[1], detail[2], 1 << 7], &detail[4..]].concat();
        assert!(matches!(take_all(&[detailed]), Err(Violation::BadDetails)));
        assert!(matches!(take_all(&[record(true, None, b"no JSON")]), Err(Violation::BadFailure(_))));
        for framed in [&b""[..], b"\x01\0\0", b"\x02\0\0\0a", b"\0\0\0\0a"] {
            let framed = Bytes::copy_from_slice(framed);
            assert!(matches!(
                RunBuilder::default().take_large(framed, MAX_TAKEN_BYTES),
                Err(Violation::OutsideArea)
            ));
        }
    }

    #[test]
    fn nonsense_after_good_records_leaves_these_as_they_are() -> Result<(), Violation> {
        let good = [record(false, Some(&printed(b"out")), b"1"), failure("no")].concat();
        let detail = record(true, Some(&printed(b"lost")), b"no JSON");
        let map = map_with(&[good, detail].concat());
        let mut run = RunBuilder::default();
        let second = run.take(&map, 0)?;
        let third = run.take(&map, second)?;
        assert!(run.take(&map, third).is_err());
        let run = run.finish(true);
        assert_eq!(
            (run.lengths.len(), run.details.len(), run.failures.len(), &run.values[..]),
            (2, 2, 1, &b"1"[..])
        );
        Ok(())
    }

    proptest! {
        #[test]
        fn no_bytes_in_the_area_do_any_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let map = map_with(&bytes);
            let (mut run, mut offset) = (RunBuilder::default(), 0);
            for _ in 0..20 {
                match run.take(&map, offset) {
                    Ok(next) => offset = next,
                    Err(_) => break,
                }
            }
            let count = run.count() as usize;
            let run = run.finish(true);
            prop_assert_eq!((run.lengths.len(), run.details.len()), (count, count));
            prop_assert_eq!(run.lengths.iter().sum::<u32>() as usize, run.values.len());
        }
    }
}
