//! What children print: passed on line by line to this process's own standard error, and the end of it kept for the day they die.
//!
//! Each child writes to a pipe of its own. A thread copies from all of them, so that a terminal or a pager that takes no more
//! holds up the children that print, whose pipes fill up, and nothing else. It passes on whole lines, since many programs write
//! a line in pieces and other children print between them; a prompt, which has no end of line, is waited for a moment. When a child has ended, what is in its
//! pipe is still copied, and then the pipe is closed: a process that it has left behind outside its group, and that goes on
//! printing, is not waited for and gets a broken pipe.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::net::unix::pipe;
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Bytes copied at once: what a pipe holds on most machines, so that what was printed together stays together.
const COPY_BYTES: usize = 64 << 10;
/// What is kept of a child's output.
const KEPT_BYTES: usize = 4 << 10;
/// Time that the rest of a line that was begun is waited for.
const LINE_PATIENCE: Duration = Duration::from_millis(100);
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
        let out = Out { file: Box::new(out), buffer: vec![0; COPY_BYTES].into() };
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
            let lines = Lines { begun: Vec::new(), kept: kept.clone(), stderr: self.clone() };
            Copying { pipe, lines, _copied: copied }
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
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
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
struct Copying {
    pipe: pipe::Receiver,
    lines: Lines,
    /// Its receiver learns that this is gone.
    _copied: oneshot::Sender<()>,
}

/// Where what one child prints goes.
struct Lines {
    /// What was read of a line whose end is still to come, and not written.
    begun: Vec<u8>,
    kept: Arc<Mutex<Kept>>,
    /// Keeps the thread that this runs in.
    stderr: Stderr,
}

impl Copying {
    async fn run(mut self, ended: oneshot::Receiver<()>) {
        self.copy_until(ended).await;
        self.lines.write_begun();
    }

    async fn copy_until(&mut self, mut ended: oneshot::Receiver<()>) {
        let Self { pipe, lines, .. } = self;
        let late = tokio::time::sleep(LINE_PATIENCE);
        tokio::pin!(late);
        loop {
            tokio::select! {
                biased;
                _ = &mut ended => return lines.copy_rest(pipe),
                readable = pipe.readable() => match readable.and_then(|()| pipe.try_io(|| lines.copy(pipe))) {
                    Ok(0) => return,
                    Ok(_) => late.as_mut().reset(Instant::now() + LINE_PATIENCE),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                },
                () = &mut late, if !lines.begun.is_empty() => lines.write_begun(),
            }
        }
    }
}

impl Lines {
    /// Copies all that a child which has ended has printed, and no more than fits in the pipe of what others print in there
    /// without end. Goes past tokio, which may not know yet that there is something.
    fn copy_rest(&mut self, pipe: &pipe::Receiver) {
        let capacity = fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok().and_then(|bytes| usize::try_from(bytes).ok());
        let mut left = capacity.unwrap_or(COPY_BYTES);
        while let Ok(copied @ 1..) = self.copy(pipe) {
            left = left.saturating_sub(copied);
            if left == 0 {
                return;
            }
        }
    }

    /// Copies the lines that are in the pipe, and returns how much was read: 0 if nothing will come any more.
    fn copy(&mut self, pipe: &pipe::Receiver) -> io::Result<usize> {
        let Out { file, buffer } = &mut *locked(&self.stderr.out);
        let length = nix::unistd::read(pipe, buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        locked(&self.kept).push(bytes);
        self.begun.extend_from_slice(bytes);
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let whole = match self.begun.iter().rposition(is_end) {
            Some(last) => last + 1,
            None if self.begun.len() >= COPY_BYTES => self.begun.len(),
            None => 0,
        };
        write(file, self.begun.get(..whole).unwrap_or_default());
        self.begun.drain(..whole);
        Ok(length)
    }

    fn write_begun(&mut self) {
        write(&mut locked(&self.stderr.out).file, &self.begun);
        self.begun.clear();
    }
}

/// With nobody to read it, output is lost; the child need not die of that.
fn write(file: &mut impl Write, bytes: &[u8]) {
    let _nobody_reads = file.write_all(bytes);
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
        let lines =
            text.trim_end().split('\n').map(|line| line.trim_end().rsplit('\r').next().unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// An end of all pipes that a test can look at.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);

    impl Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            locked(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Runs a shell script that prints to a pipe of its own, until it has ended.
    fn run(script: &str, stderr: &Stderr) -> io::Result<Tail> {
        let (output, tail) = stderr.pipe()?;
        let mut child =
            Command::new("sh").args(["-c", script]).stdin(Stdio::null()).stdout(output).spawn()?;
        child.wait()?;
        Ok(tail)
    }

    #[tokio::test]
    async fn all_that_is_printed_arrives_unchanged_and_in_order() -> io::Result<()> {
        let (seen, tasks) = (Seen::default(), TaskTracker::new());
        let tail = run("seq 200000; printf 'a\\377\\000b'", &Stderr::new(seen.clone(), tasks.clone()))?;
        assert!(tail.last_lines().await.ends_with("\n199999\n200000\na\u{fffd}\0b"));
        assert!(*locked(&seen.0) == [lines(1..200_001).as_bytes(), b"a\xff\0b"].concat());
        Ok(())
    }

    #[tokio::test]
    async fn a_last_word_before_sigkill_is_not_lost() -> io::Result<()> {
        let (seen, tasks) = (Seen::default(), TaskTracker::new());
        let stderr = Stderr::new(seen.clone(), tasks);
        for number in 0..50 {
            let tail = run(&format!("echo {number}; kill -KILL $$"), &stderr)?;
            assert_eq!(tail.last_lines().await, number.to_string());
        }
        assert_eq!(String::from_utf8_lossy(&locked(&seen.0)), lines(0..50));
        Ok(())
    }

    #[tokio::test]
    async fn a_process_left_behind_that_prints_without_end_holds_up_nothing() -> io::Result<()> {
        let (seen, tasks) = (Seen::default(), TaskTracker::new());
        let tail = run("echo here; setsid yes still there &", &Stderr::new(seen.clone(), tasks.clone()))?;
        while locked(&seen.0).len() < 1000 {
            tokio::task::yield_now().await;
        }
        tail.last_lines().await;
        tasks.close();
        tasks.wait().await;
        assert!(locked(&seen.0).starts_with(b"here\n"));
        Ok(())
    }

    #[tokio::test]
    async fn output_that_nobody_takes_holds_up_no_death_and_is_not_lost() -> io::Result<()> {
        let (mut reader, mut writer) = io::pipe()?;
        writer.write_all(&vec![b'-'; COPY_BYTES])?;
        let tasks = TaskTracker::new();
        let tail = run("echo late", &Stderr::new(writer, tasks.clone()))?;
        assert_eq!(tail.last_lines().await, "late", "it was read, and could not be written");
        let mut all = String::new();
        reader.read_to_string(&mut all)?;
        assert!(all.ends_with("-late\n"));
        tasks.close();
        tasks.wait().await;
        Ok(())
    }

    #[tokio::test]
    async fn lines_that_are_written_in_pieces_stay_whole() -> io::Result<()> {
        let (seen, tasks) = (Seen::default(), TaskTracker::new());
        let stderr = Stderr::new(seen.clone(), tasks);
        let pieces =
            "for i in 1 2 3 4 5 6 7 8 9; do printf here; sleep 0.003; printf there; sleep 0.002; echo; done";
        let others = std::thread::spawn({
            let stderr = stderr.clone();
            move || run(pieces, &stderr)
        });
        run(pieces, &stderr)?.last_lines().await;
        others.join().map_err(|_| io::Error::other("the other child was not started"))??.last_lines().await;
        assert_eq!(String::from_utf8_lossy(&locked(&seen.0)), "herethere\n".repeat(18));
        Ok(())
    }

    #[tokio::test]
    async fn a_prompt_is_passed_on_without_the_end_of_its_line() -> io::Result<()> {
        let seen = Seen::default();
        let stderr = Stderr::new(seen.clone(), TaskTracker::new());
        let (output, _tail) = stderr.pipe()?;
        Write::write_all(&mut std::fs::File::from(output.try_clone()?), b"ready? ")?;
        while locked(&seen.0).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*locked(&seen.0), b"ready? ");
        drop(output);
        Ok(())
    }

    #[tokio::test]
    async fn a_child_goes_on_when_nobody_reads_any_more() -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let tail = run("seq 100000", &Stderr::new(writer, TaskTracker::new()))?;
        assert!(tail.last_lines().await.ends_with("\n100000"));
        Ok(())
    }

    fn lines(numbers: std::ops::Range<u32>) -> String {
        numbers.map(|number| number.to_string() + "\n").collect()
    }

    fn kept(chunks: &[&[u8]]) -> String {
        let mut kept = Kept::default();
        for chunk in chunks {
            kept.push(chunk);
        }
        kept.last_lines()
    }

    #[test]
    fn the_last_lines_are_whole_and_no_more_than_twenty() {
        assert_eq!(kept(&[b"one\ntw", b"o\n"]), "one\ntwo");
        assert_eq!(kept(&[b""]), "");
        assert_eq!(kept(&[b"\n\n"]), "");
        assert_eq!(kept(&[lines(0..30).as_bytes()]), lines(10..30).trim_end());
        let long = "x".repeat(KEPT_BYTES - 5) + "\nlast\n";
        assert_eq!(kept(&[b"first line, and ", long.as_bytes()]), "last");
        assert_eq!(kept(&["y".repeat(KEPT_BYTES + 9).as_bytes()]).len(), KEPT_BYTES);
    }

    #[test]
    fn of_a_progress_bar_its_last_state_is_told() {
        assert_eq!(kept(&[b"\r 0%\r50%\r99%\r\ndone"]), "99%\ndone");
    }

    proptest! {
        #[test]
        fn the_end_of_all_chunks_is_kept(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8)) {
            let mut kept = Kept::default();
            for chunk in &chunks {
                kept.push(chunk);
            }
            let all = chunks.concat();
            let end = all.get(all.len().saturating_sub(KEPT_BYTES)..);
            prop_assert_eq!(Some(&*kept.bytes.make_contiguous()), end);
            prop_assert_eq!(kept.is_cut, all.len() > KEPT_BYTES);
        }
    }
}
