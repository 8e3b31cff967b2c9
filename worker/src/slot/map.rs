//! The map of a slot: a memfd that the pool and the runner both map.
//!
//! | bytes | what | written by |
//! |---|---|---|
//! | 0..8 | `begun`: sequence of the task begun last, 0 before the first | runner |
//! | 8..16 | `fence`: no task from here on may begin | pool |
//! | 16..24 | `process`: group of the process that runs the current command, 0 if none | runner |
//! | 4096.. | the outcome area | runner |

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::os;

/// Bytes of the page that holds the words, before the area.
pub const AREA_OFFSET: usize = 4096;
/// Bytes of the outcome area. One stall of a round trip per this many bytes of outcomes; at the 20 bytes of a small
/// outcome that is one in 50,000 tasks.
pub const AREA_BYTES: usize = 1 << 20;
/// Bytes of the whole map.
pub const MAP_BYTES: usize = AREA_OFFSET + AREA_BYTES;
/// The fence that stops nothing.
pub const NO_FENCE: u64 = u64::MAX;

const BEGUN: usize = 0;
const FENCE: usize = 1;
const PROCESS: usize = 2;

/// A mapped slot map.
#[derive(Debug)]
pub struct SlotMap {
    memory: os::SharedMemory,
}

impl SlotMap {
    /// Makes a map of its own, with no task begun and no fence.
    pub fn create() -> std::io::Result<Self> {
        let map = Self { memory: os::SharedMemory::create("poolmap-slot", MAP_BYTES)? };
        map.set_fence(NO_FENCE);
        Ok(map)
    }

    /// Maps what another process has created.
    pub fn open(fd: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { memory: os::SharedMemory::open(fd, MAP_BYTES)? })
    }

    /// The descriptor to hand to a runner.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        self.memory.word(word)
    }

    /// Sequence of the task begun last; 0 before the first.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.word(BEGUN).load(Ordering::Acquire)
    }

    /// Runner: claims a task. Returns whether it may run.
    #[must_use]
    pub fn begin(&self, sequence: u64) -> bool {
        self.word(BEGUN).store(sequence, Ordering::SeqCst);
        self.word(FENCE).load(Ordering::SeqCst) > sequence
    }

    /// Pool: lets no task from `sequence` on begin. See the protocol for what must follow.
    pub fn set_fence(&self, sequence: u64) {
        self.word(FENCE).store(sequence, Ordering::SeqCst);
    }

    /// Process group of the command that runs now.
    #[must_use]
    pub fn process(&self) -> Option<i32> {
        match self.word(PROCESS).load(Ordering::Acquire) {
            0 => None,
            group => i32::try_from(group).ok(),
        }
    }

    /// Runner: names the process group of its command, or none.
    pub fn set_process(&self, group: Option<i32>) {
        let group = group.and_then(|group| u64::try_from(group).ok()).unwrap_or(0);
        self.word(PROCESS).store(group, Ordering::Release);
    }

    /// Appends bytes of the area to `bytes`; `false`, and nothing appended, if they do not lie within it.
    #[must_use]
    pub fn read_area(&self, offset: usize, length: usize, bytes: &mut Vec<u8>) -> bool {
        let inside = area_contains(offset, length);
        if inside {
            self.memory.read(AREA_OFFSET + offset, length, bytes);
        }
        inside
    }

    /// Runner: writes into the area; `false`, and nothing written, if the bytes do not fit.
    #[must_use]
    pub fn write_area(&self, offset: usize, bytes: &[u8]) -> bool {
        let fits = area_contains(offset, bytes.len());
        if fits {
            self.memory.write(AREA_OFFSET + offset, bytes);
        }
        fits
    }
}

fn area_contains(offset: usize, length: usize) -> bool {
    offset.checked_add(length).is_some_and(|end| end <= AREA_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_the_same_memory() -> std::io::Result<()> {
        let pool = SlotMap::create()?;
        let runner = SlotMap::open(pool.fd().try_clone_to_owned()?)?;
        assert!(runner.begin(7));
        assert!(runner.write_area(10, b"value"));
        assert_eq!(pool.begun(), 7);
        let mut bytes = b"the ".to_vec();
        assert!(pool.read_area(10, 5, &mut bytes));
        assert_eq!(bytes, b"the value");
        Ok(())
    }

    #[test]
    fn a_fence_stops_the_tasks_from_it_on() -> std::io::Result<()> {
        let map = SlotMap::create()?;
        map.set_fence(5);
        assert!(map.begin(4));
        assert!(!map.begin(5));
        assert!(!map.begin(9));
        map.set_fence(NO_FENCE);
        assert!(map.begin(10));
        Ok(())
    }

    #[test]
    fn nothing_outside_the_area_is_read_or_written() -> std::io::Result<()> {
        let map = SlotMap::create()?;
        assert!(!map.read_area(AREA_BYTES, 1, &mut Vec::new()));
        assert!(!map.read_area(usize::MAX, 2, &mut Vec::new()));
        assert!(!map.write_area(AREA_BYTES - 1, b"xx"));
        assert!(map.write_area(AREA_BYTES - 1, b"x"));
        Ok(())
    }
}
