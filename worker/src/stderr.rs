//! What children print: passed on at once to this process's own standard error, and the end of it kept for the day they die.
//!
//! Each child writes to a pipe of its own. A thread copies from all of them, so that a terminal or a pager that takes no more
//! holds up the children that print, whose pipes fill up, and nothing else. When a child has ended, what is in its
//! pipe is still copied, and then the pipe is closed: a process that it has left behind outside its group, and that goes on
//! printing, is not waited for and gets a broken pipe.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::net::unix::pipe;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// What a pipe holds, so that one read empties it.
const PIPE_BYTES: usize = 64 << 10;
/// What is kept of a child's output.
const KEPT_BYTES: usize = 4 << 10;
const KEPT_LINES: usize = 20;
/// Time that the end of a child's output has to be copied before its death is told without it.
const COPY_TIMEOUT: Duration = Duration::from_millis(200);

/// Where the output of children goes.
#[derive(Clone)]
pub(crate) struct Stderr {
    out: Arc<Mutex<Out>>,
    /// Started with the first child.
    thread: Arc<OnceLock<Thread>>,
    /// Owns the copying, which goes on until all is out.
    tasks: TaskTracker,
}

/// The thread that copies. It ends with this, which each copy holds on to.
struct Thread {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

/// The end of all pipes: one copy at a time, so that what is read together is written together.
struct Out {
    file: Box<dyn Write + Send>,
    buffer: Box<[u8]>,
}

/// The pool's end of one child's output.
#[derive(Debug)]
pub(crate) struct Tail {
    kept: Arc<Mutex<Kept>>,
    /// Dropped to say that the child has ended.
    is_running: oneshot::Sender<()>,
    /// Closed when all is copied.
    is_copying: oneshot::Receiver<()>,
}

impl Stderr {
    /// Copies all that children print to `out`.
    pub(crate) fn new(out: impl Write + Send + 'static, tasks: TaskTracker) -> Self {
        let out = Out { file: Box::new(out), buffer: vec![0; PIPE_BYTES].into() };
        Self { out: Arc::new(Mutex::new(out)), thread: Arc::default(), tasks }
    }

    /// A pipe for a child that is about to start: its end, and ours.
    pub(crate) fn pipe(&self) -> io::Result<(OwnedFd, Tail)> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let thread = self.thread()?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (is_running, ended) = oneshot::channel();
        let (copied, is_copying) = oneshot::channel();
        let copy = {
            let _within = thread.enter();
            let pipe = pipe::Receiver::from_owned_fd(reader)?;
            Copy { pipe, kept: kept.clone(), stderr: self.clone(), _copied: copied }
        };
        self.tasks.spawn_on(copy.run(ended), thread);
        Ok((writer, Tail { kept, is_running, is_copying }))
    }

    fn thread(&self) -> io::Result<&Handle> {
        if self.thread.get().is_none() {
            let started = Thread::start()?;
            self.thread.get_or_init(|| started);
        }
        self.thread.get().map(|thread| &thread.handle).ok_or_else(|| io::Error::other("no thread copies"))
    }
}

impl std::fmt::Debug for Stderr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stderr").finish_non_exhaustive()
    }
}

impl Thread {
    fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("stderr".to_owned()).spawn(move || runtime.block_on(stopped))?;
        Ok(Self { handle, _stop: stop })
    }
}

impl Tail {
    /// The child has ended: its last lines, once all that it has printed is copied. Where the copying stands still the lines
    /// that were read till then have to do.
    pub(crate) async fn last_lines(self) -> String {
        drop(self.is_running);
        let _late = tokio::time::timeout(COPY_TIMEOUT, self.is_copying).await;
        locked(&self.kept).last_lines()
    }
}

/// Copies what one child prints.
struct Copy {
    pipe: pipe::Receiver,
    kept: Arc<Mutex<Kept>>,
    /// Keeps the thread that this runs in.
    stderr: Stderr,
    /// Its receiver learns that this is gone.
    _copied: oneshot::Sender<()>,
}

impl Copy {
    async fn run(self, mut ended: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => break,
                readable = self.pipe.readable() => match readable.and_then(|()| self.pipe.try_io(|| self.copy())) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                },
            }
        }
        // All that the child has printed, and no more of what others print in there without end. Tokio may not know yet
        // that there is something.
        let _nothing_left = self.copy();
    }

    /// Copies what is in the pipe, and returns how much that was: 0 if nothing will come any more.
    fn copy(&self) -> io::Result<usize> {
        let Out { file, buffer } = &mut *locked(&self.stderr.out);
        let length = nix::unistd::read(&self.pipe, buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        locked(&self.kept).push(bytes);
        // With nobody to read it, output is lost; the child need not die of that.
        let _nobody_reads = file.write_all(bytes);
        Ok(length)
    }
}

/// The end of what a child has printed.
#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    /// Whether something before it was dropped, so that its first line may have lost its beginning.
    is_cut: bool,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let last = bytes.get(bytes.len().saturating_sub(KEPT_BYTES)..).unwrap_or_default();
        let excess = (self.bytes.len() + last.len()).saturating_sub(KEPT_BYTES);
        self.is_cut |= excess > 0 || last.len() < bytes.len();
        self.bytes.drain(..excess);
        self.bytes.extend(last);
    }

    /// Its last lines, joined, without the newline at the end. Of a line that was written over, as progress bars are, what it
    /// said last.
    fn last_lines(&mut self) -> String {
        let text = String::from_utf8_lossy(self.bytes.make_contiguous());
        let lines = text.trim_end().split('\n').map(|line| line.trim_end().rsplit('\r').next().unwrap_or_default());
        let mut lines: Vec<_> = lines.collect();
        if self.is_cut && lines.len() > 1 {
            lines.remove(0);
        }
        lines.split_off(lines.len().saturating_sub(KEPT_LINES)).join("\n")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
