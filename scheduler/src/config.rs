//! Every number that the scheduler's decisions depend on, with its reason.

/// The scheduler's tunables. [`Config::default`] is meant for everybody; tests choose others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time that a batch should take, in nanoseconds. A hand-over costs tens of microseconds, so that 20 ms
    /// makes it a thousandth of the work, while slots still finish within an eye-blink of each other.
    pub target_batch_ns: u64,
    /// A batch may be at most so many times larger than the largest that ended within the target. Four
    /// reaches 65,536 in eight steps, and bounds the damage of a first impression to four targets.
    pub growth_factor: u32,
    /// Most tasks in a batch: more gains nothing even at a hundred nanoseconds a task, and reports stay
    /// small.
    pub max_batch_tasks: u32,
    /// A batch is at most the job's queue divided by all slots and this number. With two, a batch is at most
    /// half of a slot's fair share of what remains, so that sizes fall geometrically towards the end.
    pub tail_divisor: u32,
    /// Near the end batches do not fall below so much work, in nanoseconds, as long as there is that much for
    /// every slot: handing it over costs a tenth of it, and slots that finish a millisecond apart are
    /// together.
    pub least_batch_ns: u64,
    /// The time per task is the mean over about so much recent slot time, in nanoseconds. Fifty targets
    /// average out uneven tasks and still forget within a second of work.
    pub estimate_window_ns: u64,
    /// Batches per slot that wait at the worker beside the one that runs. One hides the round trip as long as
    /// a batch takes longer than it; a second would only be harder to take back.
    pub lookahead_batches: u32,
    /// A batch expected to take longer than this, in nanoseconds, is not sent ahead: against half a second a
    /// round trip is nothing, and a task that waits at the wrong worker is a loss.
    pub lookahead_below_ns: u64,
    /// Tasks are taken back if they are expected to take at least so long together, in nanoseconds; less is
    /// done before it has travelled.
    pub take_back_above_ns: u64,
    /// A batch that has not progressed for so many times what all of its rest should take (and one target
    /// more, for reports that travel together) is stuck in one task: what waits behind that task is worth
    /// taking back however short it looks.
    pub overdue_factor: u32,
    /// Where children are replaced, a batch that has not begun most likely waits for its child, in nanoseconds at
    /// most so long. Whoever took its tasks over would have to start a child of his own for them, and neither
    /// child would run its whole share. Interpreters with heavy imports start within a second.
    pub child_start_ns: u64,
    /// Most time between a failure and a retry, in nanoseconds, give or take a quarter, unless the job's first
    /// delay is longer. After a minute, waiting longer helps nobody who watches.
    pub retry_delay_max_ns: u64,
    /// `Halt::AfterShare` is judged once so many tasks are done: of fewer, a share says nothing.
    pub halt_judged_from_tasks: u64,
    /// Attempts of one task that may end by eviction before it fails. It had a worker to itself in all but the
    /// first, so that only memory used by others can be the reason; ten is patience enough.
    pub eviction_limit: u32,
    /// One worker in so many (at least one) is kept from new work until it is empty, while tasks wait that
    /// need a worker to themselves. An eighth bounds what a job with greedy tasks can cost the others.
    pub reserved_divisor: u64,
    /// A task is late, and may be copied, when it has run for so many times what it should take: below four,
    /// uneven tasks would be copied for nothing.
    pub late_factor: u64,
    /// It is not late before it has run for so many times the target, either: short tasks whose reports travel
    /// together would be.
    pub late_targets: u64,
}

impl Default for Config {
    fn default() -> Self {
        const MILLISECOND: u64 = 1_000_000;
        Self {
            target_batch_ns: 20 * MILLISECOND,
            growth_factor: 4,
            max_batch_tasks: 65_536,
            tail_divisor: 2,
            least_batch_ns: MILLISECOND,
            estimate_window_ns: 1_000 * MILLISECOND,
            lookahead_batches: 1,
            lookahead_below_ns: 500 * MILLISECOND,
            take_back_above_ns: 2 * MILLISECOND,
            overdue_factor: 4,
            child_start_ns: 1_000 * MILLISECOND,
            retry_delay_max_ns: 60_000 * MILLISECOND,
            halt_judged_from_tasks: 100,
            eviction_limit: 10,
            reserved_divisor: 8,
            late_factor: 4,
            late_targets: 2,
        }
    }
}
