//! How close to the best possible whole jobs come: the least time is what the slots need together, or the
//! longest task alone. Virtual time only: nothing here is measured.

use poolmap_scheduler::{Config, Event, JobId, JobOptions};

use crate::cluster::{Cluster, Happening, Work};
use crate::node::Nature;
use crate::rng::Rng;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const JOB: JobId = JobId(1);
/// Tasks in one message of the client.
const CHUNK: usize = 1_000;

fn host(slots: u32) -> Nature {
    Nature { slots, delay_ns: 90 * US, slowness: 1, flush_ns: MS }
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
    for host in hosts {
        cluster.plan(0, Happening::Joins(host.clone()));
    }
    let options = JobOptions { max_tasks_per_child, ..JobOptions::default() };
    cluster.plan(0, Happening::Told(Event::JobSubmitted { job: JOB, options }));
    for chunk in durations_ns.chunks(CHUNK) {
        cluster.plan(0, Happening::Told(Event::TasksAdded { job: JOB, count: chunk.len() as u32 }));
    }
    cluster.plan(0, Happening::Told(Event::JobClosed { job: JOB }));
    cluster.describe(JOB, Work { durations_ns: durations_ns.to_vec(), ..Work::default() });
    cluster.run();
    cluster.assert_at_rest();
    cluster
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

/// A Pareto distribution: the mean is three times the least, and single tasks are a thousand times that.
fn heavy_tail(count: usize, least_ns: u64) -> Vec<u64> {
    let mut rng = Rng::new(13);
    (0..count).map(|_| nanoseconds(least_ns as f64 * (1.0 - rng.unit()).powf(-1.0 / 1.5))).collect()
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
    assert_efficient(
        "5,000 heavy tail from 1 ms, 4 hosts of 2",
        &vec![host(2); 4],
        &heavy_tail(5_000, MS),
        0.95,
    );
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
    let mut hosts = vec![host(2); 4];
    hosts.push(Nature { slowness: 5, ..host(2) });
    assert_efficient("10,000 of 1 ms, 4 hosts of 2 and a slow one", &hosts, &vec![MS; 10_000], 0.95);
    assert_efficient("2,000 of 20 ms, 4 hosts of 2 and a slow one", &hosts, &[20 * MS; 2_000], 0.95);
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
