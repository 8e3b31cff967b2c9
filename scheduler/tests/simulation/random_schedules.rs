//! Thousands of random clusters, each from its seed.

use poolmap_scheduler::{ClassId, Classes, Config, Event, Halt, JobId, JobOptions, WorkerId};

use crate::cluster::{Cluster, Happening, Work};
use crate::faults::Seen;
use crate::node::Nature;
use crate::rng::Rng;
use crate::trouble::Trouble;

const MS: u64 = 1_000_000;
const SEEDS: u64 = 2_000;
/// Seeds that found a mistake once.
const KEPT: [u64; 2] = [2_437, 6_234];

/// What must have happened at least once among all schedules.
const MUST_BE_SEEN: [&str; 45] = [
    "attempts failed",
    "attempts repeated",
    "asked in vain",
    "asked too late",
    "batches",
    "batches stopped",
    "cancels that kill",
    "cancels that let run",
    "children died",
    "connections lost",
    "connections of hostile peers",
    "copies elsewhere",
    "copies on the same worker",
    "delays",
    "deliveries",
    "drains",
    "duplicates",
    "evicted tasks run alone",
    "evictions",
    "garbage",
    "given back",
    "given back unasked",
    "holds",
    "jobs done",
    "jobs halted",
    "jobs limited",
    "messages dropped",
    "questions",
    "ranges cancelled",
    "reordered reports",
    "reports late",
    "slow workers",
    "slowdowns",
    "stopped before it began",
    "stopped too late",
    "stuck batches noticed",
    "tasks failed for good",
    "tasks stopped",
    "wake-ups",
    "workers classed",
    "workers crashed",
    "workers given up",
    "workers killed by tasks",
    "workers rejoined",
    "workers stopped",
];

#[test]
fn every_task_of_every_random_schedule_gets_exactly_one_outcome() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("POOLMAP_SIM_SEED") {
        run_seed(seed);
        return;
    }
    let seeds = number("POOLMAP_SIM_SEEDS").unwrap_or(SEEDS);
    let mut seen = run_seeds(seeds);
    for seed in KEPT {
        seen.add(&run_seed(seed));
    }
    print(&seen, seeds);
    for what in MUST_BE_SEEN {
        assert!(seeds < SEEDS || seen.count(what) > 0, "no schedule tried: {what}");
    }
}

/// Runs the seeds below `seeds` on all processors.
fn run_seeds(seeds: u64) -> Seen {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let run = |from| move || (from as u64..seeds).step_by(threads).map(run_seed).collect::<Vec<_>>();
        let running: Vec<_> = (0..threads).map(|from| scope.spawn(run(from))).collect();
        for all in running {
            let all = all.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            for one in &all {
                seen.add(one);
            }
        }
    });
    seen
}

#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
fn print(seen: &Seen, seeds: u64) {
    eprintln!("{seeds} schedules:");
    for (what, times) in seen.iter() {
        eprintln!("{times:>9}  {what}");
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
    let mut limits = Limits::new(seed);
    for _ in 0..rng.within(1, 5) {
        let at = rng.below(20 * MS);
        let nature = nature(&mut rng, &mut limits);
        cluster.plan(at, Happening::Joins(nature));
    }
    for number in 1..=rng.within(1, 4) {
        plan_job(&mut cluster, &mut rng, &mut limits, JobId(number), is_calm);
    }
    limits.plan_classes(&mut cluster);
    if !is_calm {
        plan_trouble(&mut cluster, &mut rng);
    }
    cluster.run();
    cluster.assert_at_rest();
    cluster.seen
}

/// Which workers may run which jobs. Random numbers of their own leave all else of a seed as it is.
struct Limits {
    rng: Rng,
    classes: u64,
}

impl Limits {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xC1A5);
        let classes = if rng.percent(50) { 1 } else { 3 };
        Self { rng, classes }
    }

    fn class(&mut self) -> ClassId {
        ClassId(self.rng.below(self.classes))
    }

    fn classes(&mut self) -> Classes {
        if self.classes == 1 || self.rng.percent(40) {
            return Classes::All;
        }
        (0..self.rng.below(3)).map(|_| self.class()).collect()
    }

    /// Changes of a job's limits; in the end it may run everywhere.
    fn plan_limits(&mut self, cluster: &mut Cluster, job: JobId) {
        if self.classes == 1 {
            return;
        }
        for _ in 0..self.rng.below(3) {
            let (at, classes) = (self.rng.below(400 * MS), self.classes());
            cluster.plan(at, Happening::Told(Event::JobLimited { job, classes }));
        }
        cluster.plan(400 * MS, Happening::Told(Event::JobLimited { job, classes: Classes::All }));
    }

    fn plan_classes(&mut self, cluster: &mut Cluster) {
        for _ in 0..self.rng.below(2 * self.classes - 1) {
            let (worker, class) = (WorkerId(self.rng.within(1, 6)), self.class());
            cluster.plan(self.rng.below(400 * MS), Happening::Told(Event::WorkerClassed { worker, class }));
        }
    }
}

fn nature(rng: &mut Rng, limits: &mut Limits) -> Nature {
    Nature {
        class: limits.class(),
        slots: rng.within(1, 4) as u32,
        delay_ns: [20_000, 100_000, MS, 10 * MS][rng.below(4) as usize],
        slowness: [1, 1, 1, 5][rng.below(4) as usize],
        flush_ns: [0, MS][rng.below(2) as usize],
    }
}

fn plan_job(cluster: &mut Cluster, rng: &mut Rng, limits: &mut Limits, job: JobId, is_calm: bool) {
    let options = JobOptions { classes: limits.classes(), ..options(rng, is_calm) };
    limits.plan_limits(cluster, job);
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
    let (fails, dawdles) = (kills(rng, 50), kills(rng, 10));
    cluster.describe(job, Work { durations_ns, kills_child, kills_worker, fails, dawdles });
    if rng.percent(20) {
        let (from, to) = [(0, 1), (1, 2), (0, 2)][rng.below(3) as usize];
        for &kills_running in &[false, true][from..to] {
            let at = rng.below(300 * MS);
            cluster.plan(at, Happening::Told(Event::JobCancelled { job, kills_running }));
        }
    }
    for _ in 0..rng.below(3) {
        let from = rng.below(300 * MS);
        cluster.plan(from, Happening::Told(Event::JobHeld { job, held: true }));
        cluster.plan(from + rng.below(100 * MS), Happening::Told(Event::JobHeld { job, held: false }));
    }
    cluster.plan(400 * MS, Happening::Told(Event::JobHeld { job, held: false }));
}

fn options(rng: &mut Rng, is_calm: bool) -> JobOptions {
    let halt = match rng.below(8) {
        0 if !is_calm => Halt::AfterFailures(rng.within(1, 20)),
        1 if !is_calm => Halt::AfterShare { percent: rng.within(1, 40) as u8 },
        _ => Halt::Never,
    };
    JobOptions {
        priority: rng.below(3) as i32 - 1,
        crash_limit: rng.within(1, 3) as u32,
        max_tasks_per_child: rng.percent(30).then(|| rng.within(1, 12) as u32),
        retries: if rng.percent(40) { rng.within(1, 3) as u32 } else { 0 },
        retry_delay_ns: [0, MS, 50 * MS][rng.below(3) as usize],
        halt,
        speculate: rng.percent(40),
        classes: Classes::All,
    }
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
    let kinds = [
        (3, Trouble::WorkerCrash),
        (3, Trouble::CableCut),
        (3, Trouble::Congestion),
        (2, Trouble::Slowdown),
        (3, Trouble::Sleep),
        (6, Trouble::Eviction),
        (2, Trouble::Drain),
        (2, Trouble::Forgery),
        (20, Trouble::Garbage),
        (10, Trouble::GivesBackUnasked),
    ];
    for (often, trouble) in kinds {
        for _ in 0..rng.below(often) {
            cluster.plan(rng.below(600 * MS), Happening::Goes(trouble));
        }
    }
}
