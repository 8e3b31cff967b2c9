//! What a job asks of the scheduler.

use crate::classes::Classes;

/// Options of one job. [`JobOptions::default`] is an ordinary job: no retries, three attempts that crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOptions {
    /// Jobs of a higher priority go first; jobs of the same share evenly.
    pub priority: i32,
    /// Attempts of one task that may end with a dead child before the task fails; at least 1.
    pub crash_limit: u32,
    /// Tasks that each child runs before it is replaced. Batches then fill whole children where that costs no
    /// balance, so that no child leaves early.
    pub max_tasks_per_child: Option<u32>,
    /// How often a task that failed is tried again. Crashes and evictions are counted apart.
    pub retries: u32,
    /// Least time between a failure and the first retry, in nanoseconds; 0 is at once. It doubles with every
    /// retry up to [`Config::retry_delay_max_ns`](crate::Config::retry_delay_max_ns) and varies by a quarter
    /// in both directions, so that tasks that failed together do not come back together.
    pub retry_delay_ns: u64,
    /// When failures stop the whole job.
    pub halt: Halt,
    /// Whether slots that would idle run copies of tasks that take much longer than the others. The first
    /// outcome counts.
    pub speculate: bool,
    /// Workers that may run it.
    pub classes: Classes,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            priority: 0,
            crash_limit: 3,
            max_tasks_per_child: None,
            retries: 0,
            retry_delay_ns: 0,
            halt: Halt::Never,
            speculate: false,
            classes: Classes::All,
        }
    }
}

/// When failures stop a job. Only final ones count: those that were delivered, after the last retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halt {
    /// Failures stop nothing.
    #[default]
    Never,
    /// As soon as so many tasks have failed; 0 is taken for 1.
    AfterFailures(u64),
    /// As soon as so many percent of the tasks that are done have failed, and at least one. It is judged once
    /// [`Config::halt_judged_from_tasks`](crate::Config::halt_judged_from_tasks) are done, or all of a closed
    /// job.
    AfterShare {
        /// From 1 to 100; more than 100 is never reached.
        percent: u8,
    },
}
