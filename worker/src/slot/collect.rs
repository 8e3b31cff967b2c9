//! Gathers outcome records into the runs that travel to the coordinator.

use bytes::{Buf as _, Bytes};
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

    /// Takes a record that came in a frame.
    pub(crate) fn take_large(&mut self, mut record: Bytes) -> Result<(), Violation> {
        if record.len() < WORD_BYTES {
            return Err(Violation::OutsideArea);
        }
        let word = Word::decode(record.get_u32_le().to_le_bytes());
        if word.length() != record.len() {
            return Err(Violation::OutsideArea);
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
            let failure = serde_json::from_slice::<record::Failure>(&body)?;
            self.failures.push(failure_message(failure, self.lengths.len() as u32));
            self.lengths.push(0);
        } else {
            self.values.extend_from_slice(&body);
            self.lengths.push(body.len() as u32);
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
        OutcomeRun {
            lengths: self.lengths,
            values: self.values.into(),
            failures: self.failures,
            details: self.details,
            ..OutcomeRun::default()
        }
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
    }
}
