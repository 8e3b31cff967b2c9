//! What the scheduler costs: nanoseconds and bytes per task, for few workers and many.
//!
//! ```text
//! cargo run --release -p poolmap-scheduler --example scale
//! ```
//!
//! Every batch ends as soon as its turn comes, on a virtual clock, so that nothing but the scheduler is
//! measured.
#![expect(clippy::print_stdout, reason = "a table is what this program is for")]

use std::collections::VecDeque;
use std::time::Instant;

use poolmap_scheduler::{
    Action, BatchId, ClassId, Config, Event, JobId, JobOptions, Scheduler, Time, WorkerId,
};

const TASKS: u64 = 10_000_000;
const CHUNK: u32 = 10_000;
const SLOTS: u32 = 2;
const JOB: JobId = JobId(1);

/// A batch that was handed out.
struct Running {
    worker: WorkerId,
    batch: BatchId,
    count: u32,
    ends_at: u64,
}

/// What one run cost.
struct Cost {
    tasks: u64,
    batches: u64,
    task_ns: f64,
    batch_ns: f64,
}

fn main() {
    for (chunk, how) in [(CHUNK, "in chunks of 10,000"), (1, "one by one")] {
        if let Some(bytes) = queued_bytes(TASKS, chunk) {
            println!("{TASKS} tasks that wait, added {how}: {bytes:.3} bytes per task");
        }
    }
    println!(
        "{:>8} {:>6} {:>9} {:>8} {:>8} {:>9}",
        "workers", "task", "tasks", "batches", "ns/task", "ns/batch"
    );
    for (name, task_ns) in [("10 us", 10_000), ("1 ms", 1_000_000), ("1 s", 1_000_000_000)] {
        for workers in [10, 100, 1_000, 10_000] {
            let Cost { tasks, batches, task_ns, batch_ns } = measure(workers, TASKS, task_ns);
            println!("{workers:>8} {name:>6} {tasks:>9} {batches:>8} {task_ns:>8.1} {batch_ns:>9.0}");
        }
    }
}

/// Queues the tasks of one job, lets workers come, and runs until all is done.
fn measure(workers: u64, tasks: u64, task_ns: u64) -> Cost {
    let begun = Instant::now();
    let mut actions = Vec::new();
    let mut scheduler = queue(tasks, CHUNK, &mut actions);
    scheduler.handle(Time(0), Event::JobClosed { job: JOB }, &mut actions);
    for worker in 1..=workers {
        let event = Event::WorkerJoined { worker: WorkerId(worker), slots: SLOTS, class: ClassId(0) };
        scheduler.handle(Time(0), event, &mut actions);
    }
    let batches = run(&mut scheduler, &mut actions, task_ns);
    let spent_ns = begun.elapsed().as_nanos() as f64;
    Cost {
        tasks: scheduler.totals().tasks.done,
        batches,
        task_ns: spent_ns / tasks as f64,
        batch_ns: spent_ns / batches as f64,
    }
}

/// A scheduler with so many tasks that wait.
fn queue(tasks: u64, chunk: u32, actions: &mut Vec<Action>) -> Scheduler {
    let mut scheduler = Scheduler::new(Config::default());
    let options = JobOptions::default();
    scheduler.handle(Time(0), Event::JobSubmitted { job: JOB, options }, actions);
    for _ in 0..tasks / u64::from(chunk) {
        scheduler.handle(Time(0), Event::TasksAdded { job: JOB, count: chunk }, actions);
    }
    scheduler
}

/// What a task that waits costs, where the system tells.
fn queued_bytes(tasks: u64, chunk: u32) -> Option<f64> {
    let before = resident_bytes()?;
    let scheduler = queue(tasks, chunk, &mut Vec::new());
    let bytes = resident_bytes()?.saturating_sub(before) as f64 / tasks as f64;
    drop(scheduler);
    Some(bytes)
}

/// Ends batch after batch until there are none; returns how many there were.
fn run(scheduler: &mut Scheduler, actions: &mut Vec<Action>, task_ns: u64) -> u64 {
    let (mut running, mut now, mut batches) = (VecDeque::new(), 0, 0);
    loop {
        for action in actions.drain(..) {
            if let Action::Assign { worker, batch, count, .. } = action {
                running.push_back(Running {
                    worker,
                    batch,
                    count,
                    ends_at: now + u64::from(count) * task_ns,
                });
                batches += 1;
            }
        }
        let Some(Running { worker, batch, count, ends_at }) = running.pop_front() else { return batches };
        now = ends_at.max(now);
        let busy_ns = u64::from(count) * task_ns;
        scheduler.handle(Time(now), Event::Begun { worker, batch }, actions);
        scheduler.handle(
            Time(now),
            Event::Ended { worker, batch, count, busy_ns, failed: Vec::new() },
            actions,
        );
    }
}

/// Resident memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}
