//! Trees of coordinators: random ones with everything that goes wrong, each from its seed, and what a tree costs and saves
//! beside a flat cluster of the same workers.

use poolmap_scheduler::{ClassId, Config, Event, JobId, JobOptions};

use crate::cluster::{Cluster, Happening, Work};
use crate::faults::Seen;
use crate::node::Nature;
use crate::random_schedules::{Limits, Replay, nature, number, plan_job, plan_trouble, print, run_seeds};
use crate::relay::Rank;
use crate::rng::Rng;
use crate::trouble::Trouble;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const SEEDS: u64 = 200;
const JOB: JobId = JobId(1);
/// How many batches of a coordinator's workers a batch of its own parent is meant to be.
const BATCH_FACTOR: u64 = 8;

/// What must have happened at least once among all trees, beside what the flat schedules have.
const MUST_BE_SEEN: [&str; 22] = [
    "asked in vain",
    "attempts repeated",
    "batches stopped",
    "cancels that kill",
    "children died",
    "connections lost",
    "connections of hostile peers",
    "copies elsewhere",
    "drains",
    "evicted tasks run alone",
    "given back",
    "jobs halted",
    "pieces",
    "pieces stopped",
    "questions of relays",
    "relays crashed",
    "relays cut off",
    "relays delayed",
    "tasks failed for good",
    "trees of three levels",
    "workers given up",
    "workers killed by tasks",
];

#[test]
fn every_task_of_every_random_tree_gets_exactly_one_outcome() {
    if let Some(seed) = number("POOLMAP_TREE_SEED") {
        run_seed(seed);
        return;
    }
    let seeds = number("POOLMAP_TREE_SEEDS").unwrap_or(SEEDS);
    let seen = run_seeds(seeds, run_seed);
    print(&seen, seeds);
    for what in MUST_BE_SEEN {
        assert!(seeds < SEEDS || seen.count(what) > 0, "no tree tried: {what}");
    }
}

/// The tunables of a coordinator whose batches are to be so many times larger than those for a worker's slot.
fn coarse(factor: u64) -> Config {
    let config = Config::default();
    Config { target_batch_ns: config.target_batch_ns * factor, ..config }
}

fn rank(post: Option<usize>, slots: u32, factor: u64) -> Rank {
    Rank {
        post,
        slots,
        class: ClassId(0),
        delay_ns: 90 * US,
        piece_ns: Config::default().target_batch_ns * factor,
        // Twice, since a slot's two batches, the one that runs and the one ahead, take turns with their pieces.
        flush_ns: 2 * MS * factor * BATCH_FACTOR,
    }
}

/// One random tree of two or three levels, two in three of them in trouble.
fn run_seed(seed: u64) -> Seen {
    let _replay = Replay("POOLMAP_TREE_SEED", seed);
    let mut rng = Rng::new(seed);
    let is_deep = rng.percent(50);
    let factor = [1, 2, BATCH_FACTOR][rng.below(3) as usize];
    let mut cluster = Cluster::new(coarse(if is_deep { factor * factor } else { factor }), Rng::new(!seed));
    let is_calm = rng.percent(30);
    let mut limits = Limits::new(seed);
    plant(&mut cluster, &mut rng, &mut limits, is_deep, factor);
    for number in 1..=rng.within(1, 4) {
        plan_job(&mut cluster, &mut rng, &mut limits, JobId(number), is_calm);
    }
    if !is_calm {
        plan_trouble(&mut cluster, &mut rng);
        for trouble in [Trouble::RelayCrash, Trouble::RelayCut, Trouble::RelayCongestion] {
            for _ in 0..rng.below(4) {
                cluster.plan(rng.below(600 * MS), Happening::Goes(trouble));
            }
        }
    }
    cluster.run();
    cluster.assert_at_rest();
    cluster.seen
}

/// Up to three relays, those of a deep tree with up to two below each, with one to three workers at the ends, and maybe a
/// worker at the root itself.
fn plant(cluster: &mut Cluster, rng: &mut Rng, limits: &mut Limits, is_deep: bool, factor: u64) {
    if is_deep {
        cluster.seen.note("trees of three levels");
    }
    for _ in 0..rng.within(1, 3) {
        let class = limits.class();
        let twigs: Vec<Vec<Nature>> = (0..if is_deep { rng.within(1, 2) } else { 1 })
            .map(|_| (0..rng.within(1, 3)).map(|_| nature(rng, limits)).collect())
            .collect();
        let slots = |leaves: &[Nature]| leaves.iter().map(|leaf| leaf.slots).sum::<u32>();
        let all = twigs.iter().map(|leaves| slots(leaves)).sum();
        let flush_ns = [0, MS, 20 * MS][rng.below(3) as usize];
        let set_up = |rank: Rank| Rank { class, flush_ns, ..rank };
        let top = cluster.start_relay(set_up(rank(None, all, if is_deep { factor } else { 1 })));
        for leaves in twigs {
            let post =
                if is_deep { cluster.start_relay(set_up(rank(Some(top), slots(&leaves), 1))) } else { top };
            for leaf in leaves {
                let leaf = Nature { post: Some(post), ..leaf };
                cluster.plan(rng.below(20 * MS), Happening::Joins(leaf));
            }
        }
    }
    if rng.percent(20) {
        let at_root = nature(rng, limits);
        cluster.plan(0, Happening::Joins(at_root));
    }
}

/// Runs one job of so many equal workers of two slots at the ends of a tree: of each level, so many below each above.
fn run_job(branches: &[usize], durations_ns: &[u64]) -> Cluster {
    let levels = branches.len() as u32 - 1;
    let mut cluster = Cluster::new(coarse(BATCH_FACTOR.pow(levels)), Rng::new(1));
    let mut posts = vec![None];
    for (level, &branch) in branches[..levels as usize].iter().enumerate() {
        let leaves: usize = branches[level + 1..].iter().product();
        let above = levels - level as u32 - 1;
        let set_up = rank(None, 2 * leaves as u32, BATCH_FACTOR.pow(above));
        posts = posts.iter().flat_map(|&post| vec![post; branch]).collect();
        posts = posts.iter().map(|&post| Some(cluster.start_relay(Rank { post, ..set_up }))).collect();
    }
    for post in posts.iter().flat_map(|&post| vec![post; branches[levels as usize]]) {
        let leaf = Nature { slots: 2, post, class: ClassId(0), delay_ns: 90 * US, slowness: 1, flush_ns: MS };
        cluster.plan(0, Happening::Joins(leaf));
    }
    cluster.plan(0, Happening::Told(Event::JobSubmitted { job: JOB, options: JobOptions::default() }));
    for chunk in durations_ns.chunks(10_000) {
        let count = chunk.len() as u32;
        cluster.plan(0, Happening::Told(Event::TasksAdded { job: JOB, count }));
    }
    cluster.plan(0, Happening::Told(Event::JobClosed { job: JOB }));
    cluster.describe(JOB, Work { durations_ns: durations_ns.to_vec(), ..Work::default() });
    cluster.run();
    cluster.assert_at_rest();
    cluster
}

/// A tree may take so many hundredths of the flat cluster's time: each level adds a hop, and larger batches at the root.
const MOST_TIME_PERCENT: u64 = 105;

#[test]
fn a_tree_is_about_as_fast_as_a_flat_cluster() {
    let mut rng = Rng::new(5);
    let mut uneven = |count: usize, most_ns: u64| (0..count).map(|_| rng.below(most_ns)).collect::<Vec<_>>();
    for (name, durations_ns) in [
        ("10,000 of 1 ms", vec![MS; 10_000]),
        ("10,000 of 0 to 4 ms", uneven(10_000, 4 * MS)),
        ("3,000 of 0 to 40 ms", uneven(3_000, 40 * MS)),
    ] {
        let flat = run_job(&[8], &durations_ns);
        for branches in [&[2, 4][..], &[2, 2, 2]] {
            let tree = run_job(branches, &durations_ns);
            compare(&format!("{name}, tree of {branches:?}"), &flat, &tree);
            let (flat_ns, tree_ns) = (flat.done_at[&JOB], tree.done_at[&JOB]);
            assert!(
                tree_ns * 100 <= flat_ns * MOST_TIME_PERCENT,
                "{name}, tree of {branches:?}: {tree_ns} ns, flat {flat_ns} ns"
            );
        }
    }
}

/// In the middle of a job, that is: at its beginning and its end batches are small in any cluster.
#[test]
fn the_root_of_a_tree_hears_a_batch_factor_less() {
    let durations_ns = vec![MS; 24_000];
    let flat = run_job(&[4], &durations_ns);
    let tree = run_job(&[2, 2], &durations_ns);
    compare("24,000 of 1 ms, tree of [2, 2]", &flat, &tree);
    let in_the_middle = |cluster: &Cluster| {
        let done_at = cluster.done_at[&JOB];
        cluster.reported_at.iter().filter(|&&at| at > done_at / 4 && at < done_at / 4 * 3).count()
    };
    let (of_flat, of_tree) = (in_the_middle(&flat), in_the_middle(&tree));
    // A batch of the tree's root reports its begin and its outcomes as often as one of the flat cluster.
    let least = of_tree * BATCH_FACTOR as usize * 3 / 4;
    assert!(of_flat >= least, "{of_tree} reports, in the flat cluster {of_flat}");
}

#[expect(clippy::print_stderr, reason = "the figures are worth reading")]
fn compare(name: &str, flat: &Cluster, tree: &Cluster) {
    let ratio = |of: fn(&Cluster) -> f64| of(flat) / of(tree);
    let slower = 1.0 / ratio(|cluster| cluster.done_at[&JOB] as f64);
    let reports = ratio(|cluster| cluster.reported_at.len() as f64);
    let batches = ratio(|cluster| cluster.checked.ledger.last_batch as f64);
    eprintln!("{slower:.3} x the time, {reports:.1} x fewer reports, {batches:.1} x fewer batches  {name}");
}
