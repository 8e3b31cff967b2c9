//! The slot protocol: how the pool and a runner work together, task by task at the price of batches.
//!
//! A *runner* is whoever runs the tasks of a slot: a Python interpreter, a native child, or a thread of this
//! process (native functions and commands). All speak this one protocol, so the pool has one way to drive a
//! slot. Each slot is two descriptors:
//!
//! - a **socket** (stream, ordered) that carries [frames](frame): functions and batches to the runner, and
//!   back what is worth waking the pool for;
//! - a **map** (a memfd that both ends map, see [`map`]): two words and the outcome area. The runner marks
//!   each task it begins and writes each outcome as it ends, with no system call. What stands there outlives
//!   the runner.
//!
//! # Numbering
//!
//! Tasks of a slot are numbered by *sequence*, from 1, without gaps, over the runner's life; a batch frame
//! gives the sequence number of its first task.
//!
//! # What the runner does for each task `s`
//!
//! 1. store `begun = s`;
//! 2. load `fence`; if `fence <= s`, task `s` and all after it in the frame are void: skip to the end of the frame;
//! 3. run the task;
//! 4. append its outcome record to the area.
//!
//! After the last task it runs of a frame it sends [`Done`](frame::Kind::Done) with the sequence number after it.
//!
//! # What the pool may conclude
//!
//! - The outcomes of all tasks below `begun` are complete in the area (stores become visible in order: the
//!   record of `s - 1` was written before `begun = s`).
//! - If the runner dies, task `begun` was running, unless `Done` covers it; nothing after it ever began.
//! - *Taking back*: store `fence = l`, issue a barrier on all processors ([`os::barrier`](crate::os::barrier)),
//!   then load `begun`: no task above both `l - 1` and `begun` has begun, and none will. Either the runner's
//!   load in step 2 comes after the barrier and sees the fence, or its store in step 1 came before it and is seen
//!   here. Whether task `begun` itself ran, if it is not below the fence, only `Done` tells.
//!
//! The pool sends one batch frame at a time, and takes a fence away only between frames.
//!
//! # When the area is full
//!
//! Records are written one after another and never wrap. A runner whose next record does not fit sends
//! [`Full`](frame::Kind::Full), waits for [`Drained`](frame::Kind::Drained), and starts again at the area's
//! beginning. A record larger than the whole area travels in a [`Large`](frame::Kind::Large) frame instead, after
//! the area was drained. It may still be on its way when the runner has begun the next task; so before `Drained` the
//! pool writes the word [`NO_RECORD`](record::NO_RECORD) at the area's beginning. The runner leaves it there if its record
//! travels in a frame, and the pool does not read past it before that frame has come.

pub(crate) mod collect;
pub(crate) mod driver;
pub mod frame;
pub mod map;
mod outbox;
pub mod record;
pub(crate) mod runner;
pub mod serve;
pub(crate) mod status;
pub(crate) mod work;
