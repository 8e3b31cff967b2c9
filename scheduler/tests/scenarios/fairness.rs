//! Several jobs at once.

use crate::story::*;

#[test]
fn a_small_job_behind_a_huge_one_gets_the_next_free_place() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 4_000_000);
    story.ended(1, 1, 1, 10 * US);
    assert_eq!(story.job(2, ordinary(), 2), []);
    assert_eq!(story.ended(1, 2, 1, 10 * US), [deliver(1, 1, 1), assign(1, 4, 2, 0, 1)]);
}

#[test]
fn the_higher_priority_goes_first() {
    let mut story = Story::new();
    story.job(1, priority(0), 2);
    story.job(2, priority(1), 2);
    let expected =
        [assign(1, 1, 2, 0, 1), assign(1, 2, 2, 1, 1), assign(1, 3, 1, 0, 1), assign(1, 4, 1, 1, 1)];
    assert_eq!(story.joins(1, 2), expected);
}

#[test]
fn equal_jobs_share_slot_time_and_not_tasks() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 100);
    story.job(2, ordinary(), 100);
    let mut running = [(1_u64, 1_u64), (2, 1)].map(|(batch, job)| (batch, job)).to_vec();
    let mut busy_ms = [0_u64; 2];
    for _ in 0..60 {
        let (batch, job) = running.remove(0);
        let each_ms = if job == 1 { 60 } else { 30 };
        for action in story.ended(1, batch, 1, each_ms * MS) {
            if let poolmap_scheduler::Action::Assign { batch, job, .. } = action {
                running.push((batch.0, job.0));
            }
        }
        if let Some(busy_ms) = busy_ms.get_mut(job as usize - 1) {
            *busy_ms += each_ms;
        }
    }
    let [first, second] = busy_ms;
    assert!(first.abs_diff(second) <= 120, "{first} ms and {second} ms");
}

#[test]
fn a_job_that_may_not_be_sent_ahead_keeps_its_turn() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 10);
    story.ended(1, 1, 1, 600 * MS);
    story.ended(1, 2, 1, 600 * MS);
    assert_eq!(story.job(2, priority(-1), 5), [], "its tasks would keep the slot from the more urgent job");
    assert_eq!(story.ended(1, 3, 1, 600 * MS), [deliver(1, 2, 1), assign(1, 4, 1, 3, 1)]);
}
