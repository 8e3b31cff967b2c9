//! The pool's end of one slot, as plain as the protocol allows.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use bytes::Bytes;
use poolmap_proto::v1::JobStarted;
use poolmap_worker::slot::frame::{HEADER_BYTES, Header, Kind};
use poolmap_worker::slot::map::SlotMap;
use poolmap_worker::slot::record::{Detail, Failure, WORD_BYTES, Word};
use poolmap_worker::slot::serve::{Tasks, serve};
use prost::Message as _;

/// A slot with its runner in a thread.
pub(crate) struct Slot {
    pub(crate) socket: UnixStream,
    pub(crate) map: SlotMap,
    pub(crate) runner: Option<JoinHandle<io::Result<()>>>,
    next_sequence: u64,
    area_read: usize,
}

/// A record as the pool reads it.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) failed: bool,
    pub(crate) detail: Option<Detail>,
    pub(crate) value: Bytes,
}

impl Record {
    fn decode(bytes: Vec<u8>) -> Self {
        let mut body = Bytes::from(bytes);
        let word = Word::decode(body.split_to(WORD_BYTES)[..].try_into().unwrap());
        assert_eq!(word.length(), body.len());
        let detail = word.detailed().then(|| Detail::take(&mut body).unwrap());
        Self { failed: word.failed(), detail, value: body }
    }

    pub(crate) fn text(&self) -> &str {
        assert!(!self.failed, "{self:?}");
        std::str::from_utf8(&self.value).unwrap()
    }

    pub(crate) fn failure(&self) -> Failure {
        assert!(self.failed, "{self:?}");
        serde_json::from_slice(&self.value).unwrap()
    }

    pub(crate) fn stdout(&self) -> &[u8] {
        &self.detail.as_ref().unwrap().stdout
    }
}

impl Slot {
    pub(crate) fn new<T: Tasks>(tasks: impl FnOnce() -> T + Send + 'static) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let map = SlotMap::create().unwrap();
        let their_map = SlotMap::open(map.fd().try_clone_to_owned().unwrap()).unwrap();
        let runner = std::thread::spawn(move || serve(theirs, their_map, &mut tasks()));
        Self { runner: Some(runner), ..Self::without_runner(socket, map) }
    }

    /// A slot whose runner is elsewhere.
    pub(crate) fn without_runner(socket: UnixStream, map: SlotMap) -> Self {
        Self { socket, map, runner: None, next_sequence: 1, area_read: 0 }
    }

    pub(crate) fn send(&mut self, header: Header, body: &[u8]) {
        let header = Header { length: body.len() as u64, ..header };
        self.socket.write_all(&header.encode()).unwrap();
        self.socket.write_all(body).unwrap();
    }

    pub(crate) fn receive(&mut self) -> (Header, Vec<u8>) {
        let mut bytes = [0; HEADER_BYTES];
        self.socket.read_exact(&mut bytes).unwrap();
        let header = Header::decode(&bytes).unwrap();
        let mut body = vec![0; usize::try_from(header.length).unwrap()];
        self.socket.read_exact(&mut body).unwrap();
        (header, body)
    }

    pub(crate) fn load(&mut self, function: u32, job: &JobStarted) -> Result<(), String> {
        self.send(Header { function, ..header(Kind::Function) }, &job.encode_to_vec());
        let (answer, body) = self.receive();
        assert_eq!(answer.function, function);
        match answer.kind {
            Kind::Ready => Ok(()),
            Kind::Refused => Err(String::from_utf8(body).unwrap()),
            kind => panic_on(kind),
        }
    }

    /// Sends one batch frame, and returns the sequence of its first task.
    pub(crate) fn send_batch<P: AsRef<[u8]>>(&mut self, batch: Header, payloads: &[P]) -> u64 {
        let sequence = self.next_sequence;
        let count = u32::try_from(payloads.len()).unwrap();
        let mut body = Vec::new();
        for payload in payloads {
            body.extend_from_slice(&u32::try_from(payload.as_ref().len()).unwrap().to_le_bytes());
        }
        for payload in payloads {
            body.extend_from_slice(payload.as_ref());
        }
        self.send(Header { kind: Kind::Batch, count, sequence, ..batch }, &body);
        self.next_sequence += u64::from(count);
        sequence
    }

    fn read_area(&self, offset: usize, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        assert!(self.map.read_area(offset, length, &mut bytes));
        bytes
    }

    /// Reads the next record of the area.
    pub(crate) fn next_record(&mut self) -> Record {
        let word = self.read_area(self.area_read, WORD_BYTES);
        let length = WORD_BYTES + Word::decode(word.try_into().unwrap()).length();
        let bytes = self.read_area(self.area_read, length);
        self.area_read += length;
        Record::decode(bytes)
    }

    /// Collects records until all of a batch that began with task `sequence` are there.
    pub(crate) fn collect(&mut self, mut sequence: u64) -> Vec<Record> {
        let mut records = Vec::new();
        loop {
            let (answer, body) = self.receive();
            if answer.kind == Kind::Large {
                assert_eq!(answer.sequence, sequence);
                records.push(Record::decode(body));
                sequence += 1;
                self.area_read = WORD_BYTES;
                continue;
            }
            while sequence < answer.sequence {
                records.push(self.next_record());
                sequence += 1;
            }
            match answer.kind {
                Kind::Done => return records,
                Kind::Full => {
                    self.area_read = 0;
                    self.send(header(Kind::Drained), &[]);
                }
                kind => panic_on(kind),
            }
        }
    }

    /// Runs tasks of function `function` as one batch.
    pub(crate) fn run<P: AsRef<[u8]>>(&mut self, function: u32, payloads: &[P]) -> Vec<Record> {
        let sequence = self.send_batch(Header { function, attempt: 1, ..header(Kind::Batch) }, payloads);
        self.collect(sequence)
    }

    /// Closes the pool's end and returns how the runner took it.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
        self.runner.take().unwrap().join().unwrap()
    }
}

pub(crate) fn header(kind: Kind) -> Header {
    Header { kind, function: 0, count: 0, attempt: 0, sequence: 0, index: 0, value: 0, length: 0 }
}

#[expect(clippy::panic, reason = "a runner that answers out of turn fails the test")]
fn panic_on(kind: Kind) -> ! {
    panic!("an answer out of turn: {kind:?}")
}
