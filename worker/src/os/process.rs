//! How processes start and end.
//!
//! [`Spawn`] starts a program at the price of `vfork`: parent and child share their memory until the child has become
//! the program, so nothing is copied however large the parent has grown. The standard library pays for a whole `fork`
//! as soon as the child must do something of its own before it becomes the program, such as asking to die with its parent.
#![expect(
    unsafe_code,
    reason = "starting processes is unsafe by nature; the rest of the crate needs none of it"
)]

use std::ffi::{CStr, CString, NulError, c_char, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::unistd::{AccessFlags, Pid, access};
use tokio::io::unix::AsyncFd;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_SEARCH_PATH: &[u8] = b"/bin:/usr/bin";
/// Runs programs that the kernel does not know how to run: scripts without a first line that says so.
const SHELL: &CStr = c"/bin/sh";
/// Stack of the child until it is the program, in units of 16 bytes: 64 KiB, of which it uses a few hundred bytes.
const STACK_UNITS: usize = 4096;
/// The kernel's highest signal number.
const LAST_SIGNAL: c_int = 64;

/// The places where a program may be, in the order in which they are tried.
#[derive(Clone, Debug)]
pub struct Program {
    candidates: Vec<CString>,
}

impl Program {
    /// Finds a program as shells do: a name with a slash is a path, another one is looked for in the folders of
    /// `search_path` (the value of `PATH` in the child's environment).
    pub fn find(name: &[u8], search_path: Option<&[u8]>) -> Result<Self, NulError> {
        if name.is_empty() || name.contains(&b'/') {
            return Ok(Self { candidates: vec![CString::new(name)?] });
        }
        let folders = search_path.unwrap_or(DEFAULT_SEARCH_PATH).split(|byte| *byte == b':');
        let candidates = folders.map(|folder| {
            let folder = if folder.is_empty() { b"." } else { folder };
            CString::new([folder, b"/", name].concat())
        });
        let candidates = candidates.collect::<Result<Vec<_>, _>>()?;
        // Folders without it need not be tried anew for each process. If it is nowhere, trying says so. What a relative
        // folder holds depends on where the process will work.
        let (there, missing): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|path| {
            !path.as_bytes().starts_with(b"/") || access(path.as_c_str(), AccessFlags::F_OK).is_ok()
        });
        Ok(Self { candidates: if there.is_empty() { missing } else { there } })
    }
}

/// A process to start.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// What it runs.
    pub program: &'a Program,
    /// Its arguments; the first is the name that it sees itself called by.
    pub arguments: &'a [CString],
    /// Its whole environment, as `NAME=VALUE`.
    pub environment: &'a [CString],
    /// Its working directory; the parent's own if absent.
    pub directory: Option<&'a CStr>,
    /// Descriptors and the numbers they have in the child, none twice. Beyond these it inherits what is not
    /// close-on-exec.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Whether it leads a process group of its own, whose number is its process id.
    pub own_group: bool,
    /// Whether it leads a session of its own, and so a group of its own, too. All that it starts stays in there but for
    /// what makes a session for itself.
    pub own_session: bool,
    /// Whether it is killed when the parent dies. To the kernel the parent is the *thread* that starts it: that
    /// thread must live for as long as the process shall.
    pub die_with_parent: bool,
}

/// Which step on the way to a running program failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The system has no room for another process.
    Start,
    /// A descriptor could not be put in its place, or the group not be made.
    Prepare,
    /// The working directory could not be entered.
    Directory,
    /// The program could not be run.
    Program,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct StartError {
    /// What failed.
    pub step: Step,
    /// What the system says.
    #[source]
    pub error: io::Error,
}

impl StartError {
    fn new(step: Step, errno: Errno) -> Self {
        Self { step, error: errno.into() }
    }
}

impl Spawn<'_> {
    /// Starts the process and returns its id once it runs its program. It must be waited for with [`wait`], or it
    /// stays in the process table.
    ///
    /// The child begins with no signal blocked, and with the default answer to each signal that the parent handles;
    /// what the parent ignores it ignores too, but for `SIGPIPE`, which every Rust program ignores.
    pub fn start(&self) -> Result<Pid, StartError> {
        let mut plan = Plan::new(self);
        let mut stack: Vec<u128> = Vec::with_capacity(STACK_UNITS);
        let mut mask = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))
            .map_err(|errno| StartError::new(Step::Start, errno))?;
        // SAFETY: the child runs `become_program` on a stack of its own, which ends where `stack`'s capacity does
        // (stacks grow downwards on all of Linux's architectures that Rust runs on), while CLONE_VFORK keeps this
        // thread from running until the child has exited or is another program; so `stack`, `plan` and all that
        // `plan` points to stay alive and are the child's alone. Other threads run on, but nothing they do can reach
        // `plan`. Signals are blocked, so no handler of this program runs in the child.
        let pid = unsafe {
            libc::clone(
                become_program,
                stack.as_mut_ptr().add(STACK_UNITS).cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                (&raw mut plan).cast(),
            )
        };
        let cloned = Errno::result(pid);
        let restored = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
        debug_assert!(restored.is_ok(), "putting back a mask that was read cannot fail");
        let pid = cloned.map_err(|errno| StartError::new(Step::Start, errno))?;
        match plan.failed {
            None => Ok(Pid::from_raw(pid)),
            Some((step, errno)) => {
                let _exit_status = wait(Pid::from_raw(pid));
                Err(StartError::new(step, errno))
            }
        }
    }
}

/// A [`Spawn`] as the child needs it: everything allocated, terminated and counted beforehand.
struct Plan<'a> {
    candidates: Vec<*const c_char>,
    arguments: Vec<*const c_char>,
    /// Arguments for the shell that runs a script without a first line; the second is filled in by the child.
    shell_arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    directory: Option<&'a CStr>,
    /// Source and target numbers; the child moves the sources out of the way.
    descriptors: Vec<(RawFd, RawFd)>,
    /// The first number that is no target.
    above_targets: RawFd,
    own_group: bool,
    own_session: bool,
    /// The process id that the parent must still have, if the child is to die with it.
    parent: Option<Pid>,
    /// Written by the child.
    failed: Option<(Step, Errno)>,
}

impl<'a> Plan<'a> {
    fn new(spawn: &Spawn<'a>) -> Self {
        let terminated = |strings: &[CString]| -> Vec<*const c_char> {
            strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
        };
        let after_name = spawn.arguments.get(1..).unwrap_or_default();
        let mut shell_arguments = vec![SHELL.as_ptr(), ptr::null()];
        shell_arguments.extend(terminated(after_name));
        Self {
            candidates: spawn.program.candidates.iter().map(|path| path.as_ptr()).collect(),
            arguments: terminated(spawn.arguments),
            shell_arguments,
            environment: terminated(spawn.environment),
            directory: spawn.directory,
            descriptors: spawn.descriptors.iter().map(|(fd, target)| (fd.as_raw_fd(), *target)).collect(),
            above_targets: spawn
                .descriptors
                .iter()
                .map(|(_, target)| target.saturating_add(1))
                .max()
                .unwrap_or(0),
            own_group: spawn.own_group,
            own_session: spawn.own_session,
            parent: spawn.die_with_parent.then(Pid::this),
            failed: None,
        }
    }

    /// Runs in the child: returns only what went wrong.
    fn run(&mut self) -> (Step, Errno) {
        if let Err(errno) = self.prepare() {
            return (Step::Prepare, errno);
        }
        if let Some(directory) = self.directory {
            // SAFETY: a C string, by its type.
            if unsafe { libc::chdir(directory.as_ptr()) } != 0 {
                return (Step::Directory, Errno::last());
            }
        }
        if let Err(errno) = reset_signals() {
            return (Step::Prepare, errno);
        }
        (Step::Program, self.execute())
    }

    fn prepare(&mut self) -> Result<(), Errno> {
        if self.own_session {
            // SAFETY: no pointers.
            Errno::result(unsafe { libc::setsid() })?;
        } else if self.own_group {
            // SAFETY: no pointers.
            Errno::result(unsafe { libc::setpgid(0, 0) })?;
        }
        for (source, _) in &mut self.descriptors {
            if *source < self.above_targets {
                // SAFETY: no pointers; the child has a descriptor table of its own.
                *source = Errno::result(unsafe {
                    libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, self.above_targets)
                })?;
            }
        }
        for (source, target) in &self.descriptors {
            // SAFETY: as above.
            Errno::result(unsafe { libc::dup2(*source, *target) })?;
        }
        if let Some(parent) = self.parent {
            // SAFETY: this option takes no pointer.
            Errno::result(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) })?;
            // SAFETY: neither takes a pointer. A parent that died before the line above sent no signal.
            unsafe {
                if libc::getppid() != parent.as_raw() {
                    libc::_exit(1);
                }
            }
        }
        Ok(())
    }

    /// Tries each place. As with shells, a program that is there but may not be run outweighs places without one.
    fn execute(&mut self) -> Errno {
        let mut outcome = Errno::ENOENT;
        for candidate in &self.candidates {
            // SAFETY: all three are C strings, or null-terminated arrays of such, that outlive the call.
            unsafe { libc::execve(*candidate, self.arguments.as_ptr(), self.environment.as_ptr()) };
            match Errno::last() {
                Errno::ENOENT | Errno::ENOTDIR => {}
                Errno::EACCES => outcome = Errno::EACCES,
                Errno::ENOEXEC => {
                    if let Some(script) = self.shell_arguments.get_mut(1) {
                        *script = *candidate;
                    }
                    // SAFETY: as above.
                    unsafe {
                        libc::execve(SHELL.as_ptr(), self.shell_arguments.as_ptr(), self.environment.as_ptr())
                    };
                    return Errno::last();
                }
                other => return other,
            }
        }
        outcome
    }
}

/// What the child does, on its own stack in the parent's memory. It calls only what is safe in a signal handler, and
/// neither allocates nor locks nor panics: another thread may hold any lock of this program.
extern "C" fn become_program(plan: *mut c_void) -> c_int {
    // SAFETY: `Spawn::start` passes a pointer to a `Plan` that it does not touch before the child is gone.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    plan.failed = Some(plan.run());
    // SAFETY: takes no pointer. Handlers of `exit` and destructors are the parent's and must not run here.
    unsafe { libc::_exit(127) }
}

/// Gives up the parent's signal handlers, whose code and data are about to vanish, then lets signals in.
fn reset_signals() -> Result<(), Errno> {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: all zeros is a valid `sigaction` (the default action with an empty mask), the pointers are to live
        // values or null, and no handler is installed.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            // Fails for the few numbers that the C library keeps for itself.
            let known = libc::sigaction(signal, ptr::null(), &raw mut action) == 0;
            let ignored = action.sa_sigaction == libc::SIG_IGN && signal != libc::SIGPIPE;
            if known && !ignored && action.sa_sigaction != libc::SIG_DFL {
                let default: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, &raw const default, ptr::null_mut());
            }
        }
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Waits in this thread for a child to end, and takes it out of the process table. Returns its status, and the most memory
/// it ever had resident, in bytes, where that is known.
///
/// It is not known of a child that never grew larger than this process: a program that [`Spawn`] starts is laid to have been as
/// large as its parent was, whose memory it shared until then.
pub fn wait(pid: Pid) -> io::Result<(ExitStatus, Option<u64>)> {
    let mut status = 0;
    // SAFETY: all zeros is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live values.
        match Errno::result(unsafe { libc::wait4(pid.as_raw(), &raw mut status, 0, &raw mut usage) }) {
            Ok(_) => return Ok((ExitStatus::from_raw(status), larger_than_own(usage.ru_maxrss))),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A peak in KiB as bytes, if this process's own is below it.
fn larger_than_own(peak_kib: libc::c_long) -> Option<u64> {
    let own_kib = getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss();
    if peak_kib <= own_kib { None } else { u64::try_from(peak_kib).ok()?.checked_mul(1024) }
}

/// Becomes readable when its process ends.
pub type ExitNotice = AsyncFd<OwnedFd>;

/// A descriptor that becomes readable when the process ends. `pid` must be a child that was not waited for yet. Call
/// this within a tokio runtime.
pub fn exit_notice(pid: Pid) -> io::Result<ExitNotice> {
    // SAFETY: pidfd_open takes no pointers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: an `OwnedFd` always gives the same open descriptor until it is dropped.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}

/// A file in memory that takes all that a process writes to it, from its beginning, and needs no reader meanwhile.
pub fn capture_file() -> io::Result<File> {
    let fd = memfd_create("poolmap-output", MFdFlags::MFD_CLOEXEC)?;
    // A process that opens `/dev/stdout` anew gets a position of its own; so each write goes to the end.
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(fd.into())
}

/// The name of a signal, such as `SIGSEGV`.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(known) => known.as_str().to_owned(),
        Err(_) => format!("SIG{signal}"),
    }
}

/// Takes over a descriptor that the parent process put at `number` for this process alone, and keeps it from
/// processes that this one starts. To be called once for each number, before anything else can have opened it.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::other(format!("descriptor {number} is a standard stream")));
    }
    // SAFETY: no pointers; the call fails if there is no such descriptor.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as the call above shows, and the parent tells its number to one caller only.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
