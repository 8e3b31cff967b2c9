//! The scheduler: a pure state machine that decides which worker runs which tasks.
//!
//! Events go in, with the time; actions come out. It knows no clock, no randomness, no sockets and no
//! payloads, and it cannot: this crate has no dependencies. The same events at the same times always give the
//! same actions, so that a journal of events is a copy of the state.
//!
//! ```
//! use poolmap_scheduler::{Action, BatchId, ClassId, Config, Event, JobId, JobOptions, Scheduler, Time, WorkerId};
//!
//! let (job, worker) = (JobId(1), WorkerId(1));
//! let mut scheduler = Scheduler::new(Config::default());
//! let mut actions = Vec::new();
//! scheduler.handle(Time(0), Event::WorkerJoined { worker, slots: 1, class: ClassId(0) }, &mut actions);
//! scheduler.handle(Time(0), Event::JobSubmitted { job, options: JobOptions::default() }, &mut actions);
//! scheduler.handle(Time(0), Event::TasksAdded { job, count: 1 }, &mut actions);
//! assert_eq!(actions, [Action::Assign { worker, batch: BatchId(1), job, first: 0, count: 1, attempt: 1 }]);
//! ```
//!
//! # How it decides
//!
//! - *Which job*: the highest priority, then the least slot-time so far (`fairness`).
//! - *Which worker*: the least loaded of those that may run it (`classes`); free slots before room for a batch ahead (`worker`). A
//!   job that finds none lets others go on which may use other workers (`lanes`).
//! - *How many tasks*: as many as take the target time, as far as is known, fewer near the end (`sizing`).
//! - *When a slot idles and nothing waits*: ask for half of the most promising batch in flight (`takeback`).
//! - *When there is nothing to ask for*: copy a task that is late, if its job wants that (`speculation`).
//! - *When an attempt ends without an outcome*: run that task again, by itself, within limits (`losses`); one
//!   that ran short of memory gets a worker to itself (`isolation`).

mod action;
mod alarms;
mod backlog;
mod batch;
mod classes;
mod config;
mod dispatch;
mod event;
mod fairness;
mod invariants;
mod isolation;
mod job;
mod lanes;
mod limits;
mod losses;
mod options;
mod ranges;
mod reports;
mod requests;
mod scheduler;
mod sizing;
mod speculation;
mod stopping;
mod takeback;
mod tries;
mod withdrawing;
mod worker;

pub use action::Action;
pub use classes::{ClassId, Classes};
pub use config::Config;
pub use event::{BatchId, Event, JobId, Time, WorkerId};
pub use job::TaskCounts;
pub use options::{Halt, JobOptions};
pub use scheduler::{Ignored, Scheduler, Totals};
