//! How many tasks go into a batch: what a job's tasks have taken so far, and the rule made from it.

use crate::config::Config;

/// Fixed-point ones of `Estimate::tasks`: 16 binary digits, so that an old task may count for a fraction.
const ONE_TASK: u64 = 1 << 16;

/// Time per task: the mean over a window of recent slot time. A window of time rather than of tasks, since
/// batches are measured in time too: a change is noticed after a fixed amount of work, fast tasks or slow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Estimate {
    busy_ns: u64,
    tasks: u64,
}

impl Estimate {
    fn observe(&mut self, count: u32, busy_ns: u64, window_ns: u64) {
        let keep_ns = window_ns.saturating_sub(busy_ns);
        if self.busy_ns > keep_ns {
            let scaled = u128::from(self.tasks) * u128::from(keep_ns) / u128::from(self.busy_ns);
            self.tasks = scaled as u64;
            self.busy_ns = keep_ns;
        }
        self.busy_ns = self.busy_ns.saturating_add(busy_ns);
        self.tasks = self.tasks.saturating_add(u64::from(count) * ONE_TASK);
    }

    /// At least a nanosecond; `None` before anything was observed.
    fn task_ns(&self) -> Option<u64> {
        let scaled = u128::from(self.busy_ns) * u128::from(ONE_TASK);
        let mean = scaled.checked_div(u128::from(self.tasks))?;
        Some(u64::try_from(mean).unwrap_or(u64::MAX).max(1))
    }
}

/// What must be known of the queue to size the next batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Supply {
    /// Un-begun tasks of the job.
    pub(crate) queued: u64,
    /// Most tasks that the next batch can hold.
    pub(crate) next_count: u32,
    /// Slots of all workers.
    pub(crate) slots: u64,
}

/// What a job has taught about its tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizing {
    estimate: Estimate,
    largest_in_time: u32,
    tasks_per_child: Option<u32>,
}

impl Sizing {
    pub(crate) fn new(tasks_per_child: Option<u32>) -> Self {
        Self { tasks_per_child: tasks_per_child.filter(|&count| count > 0), ..Self::default() }
    }

    /// Whether each child runs so few tasks that a batch mostly meets one that is still starting.
    pub(crate) fn fills_fresh_children(&self) -> bool {
        self.tasks_per_child.is_some()
    }

    /// Learns from `count` tasks that took `busy_ns` together.
    pub(crate) fn observe(&mut self, count: u32, busy_ns: u64, config: &Config) {
        self.estimate.observe(count, busy_ns, config.estimate_window_ns);
    }

    /// Learns from a whole batch.
    pub(crate) fn batch_ended(&mut self, count: u32, busy_ns: u64, config: &Config) {
        if busy_ns <= config.target_batch_ns {
            self.largest_in_time = self.largest_in_time.max(count);
        }
    }

    /// Time that `count` tasks will take, if anything is known.
    pub(crate) fn expected_ns(&self, count: u32) -> Option<u64> {
        Some(self.estimate.task_ns()?.saturating_mul(u64::from(count)))
    }

    /// Tasks of the next batch; at least 1 if there is any.
    pub(crate) fn batch_tasks(&self, supply: Supply, config: &Config) -> u32 {
        let plain = self.plain_tasks(supply, config);
        let tasks = match self.tasks_per_child {
            Some(child) if child <= config.max_batch_tasks && self.fills_children(child, supply, config) => {
                (plain / child).max(1) * child
            }
            _ => plain,
        };
        tasks.min(supply.next_count)
    }

    fn plain_tasks(&self, supply: Supply, config: &Config) -> u32 {
        let task_ns = self.estimate.task_ns();
        let in_time = task_ns.map_or(1, |task_ns| config.target_batch_ns / task_ns);
        let grown = u64::from(self.largest_in_time) * u64::from(config.growth_factor);
        let slots = supply.slots.max(1);
        let worthwhile = task_ns.map_or(0, |task_ns| config.least_batch_ns / task_ns);
        let share = (supply.queued / slots.saturating_mul(u64::from(config.tail_divisor).max(1)))
            .max(worthwhile.min(supply.queued / slots));
        let tasks = in_time.min(grown).min(share).min(u64::from(config.max_batch_tasks));
        tasks.max(1) as u32
    }

    /// Whether batches should be whole children's worth. A child's worth within the target costs no balance;
    /// a larger or unknown one costs none while there is one for every slot and it is short enough to be sent
    /// ahead.
    fn fills_children(&self, child: u32, supply: Supply, config: &Config) -> bool {
        let enough_for_all = supply.queued >= supply.slots.saturating_mul(u64::from(child));
        match self.expected_ns(child) {
            Some(expected_ns) => {
                expected_ns <= config.target_batch_ns
                    || (enough_for_all && expected_ns <= config.lookahead_below_ns)
            }
            None => enough_for_all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn supply(queued: u64, slots: u64) -> Supply {
        Supply { queued, next_count: u32::try_from(queued).unwrap_or(u32::MAX), slots }
    }

    /// A job of which batches up to `largest` ended in time, at `task_ns` each.
    fn learned(task_ns: u64, largest: u32, tasks_per_child: Option<u32>) -> Sizing {
        let config = Config::default();
        let mut sizing = Sizing::new(tasks_per_child);
        sizing.observe(largest, task_ns * u64::from(largest), &config);
        sizing.batch_ended(largest, task_ns * u64::from(largest), &config);
        sizing
    }

    fn tasks(sizing: &Sizing, supply: Supply) -> u32 {
        sizing.batch_tasks(supply, &Config::default())
    }

    #[test]
    fn the_first_batch_is_one_task() {
        assert_eq!(tasks(&Sizing::new(None), supply(1_000_000, 2)), 1);
    }

    #[test]
    fn a_batch_fills_the_target_time() {
        assert_eq!(tasks(&learned(MS, 20, None), supply(1_000_000, 2)), 20);
        assert_eq!(tasks(&learned(60 * MS, 1, None), supply(1_000_000, 2)), 1);
    }

    #[test]
    fn a_batch_is_at_most_four_times_the_largest_that_ended_in_time() {
        assert_eq!(tasks(&learned(1_000, 16, None), supply(1_000_000, 2)), 64);
    }

    #[test]
    fn a_batch_that_took_too_long_does_not_let_the_next_grow() {
        let config = Config::default();
        let mut sizing = learned(1_000, 16, None);
        sizing.batch_ended(5_000, config.target_batch_ns + 1, &config);
        assert_eq!(tasks(&sizing, supply(1_000_000, 2)), 64);
    }

    #[test]
    fn a_batch_is_at_most_half_a_share_of_what_is_left() {
        let sizing = learned(MS / 10, 200, None);
        assert_eq!(tasks(&sizing, supply(400, 2)), 100);
        assert_eq!(tasks(&sizing, supply(3, 2)), 1);
    }

    #[test]
    fn a_batch_is_a_milliseconds_work_while_there_is_so_much_for_every_slot() {
        let sizing = learned(MS / 100, 2_000, None);
        assert_eq!(tasks(&sizing, supply(300, 2)), 100);
        assert_eq!(tasks(&sizing, supply(100, 2)), 50, "then it is a whole share");
    }

    #[test]
    fn a_batch_has_a_largest_size() {
        assert_eq!(tasks(&learned(1, 60_000, None), supply(10_000_000, 2)), 65_536);
    }

    #[test]
    fn a_batch_ends_with_its_range() {
        let supply = Supply { queued: 1_000_000, next_count: 7, slots: 2 };
        assert_eq!(tasks(&learned(1_000, 1_000, None), supply), 7);
    }

    #[test]
    fn batches_shrink_when_tasks_turn_slow() {
        let mut sizing = learned(MS, 20, None);
        for _ in 0..50 {
            sizing.observe(1, 20 * MS, &Config::default());
        }
        assert_eq!(tasks(&sizing, supply(1_000_000, 2)), 1);
    }

    #[test]
    fn one_slow_task_among_many_is_an_exception_and_not_the_rule() {
        let mut sizing = learned(MS, 20, None);
        for _ in 0..50 {
            sizing.observe(20, 20 * MS, &Config::default());
        }
        sizing.observe(1, 50 * MS, &Config::default());
        assert_eq!(sizing.expected_ns(1), Some(1_051_524), "51 ms more on 950 tasks");
    }

    #[test]
    fn batches_of_unknown_tasks_fill_whole_children_while_there_is_one_for_every_slot() {
        let sizing = Sizing::new(Some(10));
        assert_eq!(tasks(&sizing, supply(100, 2)), 10);
        assert_eq!(tasks(&sizing, supply(19, 2)), 1);
    }

    #[test]
    fn batches_of_fast_tasks_are_multiples_of_a_child() {
        assert_eq!(tasks(&learned(MS / 10, 200, Some(10)), supply(140, 2)), 30);
        assert_eq!(
            tasks(&learned(MS / 10, 200, Some(10)), supply(12, 2)),
            10,
            "even if the tail limit says less"
        );
    }

    #[test]
    fn batches_of_slow_tasks_do_not_wait_for_a_child_to_fill() {
        assert_eq!(tasks(&learned(100 * MS, 1, Some(10)), supply(1_000, 2)), 1);
        assert_eq!(tasks(&learned(10 * MS, 1, Some(10)), supply(19, 2)), 2);
    }

    #[test]
    fn a_child_larger_than_any_batch_is_no_rule() {
        assert_eq!(tasks(&Sizing::new(Some(100_000)), supply(10_000_000, 2)), 1);
    }
}
