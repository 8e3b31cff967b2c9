//! How close to the best possible whole jobs come: the least time is what the slots need together, or the
//! longest task alone. Virtual time only: nothing here is measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use poolmap_scheduler::{ClassId, Config, Event, JobId, JobOptions};

use crate::cluster::{Cluster, Happening, Work};
use crate::node::Nature;
use crate::rng::Rng;
use crate::trouble::Trouble;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const JOB: JobId = JobId(1);
/// Tasks in one message of the client.
const CHUNK: usize = 1_000;

fn host(slots: u32) -> Nature {
    Nature { slots, class: ClassId(0), delay_ns: 90 * US, slowness: 1, flush_ns: MS }
}

/// The least possible time over the time taken.
fn efficiency(hosts: &[Nature], durations_ns: &[u64], tasks_per_child: Option<u32>) -> f64 {
    let cluster = run(hosts, durations_ns, tasks_per_child);
    let speed: f64 = hosts.iter().map(|host| f64::from(host.slots) / host.slowness as f64).sum();
    let work_ns = durations_ns.iter().sum::<u64>() as f64 / speed;
    let longest_ns = durations_ns.iter().copied().max().unwrap_or(0) as f64;
    work_ns.max(longest_ns) / cluster.done_at[&JOB] as f64
}

fn run(hosts: &[Nature], durations_ns: &[u64], max_tasks_per_child: Option<u32>) -> Cluster {
    let mut cluster = Cluster::new(Config::default(), Rng::new(1));
    let options = JobOptions { max_tasks_per_child, ..JobOptions::default() };
    submit(&mut cluster, hosts, JOB, 0, durations_ns, options);
    cluster.run();
    cluster.assert_at_rest();
    cluster
}

/// Plans that some hosts join and a whole job is submitted.
fn submit(
    cluster: &mut Cluster,
    hosts: &[Nature],
    job: JobId,
    at: u64,
    durations_ns: &[u64],
    options: JobOptions,
) {
    for host in hosts {
        cluster.plan(at, Happening::Joins(host.clone()));
    }
    cluster.plan(at, Happening::Told(Event::JobSubmitted { job, options }));
    for chunk in durations_ns.chunks(CHUNK) {
        cluster.plan(at, Happening::Told(Event::TasksAdded { job, count: chunk.len() as u32 }));
    }
    cluster.plan(at, Happening::Told(Event::JobClosed { job }));
    cluster.describe(job, Work { durations_ns: durations_ns.to_vec(), ..Work::default() });
}

/// Fails below `least`; the figure is seen with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
fn assert_efficient(name: &str, hosts: &[Nature], durations_ns: &[u64], least: f64) {
    let efficiency = efficiency(hosts, durations_ns, None);
    eprintln!("{efficiency:.4}  {name}");
    assert!(efficiency >= least, "{name}: {efficiency:.4} is below {least}");
}

fn shuffled(mut durations_ns: Vec<u64>) -> Vec<u64> {
    Rng::new(7).shuffle(&mut durations_ns);
    durations_ns
}

/// 95% of 1 ms, then 5% of 50 ms.
fn long_last(count: usize) -> Vec<u64> {
    (0..count).map(|index| if index < count * 95 / 100 { MS } else { 50 * MS }).collect()
}

fn log_normal(count: usize, median_ns: u64, sigma: f64) -> Vec<u64> {
    let mut rng = Rng::new(11);
    let mut normal = || (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos();
    (0..count).map(|_| nanoseconds(median_ns as f64 * (sigma * normal()).exp())).collect()
}

/// A Pareto distribution of exponent 1.5: the mean is three times the least, and single tasks are a thousand
/// times that; none is longer than such a part of what each slot has to do.
fn heavy_tail(count: usize, least_ns: u64, slots: u64, part: u64) -> Vec<u64> {
    let mut rng = Rng::new(13);
    let tail = |_| nanoseconds(least_ns as f64 * (1.0 - rng.unit()).powf(-1.0 / 1.5));
    let mut durations_ns: Vec<u64> = (0..count).map(tail).collect();
    // Cutting the longest shortens the whole, hence a few times.
    for _ in 0..9 {
        let most_ns = durations_ns.iter().sum::<u64>() / slots / part;
        for ns in &mut durations_ns {
            *ns = most_ns.min(*ns);
        }
    }
    durations_ns
}

/// The time that tasks take in their order if every slot takes the next one the moment it is free: the best
/// that can be done without knowing how long they take.
fn greedy_ns(slots: u32, durations_ns: &[u64]) -> u64 {
    let mut free_at: BinaryHeap<Reverse<u64>> = (0..slots).map(|_| Reverse(0)).collect();
    let mut last_ns = 0;
    for duration_ns in durations_ns {
        let Reverse(at) = free_at.pop().expect("there is a slot");
        last_ns = last_ns.max(at + duration_ns);
        free_at.push(Reverse(at + duration_ns));
    }
    last_ns
}

#[expect(clippy::cast_sign_loss, reason = "durations are positive")]
fn nanoseconds(value: f64) -> u64 {
    value as u64
}

#[test]
fn equal_tasks_keep_every_slot_busy() {
    assert_efficient("2,000 of 1 ms, 2 slots", &[host(2)], &[MS; 2_000], 0.98);
    assert_efficient("100,000 of 20 us, 2 slots", &[host(2)], &vec![20 * US; 100_000], 0.98);
    assert_efficient("1,000 of 100 ms, 2 hosts of 4", &[host(4), host(4)], &[100 * MS; 1_000], 0.98);
    assert_efficient("10,000 of 10 ms, 16 hosts of 4", &vec![host(4); 16], &vec![10 * MS; 10_000], 0.95);
}

#[test]
fn uneven_tasks_keep_every_slot_busy() {
    let mixed = shuffled(long_last(2_000));
    assert_efficient("2,000 of 1 or 50 ms shuffled, 2 slots", &[host(2)], &mixed, 0.98);
    assert_efficient("2,000 of 1 or 50 ms shuffled, 2 hosts of 1", &[host(1), host(1)], &mixed, 0.98);
    let normal = log_normal(5_000, 2 * MS, 1.0);
    assert_efficient("5,000 log-normal around 2 ms, 4 hosts of 2", &vec![host(2); 4], &normal, 0.95);
    let normal = log_normal(1_000, 20 * MS, 1.0);
    assert_efficient("1,000 log-normal around 20 ms, 2 slots", &[host(2)], &normal, 0.95);
}

#[test]
fn heavy_tails_keep_every_slot_busy() {
    let hosts = vec![host(2); 16];
    for (count, least_ns, hosts) in [
        (1_000, MS, &hosts[..1]),
        (1_000, 10 * MS, &hosts[..2]),
        (5_000, MS, &hosts[..4]),
        (50_000, 50 * US, &hosts[..4]),
        (20_000, MS, &hosts[..]),
    ] {
        let slots = hosts.len() as u32 * 2;
        let name = format!("{count} heavy tail from {} us, {slots} slots", least_ns / US);
        let short = heavy_tail(count, least_ns, u64::from(slots), 20);
        assert_efficient(&format!("{name}, longest 1/20"), hosts, &short, 0.95);
        // A long task that happens to come last costs its length whatever the scheduler does.
        let long = heavy_tail(count, least_ns, u64::from(slots), 4);
        let (best_ns, done_ns) = (greedy_ns(slots, &long), run(hosts, &long, None).done_at[&JOB]);
        assert!(done_ns * 95 <= best_ns * 100, "{name}, longest 1/4: {done_ns} ns, greedily {best_ns}");
    }
}

#[test]
fn long_tasks_at_the_end_are_spread_over_all_slots() {
    let late = long_last(2_000);
    assert_efficient("2,000 of 1 ms, then of 50 ms, 2 slots", &[host(2)], &late, 0.95);
    assert_efficient("2,000 of 1 ms, then of 50 ms, 2 hosts of 1", &[host(1), host(1)], &late, 0.95);
    assert_efficient(
        "4,000 of 1 ms, then of 50 ms, 4 hosts of 2",
        &vec![host(2); 4],
        &long_last(4_000),
        0.95,
    );
}

#[test]
fn a_slow_host_does_not_hold_up_the_end() {
    for slowness in [2, 5] {
        let mut hosts = vec![host(2); 4];
        hosts.push(Nature { slowness, ..host(2) });
        let works = [
            ("50,000 of 100 us", vec![100 * US; 50_000]),
            ("10,000 of 1 ms", vec![MS; 10_000]),
            ("2,000 of 20 ms", vec![20 * MS; 2_000]),
            ("1,000 of 200 ms", vec![200 * MS; 1_000]),
            ("2,000 log-normal around 20 ms", log_normal(2_000, 20 * MS, 0.5)),
        ];
        for (name, durations_ns) in works {
            let name = format!("{name}, 4 hosts of 2 and one at 1/{slowness} of their speed");
            assert_efficient(&name, &hosts, &durations_ns, 0.95);
        }
    }
}

#[test]
fn a_copy_of_a_task_at_a_host_that_got_stuck_ends_the_job() {
    let mut cluster = Cluster::new(Config::default(), Rng::new(1));
    let hosts = [host(2), host(2), Nature { slowness: 1_000, ..host(1) }];
    let options = JobOptions { speculate: true, ..JobOptions::default() };
    submit(&mut cluster, &hosts, JOB, 0, &[10 * MS; 1_000], options);
    cluster.run();
    let (best_ns, done_ns) = (1_000 * 10 * MS / 4, cluster.done_at[&JOB]);
    assert!(done_ns <= best_ns * 105 / 100, "{done_ns} ns, as if the stuck host were not there: {best_ns}");
    assert_eq!(
        cluster.seen.count("copies elsewhere"),
        1,
        "the task that was sent ahead is taken back instead"
    );
}

#[test]
fn a_small_job_behind_a_huge_one_starts_within_a_few_tasks() {
    for (task_ns, slots) in [(20 * US, 2), (MS, 2), (100 * MS, 4), (2_000 * MS, 4)] {
        let mut cluster = Cluster::new(Config::default(), Rng::new(1));
        let (small, tasks) = (JobId(2), (20_000 * MS / task_ns).clamp(100, 100_000) as usize);
        submit(&mut cluster, &[host(slots)], JOB, 0, &vec![task_ns; tasks], JobOptions::default());
        let at = 5_000 * MS.min(task_ns);
        submit(&mut cluster, &[], small, at, &[MS; 3], JobOptions::default());
        cluster.run();
        let first_at =
            cluster.deliveries.iter().find(|(_, job, ..)| *job == small).map_or(u64::MAX, |&(at, ..)| at);
        let waited_ns = first_at - at;
        // What runs, what was sent ahead (no more than the target where tasks are short), and its own time.
        let most_ns = 2 * task_ns.max(20 * MS) + 2 * MS;
        assert!(waited_ns <= most_ns, "first outcome after {waited_ns} ns behind tasks of {task_ns} ns");
        eprint_waited(waited_ns, task_ns);
    }
}

#[test]
fn an_evicted_task_does_not_wait_for_the_end_of_the_job() {
    let mut cluster = Cluster::new(Config::default(), Rng::new(1));
    submit(&mut cluster, &[host(2), host(2)], JOB, 0, &[20 * MS; 2_000], JobOptions::default());
    cluster.plan(100 * MS, Happening::Goes(Trouble::Eviction));
    cluster.run();
    let twice = cluster.begins.iter().find(|(_, begins)| **begins == 2).map(|(&(_, index), _)| index);
    let index = twice.expect("one task began twice");
    let is_of = |first: u64, count: u32| (first..first + u64::from(count)).contains(&index);
    let at = cluster.deliveries.iter().find(|&&(_, _, first, count)| is_of(first, count)).map(|&(at, ..)| at);
    // What runs beside it ends, and then it runs itself.
    assert!(at.is_some_and(|at| at <= 145 * MS), "{at:?}");
}

#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
fn eprint_waited(waited_ns: u64, task_ns: u64) {
    eprintln!(
        "{:.1} ms to the first outcome behind tasks of {:.2} ms",
        waited_ns as f64 / 1e6,
        task_ns as f64 / 1e6
    );
}

#[test]
fn instant_tasks_run_in_whole_children_and_nothing_else() {
    let cluster = run(&[host(2)], &[US; 100], Some(10));
    let lengths: Vec<u64> = cluster.batch_lengths.values().map(|&length| u64::from(length)).collect();
    assert!(lengths.iter().all(|length| length % 10 == 0), "{lengths:?}");
    assert_eq!(lengths.iter().sum::<u64>(), 100);
}

#[test]
fn instant_tasks_do_not_wait_for_one_that_sleeps() {
    let sleeper_first: Vec<u64> = std::iter::once(2_000 * MS).chain([US; 99]).collect();
    for tasks_per_child in [None, Some(20)] {
        let cluster = run(&[host(2)], &sleeper_first, tasks_per_child);
        let early: u32 =
            cluster.deliveries.iter().filter(|(at, ..)| *at < 100 * MS).map(|(.., count)| count).sum();
        assert_eq!(early, 99, "with {tasks_per_child:?} tasks per child");
    }
}

#[test]
fn an_idle_slot_asks_a_few_times_and_not_for_ever() {
    let hosts = vec![host(2); 50];
    let cluster = run(&hosts, &[2_000 * MS, 2_000 * MS, MS, MS], None);
    assert!(cluster.seen.count("questions") <= 8, "{} questions", cluster.seen.count("questions"));
    let cluster = run(&hosts, &vec![5 * MS; 5_000], None);
    assert!(cluster.seen.count("questions") <= 200, "{} questions", cluster.seen.count("questions"));
}
