//! The runner's end of the slot protocol, for runners written in Rust.
//!
//! It owns the order of things: claim a task, run it, write its record, wait for room. What a task is, is the business
//! of its [`Tasks`]. Everything here blocks; a runner has a thread to itself.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::frame::{HEADER_BYTES, Header, Kind};
use super::map::{AREA_BYTES, SlotMap};
use super::record::{Detail, Failure, MAX_BODY_BYTES, WORD_BYTES, Word};

/// Room for several frames of small tasks, so that frames sent together are read together.
const READ_BUFFER_BYTES: usize = 64 << 10;
const LENGTH_BYTES: usize = size_of::<u32>();

/// What a runner does with the frames it is sent.
pub trait Tasks {
    /// Gets ready to run a function, whose number stands for it in later calls. The error is for the user.
    fn load(&mut self, function: u32, body: &[u8]) -> Result<(), String>;

    /// Runs one task. `outcome` is blank: an empty value, no failure, no details.
    fn run(&mut self, call: &Call<'_>, outcome: &mut Outcome);
}

/// One attempt at one task.
#[derive(Debug)]
pub struct Call<'a> {
    /// Number of the function, as it was loaded.
    pub function: u32,
    /// The task's place in its job, from 0.
    pub index: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The task's arguments, in whatever form its function takes them.
    pub payload: &'a [u8],
    /// The slot's map, in which a runner says which process it waits for.
    pub map: &'a SlotMap,
}

/// How a task ended. One is used again and again, so that a task costs no allocation.
#[derive(Debug, Default)]
pub struct Outcome {
    value: Vec<u8>,
    failed: bool,
    detail: Option<Detail>,
}

impl Outcome {
    /// Where the function's value is written.
    pub fn value(&mut self) -> &mut Vec<u8> {
        &mut self.value
    }

    /// Makes it a failure, whatever was written before.
    pub fn fail(&mut self, failure: &Failure) {
        self.failed = true;
        self.value.clear();
        let written = serde_json::to_writer(&mut self.value, failure);
        debug_assert!(written.is_ok(), "strings and numbers can always be written as JSON");
    }

    /// Adds what is told of a task beside its value.
    pub fn set_detail(&mut self, detail: Detail) {
        self.detail = Some(detail);
    }

    fn clear(&mut self) {
        self.value.clear();
        self.failed = false;
        self.detail = None;
    }

    /// Encodes all of the record that stands before the value.
    fn encode_head(&mut self, head: &mut Vec<u8>) {
        let length = self.body_bytes();
        if length > MAX_BODY_BYTES {
            self.detail = None;
            self.fail(&Failure {
                kind: "exception".to_owned(),
                kind_type: "OutcomeTooLarge".to_owned(),
                message: format!("the outcome has {length} bytes; at most {MAX_BODY_BYTES} can be carried"),
                ..Failure::default()
            });
        }
        head.clear();
        head.extend_from_slice(&Word::new(self.body_bytes(), self.failed, self.detail.is_some()).encode());
        if let Some(detail) = &self.detail {
            detail.encode(head);
        }
    }

    fn body_bytes(&self) -> usize {
        self.value.len() + self.detail.as_ref().map_or(0, Detail::encoded_bytes)
    }
}

/// Serves a slot until the pool closes its end or says to exit. An error means that the pool is gone, or does not
/// follow the protocol: either way this runner is of no more use.
pub fn serve(socket: UnixStream, map: SlotMap, tasks: &mut impl Tasks) -> io::Result<()> {
    let mut runner = Runner {
        socket: BufReader::with_capacity(READ_BUFFER_BYTES, socket),
        waiting: VecDeque::new(),
        map,
        area_used: 0,
        head: Vec::new(),
        outcome: Outcome::default(),
    };
    runner.serve(tasks)
}

struct Frame {
    header: Header,
    body: Vec<u8>,
}

struct Runner {
    socket: BufReader<UnixStream>,
    /// Frames that came while the runner waited for room in the area.
    waiting: VecDeque<Frame>,
    map: SlotMap,
    /// Bytes of the area that the pool may not have read yet.
    area_used: usize,
    /// The record's bytes before its value; kept for its allocation.
    head: Vec<u8>,
    outcome: Outcome,
}

impl Runner {
    fn serve(&mut self, tasks: &mut impl Tasks) -> io::Result<()> {
        let mut frame_body = Vec::new();
        loop {
            let frame = match self.waiting.pop_front() {
                Some(frame) => frame,
                None => match self.read_frame(std::mem::take(&mut frame_body))? {
                    Some(frame) => frame,
                    None => return Ok(()),
                },
            };
            match frame.header.kind {
                Kind::Function => self.load(&frame, tasks)?,
                Kind::Batch => self.run_batch(&frame, tasks)?,
                Kind::Exit => return Ok(()),
                kind => return Err(violation(&format!("a {kind:?} frame where none may come"))),
            }
            frame_body = frame.body;
        }
    }

    fn load(&mut self, frame: &Frame, tasks: &mut impl Tasks) -> io::Result<()> {
        let function = frame.header.function;
        match tasks.load(function, &frame.body) {
            Ok(()) => self.send(Header { function, ..header(Kind::Ready) }, &[]),
            Err(reason) => self.send(Header { function, ..header(Kind::Refused) }, &[reason.as_bytes()]),
        }
    }

    fn run_batch(&mut self, frame: &Frame, tasks: &mut impl Tasks) -> io::Result<()> {
        let started = Instant::now();
        let Header { function, attempt, .. } = frame.header;
        let (mut sequence, mut index) = (frame.header.sequence, frame.header.index);
        for payload in payloads(frame)? {
            if !self.map.begin(sequence) {
                break;
            }
            self.outcome.clear();
            let call = Call { function, index, attempt, payload, map: &self.map };
            tasks.run(&call, &mut self.outcome);
            self.write_record(sequence)?;
            sequence += 1;
            index = index.wrapping_add(1);
        }
        let value = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.send(Header { function, sequence, value, ..header(Kind::Done) }, &[])
    }

    fn write_record(&mut self, sequence: u64) -> io::Result<()> {
        self.outcome.encode_head(&mut self.head);
        let length = self.head.len() + self.outcome.value.len();
        if self.area_used + length > AREA_BYTES {
            self.drain(sequence)?;
        }
        if length > AREA_BYTES {
            let Self { socket, head, outcome, .. } = self;
            let large = Header { sequence, ..header(Kind::Large) };
            send(socket.get_mut(), large, &[head, &outcome.value])?;
            self.area_used = WORD_BYTES;
            return Ok(());
        }
        let value_offset = self.area_used + self.head.len();
        let written = self.map.write_area(self.area_used, &self.head)
            && self.map.write_area(value_offset, &self.outcome.value);
        debug_assert!(written, "there is room, as checked above");
        self.area_used += length;
        Ok(())
    }

    /// Waits until the pool has read the area, and keeps what else it sends meanwhile.
    fn drain(&mut self, sequence: u64) -> io::Result<()> {
        self.send(Header { sequence, ..header(Kind::Full) }, &[])?;
        loop {
            let frame = self.read_frame(Vec::new())?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if frame.header.kind == Kind::Drained {
                self.area_used = 0;
                return Ok(());
            }
            self.waiting.push_back(frame);
        }
    }

    /// Reads a frame, its body into `body`; `None` at the end of the stream.
    fn read_frame(&mut self, mut body: Vec<u8>) -> io::Result<Option<Frame>> {
        use std::io::BufRead as _;
        if self.socket.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut bytes = [0; HEADER_BYTES];
        self.socket.read_exact(&mut bytes)?;
        let header = Header::decode(&bytes).map_err(|unknown| violation(&unknown.to_string()))?;
        body.clear();
        // Grows with what arrives, not with what is announced.
        let read = self.socket.by_ref().take(header.length).read_to_end(&mut body)?;
        if (read as u64) < header.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Frame { header, body }))
    }

    fn send(&mut self, header: Header, body: &[&[u8]]) -> io::Result<()> {
        send(self.socket.get_mut(), header, body)
    }
}

fn send(socket: &mut UnixStream, header: Header, body: &[&[u8]]) -> io::Result<()> {
    let length = body.iter().map(|part| part.len() as u64).sum();
    socket.write_all(&Header { length, ..header }.encode())?;
    body.iter().try_for_each(|part| socket.write_all(part))
}

fn header(kind: Kind) -> Header {
    Header { kind, function: 0, count: 0, attempt: 0, sequence: 0, index: 0, value: 0, length: 0 }
}

/// The payloads of a batch frame, after a check that its lengths account for all of its body.
fn payloads(frame: &Frame) -> io::Result<impl Iterator<Item = &[u8]>> {
    let malformed = || violation("a batch whose lengths do not add up");
    let table_bytes = (frame.header.count as usize).checked_mul(LENGTH_BYTES).ok_or_else(malformed)?;
    let (table, mut rest) = frame.body.split_at_checked(table_bytes).ok_or_else(malformed)?;
    let (lengths, _) = table.as_chunks::<LENGTH_BYTES>();
    let lengths = lengths.iter().map(|length| u32::from_le_bytes(*length) as usize);
    if lengths.clone().try_fold(0_usize, usize::checked_add) != Some(rest.len()) {
        return Err(malformed());
    }
    Ok(lengths.map(move |length| rest.split_off(..length).unwrap_or_default()))
}

fn violation(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the pool sent {what}"))
}
