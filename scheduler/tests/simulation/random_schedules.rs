//! Thousands of random clusters, each from its seed.

use poolmap_scheduler::{Config, Event, JobId, JobOptions};

use crate::cluster::{Cluster, Happening, Work};
use crate::faults::Seen;
use crate::node::Nature;
use crate::rng::Rng;

const MS: u64 = 1_000_000;
const SEEDS: u64 = 3_000;
/// Seeds that found a mistake once.
const KEPT: [u64; 0] = [];

/// What must have happened at least once among all schedules.
const MUST_BE_SEEN: [&str; 18] = [
    "children died",
    "tasks failed",
    "workers killed by tasks",
    "connections lost",
    "workers rejoined",
    "reports late",
    "garbage",
    "questions",
    "given back",
    "asked in vain",
    "asked too late",
    "given back unasked",
    "holds",
    "cancels in flight",
    "ranges cancelled",
    "stuck batches noticed",
    "jobs done",
    "deliveries",
];

#[test]
fn every_task_of_every_random_schedule_gets_exactly_one_outcome() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("POOLMAP_SIM_SEED") {
        run_seed(seed);
        return;
    }
    let seeds = number("POOLMAP_SIM_SEEDS").unwrap_or(SEEDS);
    let mut seen = Seen::default();
    for seed in KEPT.into_iter().chain(0..seeds) {
        seen.add(&run_seed(seed));
    }
    for what in MUST_BE_SEEN {
        assert!(seeds < SEEDS || seen.count(what) > 0, "no schedule tried: {what}");
    }
}

/// Tells how to repeat a run that panics.
struct Replay(u64);

impl Drop for Replay {
    #[expect(clippy::print_stderr, reason = "whoever sees the failure needs the seed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "replay with: POOLMAP_SIM_SEED={seed} cargo test -p poolmap-scheduler --test simulation"
            );
        }
    }
}

fn run_seed(seed: u64) -> Seen {
    let _replay = Replay(seed);
    let mut rng = Rng::new(seed);
    let mut cluster = Cluster::new(Config::default(), Rng::new(!seed));
    let is_calm = rng.percent(30);
    for _ in 0..rng.within(1, 5) {
        let at = rng.below(20 * MS);
        let nature = nature(&mut rng);
        cluster.plan(at, Happening::Joins(nature));
    }
    for number in 1..=rng.within(1, 4) {
        plan_job(&mut cluster, &mut rng, JobId(number), is_calm);
    }
    if !is_calm {
        plan_trouble(&mut cluster, &mut rng);
    }
    cluster.run();
    cluster.assert_at_rest();
    cluster.seen
}

fn nature(rng: &mut Rng) -> Nature {
    Nature {
        slots: rng.within(1, 4) as u32,
        delay_ns: [20_000, 100_000, MS, 10 * MS][rng.below(4) as usize],
        slowness: [1, 1, 1, 5][rng.below(4) as usize],
        flush_ns: [0, MS][rng.below(2) as usize],
    }
}

fn plan_job(cluster: &mut Cluster, rng: &mut Rng, job: JobId, is_calm: bool) {
    let options = JobOptions {
        priority: rng.below(3) as i32 - 1,
        crash_limit: rng.within(1, 3) as u32,
        max_tasks_per_child: rng.percent(30).then(|| rng.within(1, 12) as u32),
    };
    let mut at = rng.below(100 * MS);
    cluster.plan(at, Happening::Told(Event::JobSubmitted { job, options }));
    let mut durations_ns = Vec::new();
    for _ in 0..rng.below(6) {
        let count = rng.below(80);
        let typical_ns = [1_000, 100_000, MS, 30 * MS][rng.below(4) as usize];
        durations_ns.extend((0..count).map(|_| duration(rng, typical_ns)));
        cluster.plan(at, Happening::Told(Event::TasksAdded { job, count: count as u32 }));
        at += rng.below(5 * MS);
    }
    cluster.plan(at, Happening::Told(Event::JobClosed { job }));
    let kills = |rng: &mut Rng, often| if !is_calm && rng.percent(30) { rng.below(often) } else { 0 };
    let (kills_child, kills_worker) = (kills(rng, 50), kills(rng, 8));
    cluster.describe(job, Work { durations_ns, kills_child, kills_worker });
    if rng.percent(15) {
        cluster.plan(rng.below(300 * MS), Happening::Told(Event::JobCancelled { job }));
    }
    for _ in 0..rng.below(3) {
        let from = rng.below(300 * MS);
        cluster.plan(from, Happening::Told(Event::JobHeld { job, held: true }));
        cluster.plan(from + rng.below(100 * MS), Happening::Told(Event::JobHeld { job, held: false }));
    }
    cluster.plan(400 * MS, Happening::Told(Event::JobHeld { job, held: false }));
}

/// Mostly typical, sometimes much longer, rarely for ever as it seems.
fn duration(rng: &mut Rng, typical_ns: u64) -> u64 {
    match rng.below(100) {
        0 => 2_000 * MS,
        1..10 => typical_ns * 20,
        _ => rng.below(2 * typical_ns),
    }
}

fn plan_trouble(cluster: &mut Cluster, rng: &mut Rng) {
    for (often, happening) in
        [(4, Happening::CableCut), (20, Happening::Garbage), (10, Happening::GivesBackUnasked)]
    {
        for _ in 0..rng.below(often) {
            cluster.plan(rng.below(600 * MS), happening.clone());
        }
    }
}
