//! Memory that processes share, and the barrier that orders what they write there.
#![expect(unsafe_code, reason = "mapping memory is unsafe by nature; the rest of the crate needs none of it")]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Memory that several processes map.
#[derive(Debug)]
pub struct SharedMemory {
    fd: OwnedFd,
    start: NonNull<std::ffi::c_void>,
    length: usize,
}

// SAFETY: the mapping is not tied to a thread, and all access goes through atomics or volatile-like copies of plain
// bytes whose meaning is checked by the reader (the peer is another process and may write at any time).
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes `length` bytes of zeroed memory; `name` shows in `/proc`.
    pub fn create(name: &str, length: usize) -> io::Result<Self> {
        let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        nix::unistd::ftruncate(&fd, i64::try_from(length).map_err(io::Error::other)?)?;
        // A peer that made it smaller would have this process killed by its next look at what is gone.
        fcntl(
            &fd,
            FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL),
        )?;
        Self::open(fd, length)
    }

    /// Maps memory that another process has made, which must be at least `length` bytes.
    pub fn open(fd: OwnedFd, length: usize) -> io::Result<Self> {
        let size = nix::sys::stat::fstat(&fd)?.st_size;
        let wanted = NonZeroUsize::new(length).ok_or_else(|| io::Error::other("an empty map"))?;
        if usize::try_from(size).is_ok_and(|size| size < length) {
            return Err(io::Error::other(format!("shared memory of {size} bytes where {length} are needed")));
        }
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at an address the kernel chooses aliases no Rust object.
        let start = unsafe { mmap(None, wanted, protection, MapFlags::MAP_SHARED, &fd, 0)? };
        Ok(Self { fd, start, length })
    }

    /// The `index`-th 64-bit word.
    ///
    /// # Panics
    ///
    /// If the map has no such word.
    #[must_use]
    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.length / size_of::<u64>(), "word {index} lies outside the map");
        // SAFETY: in bounds by the assertion, aligned since mappings begin at a page, and valid as long as `self`;
        // every access to these words, in any process, is a whole 64-bit load or store.
        unsafe { &*self.start.cast::<AtomicU64>().as_ptr().add(index) }
    }

    /// Appends a copy of a range, which must lie within the map, to `bytes`.
    pub fn read(&self, offset: usize, length: usize, bytes: &mut Vec<u8>) {
        self.assert_contains(offset, length);
        bytes.reserve(length);
        let old = bytes.len();
        // SAFETY: the range is in bounds, the destination has room, and no reference to the shared bytes is made: a
        // peer that writes meanwhile can only make the copied bytes stale or torn, never this process unsound.
        unsafe {
            std::ptr::copy_nonoverlapping(self.at(offset), bytes.as_mut_ptr().add(old), length);
            bytes.set_len(old + length);
        }
    }

    /// Copies bytes in; the range must lie within the map.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        self.assert_contains(offset, bytes.len());
        // SAFETY: the range is in bounds, and Rust holds no reference to the mapped bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) }
    }

    fn assert_contains(&self, offset: usize, length: usize) {
        let inside = offset.checked_add(length).is_some_and(|end| end <= self.length);
        assert!(inside, "{length} bytes at {offset} lie outside a map of {} bytes", self.length);
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: callers have checked that `offset` lies within the map.
        unsafe { self.start.cast::<u8>().as_ptr().add(offset) }
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open` and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.start, self.length) };
        debug_assert!(unmapped.is_ok(), "unmapping what was mapped cannot fail");
    }
}

/// Makes every thread of the machine pass a full memory barrier before this returns (10 to 40 ms: call it off the
/// event loop). Where the kernel does not offer it, waits instead, far longer than any store stays in a buffer.
pub fn barrier() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: membarrier takes no pointers.
    let done = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if done != 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use nix::unistd::ftruncate;

    use super::*;

    #[test]
    fn nobody_can_take_shared_memory_away_from_the_others() -> io::Result<()> {
        let memory = SharedMemory::create("poolmap-test", 8192)?;
        let peer = memory.as_fd().try_clone_to_owned()?;
        assert_eq!((ftruncate(&peer, 0), ftruncate(&peer, 1 << 20)), (Err(Errno::EPERM), Err(Errno::EPERM)));
        Ok(())
    }
}
