//! The prepared parent of `--preload`: an interpreter that has imported modules and forks children which have them.
//!
//! One task owns its control socket; the frames on it are specified in `runtime/python/poolmap_runner/prepared.py`. It lives
//! until the job's launcher and all its children are gone.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, OnceLock};

use bytes::{Buf as _, BytesMut};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::Ends;
use crate::child::{Child, ChildWatch, Exit};
use crate::slot::frame::{HEADER_BYTES, Header, Kind};
use crate::stderr::Tail;

/// Forks that may be asked for and not yet written: one a slot, and one successor each, of a large machine.
const REQUESTS: usize = 1024;

/// The most that it may say at once: why it refuses.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// A prepared parent, from the side of those who want children.
#[derive(Debug)]
pub(crate) struct Prepared {
    requests: mpsc::Sender<Request>,
    /// Why it cannot serve, if it has said so.
    refusal: Arc<OnceLock<String>>,
}

#[derive(Debug)]
struct Request {
    /// Where it prints, then the socket and the map of each of its slots.
    descriptors: Vec<OwnedFd>,
    watch: ChildWatch,
}

impl Prepared {
    /// Takes charge of a parent that was started with the other end of `control`, and has it compile a function.
    pub(crate) fn adopt(
        control: std::os::unix::net::UnixStream,
        function: &[u8],
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        control.set_nonblocking(true)?;
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let refusal = Arc::new(OnceLock::new());
        let mut outbox = BytesMut::new();
        outbox.extend_from_slice(
            &Header { length: function.len() as u64, ..Header::new(Kind::Function) }.encode(),
        );
        outbox.extend_from_slice(function);
        let control = Control {
            socket: UnixStream::from_std(control)?,
            inbox: BytesMut::new(),
            outbox,
            forks: VecDeque::new(),
            asked: VecDeque::new(),
            children: HashMap::new(),
            refusal: refusal.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(control.run(receiver));
        Ok(Self { requests, refusal })
    }

    /// Has a child forked that serves these slots, and that prints to the pipe of which `output` and `tail` are the ends.
    pub(crate) fn fork(&self, output: OwnedFd, tail: Tail, slots: &[Ends]) -> io::Result<Child> {
        let mut descriptors = vec![output];
        for ends in slots {
            descriptors.push(ends.runner_socket.try_clone()?.into());
            descriptors.push(ends.map.fd().try_clone_to_owned()?);
        }
        let (child, watch) = Child::watched(Some(Arc::new(self.requests.clone())), Some(tail));
        let request = Request { descriptors, watch };
        self.requests.try_send(request).map_err(|_gone| io::Error::other("the prepared parent is gone"))?;
        Ok(child)
    }

    /// Whether it has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.requests.is_closed()
    }

    /// Why it cannot serve, if it has said so.
    pub(crate) fn refusal(&self) -> Option<&String> {
        self.refusal.get()
    }
}

/// The task that talks to the parent.
struct Control {
    socket: UnixStream,
    inbox: BytesMut,
    /// To be sent before any fork.
    outbox: BytesMut,
    /// Forks to ask for.
    forks: VecDeque<Request>,
    /// Forks asked for, in order, and not yet answered.
    asked: VecDeque<ChildWatch>,
    children: HashMap<u64, ChildWatch>,
    refusal: Arc<OnceLock<String>>,
    /// Owns what waits for the last output of children.
    tasks: TaskTracker,
}

impl Control {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let is_idle = self.outbox.is_empty() && self.forks.is_empty();
            let interest = if is_idle { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let outcome = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => { self.forks.push_back(request); Ok(()) }
                    None => break,
                },
                ready = self.socket.ready(interest) => match ready {
                    Ok(ready) => self.progress(ready.is_readable(), ready.is_writable()),
                    Err(error) => Err(error),
                },
            };
            if outcome.is_err() {
                break;
            }
        }
        let left = self.forks.into_iter().map(|request| request.watch);
        left.chain(self.asked)
            .chain(self.children.into_values())
            .for_each(|watch| watch.ended(Exit::Unknown));
    }

    /// Reads and writes what can be; an error means that the parent is gone.
    fn progress(&mut self, is_readable: bool, is_writable: bool) -> io::Result<()> {
        if is_writable {
            would_block_is_fine(self.write())?;
        }
        if is_readable {
            would_block_is_fine(self.read())?;
            while let Some(frame) = self.next_frame()? {
                self.take(frame)?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            let written = self.socket.try_write(&self.outbox)?;
            self.outbox.advance(written);
        }
        while let Some(request) = self.forks.front() {
            let slots = request.descriptors.len().saturating_sub(1) / 2;
            let header = Header { count: slots as u32, ..Header::new(Kind::Fork) }.encode();
            let numbers: Vec<_> = request.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            let written = self.socket.try_io(Interest::WRITABLE, || {
                let rights = [ControlMessage::ScmRights(&numbers)];
                let socket = self.socket.as_raw_fd();
                Ok(sendmsg::<()>(socket, &[IoSlice::new(&header)], &rights, MsgFlags::MSG_NOSIGNAL, None)?)
            })?;
            // The descriptors went with the first byte; the rest of the header follows by itself.
            self.outbox.extend_from_slice(header.get(written..).unwrap_or_default());
            self.asked.extend(self.forks.pop_front().map(|request| request.watch));
            if !self.outbox.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        if self.socket.try_read_buf(&mut self.inbox)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn next_frame(&mut self) -> io::Result<Option<(Header, BytesMut)>> {
        let Some(bytes) = self.inbox.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(bytes).map_err(io::Error::other)?;
        let length = usize::try_from(header.length).map_err(io::Error::other)?;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other(format!("the prepared parent sent a frame of {length} bytes")));
        }
        if self.inbox.len() - HEADER_BYTES < length {
            return Ok(None);
        }
        self.inbox.advance(HEADER_BYTES);
        Ok(Some((header, self.inbox.split_to(length))))
    }

    fn take(&mut self, (header, body): (Header, BytesMut)) -> io::Result<()> {
        match header.kind {
            // It has imported its modules, or compiled the function. What is wrong with a function its children tell.
            Kind::Ready => {}
            Kind::Refused => self.refused(&body),
            Kind::Forked => {
                if let Some(watch) = self.asked.pop_front() {
                    watch.started(pid(header.sequence)?);
                    self.children.insert(header.sequence, watch);
                }
            }
            Kind::Exited => {
                if let Some(watch) = self.children.remove(&header.sequence) {
                    let status = i32::try_from(header.value).map_err(io::Error::other)?;
                    self.tasks.spawn(watch.process_ended(ExitStatus::from_raw(status), Some(header.index)));
                }
            }
            kind => return Err(io::Error::other(format!("the prepared parent sent a {kind:?} frame"))),
        }
        Ok(())
    }

    fn refused(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body).into_owned();
        tracing::debug!(text, "the prepared parent refused");
        self.refusal.get_or_init(|| text);
    }
}

fn pid(number: u64) -> io::Result<Pid> {
    match i32::try_from(number) {
        // 0 would stand for this process and its group, and 1 is nobody's child.
        Ok(pid) if pid > 1 => Ok(Pid::from_raw(pid)),
        _ => Err(io::Error::other(format!("the prepared parent sent {number} as a process"))),
    }
}

fn would_block_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        other => other,
    }
}
