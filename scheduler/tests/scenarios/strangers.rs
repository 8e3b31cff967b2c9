//! Reports that are late, repeated or wrong: counted, and without effect.

use poolmap_scheduler::{Event, TaskCounts, Time, WorkerId};

use crate::story::*;

#[test]
fn reports_of_a_finished_batch_are_late() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, ordinary());
    story.added(1, 1);
    story.ended(1, 1, 1, MS);
    assert_eq!(story.ended(1, 1, 1, MS), []);
    assert_eq!(story.returned(1, 1, 0), []);
    assert_eq!(story.crashed(1, 1, 0), []);
    assert_eq!(story.begun(1, 1), []);
    assert_eq!((story.scheduler.ignored().wrong, story.scheduler.ignored().late), (0, 4));
}

#[test]
fn a_lost_worker_that_still_speaks_is_not_heard() {
    let mut story = Story::with_workers(&[1, 1]);
    story.job(1, ordinary(), 1);
    story.begun(1, 1);
    assert_eq!(story.leaves(1), [attempt(2, 2, 1, 0, 1, 2)]);
    assert_eq!(story.ended(1, 1, 1, MS), [], "its outcome is void");
    assert_eq!(story.leaves(1), []);
    assert_eq!(story.scheduler.ignored().reports(), 2);
}

#[test]
fn a_report_that_says_too_much_has_no_effect_at_all() {
    let mut story = Story::with_workers(&[1, 1]);
    story.job(1, in_batches_of(5), 10);
    story.ended(1, 1, 2, MS);
    let before = story.scheduler.task_counts(poolmap_scheduler::JobId(1));
    assert_eq!(story.ended(1, 1, 4, MS), [], "more than there are");
    assert_eq!(story.ended(1, 1, 0, MS), [], "none");
    assert_eq!(story.ended(2, 1, 1, MS), [], "not its batch");
    assert_eq!(story.returned(1, 1, 6), [], "longer than it was");
    assert_eq!(story.returned(1, 1, 1), [], "shorter than what has ended");
    assert_eq!(story.crashed(1, 1, 1), [], "a task that has ended");
    assert_eq!(story.crashed(1, 1, 3), [], "not the next one");
    assert_eq!(story.begun(1, 1), [], "said before");
    assert_eq!(story.failed(1, 1, 2, &[2]), [], "a failure beyond those that ended");
    assert_eq!(story.failed(1, 1, 2, &[1, 0]), [], "failures in disorder");
    assert_eq!(story.failed(1, 1, 2, &[0, 0]), [], "a failure twice");
    assert_eq!(story.begun(1, 99), [], "a batch that was never handed out");
    assert_eq!((story.scheduler.ignored().wrong, story.scheduler.ignored().late), (12, 0));
    assert_eq!(story.scheduler.task_counts(poolmap_scheduler::JobId(1)), before);
}

#[test]
fn a_job_or_worker_that_exists_is_not_created_again() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, ordinary());
    story.submitted(1, ordinary());
    assert_eq!(story.joins(1, 5), []);
    assert_eq!(story.scheduler.totals().slots, 1);
    assert_eq!(story.scheduler.ignored().requests, 2);
}

#[test]
fn a_worker_cannot_claim_more_time_than_has_passed() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1_000);
    story.after(MS);
    let mut actions = Vec::new();
    let (worker, batch) = (WorkerId(1), poolmap_scheduler::BatchId(1));
    let event = Event::Ended { worker, batch, count: 1, busy_ns: u64::MAX, failed: Vec::new() };
    story.scheduler.handle(Time(MS), event, &mut actions);
    assert_eq!(actions, [deliver(1, 0, 1), assign(1, 3, 1, 2, 4)], "as for a millisecond");
}

#[test]
fn counts_follow_the_tasks() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(5), 20);
    story.ended(1, 1, 3, MS);
    let expected = TaskCounts { queued: 10, running: 7, done: 3 };
    assert_eq!(story.scheduler.task_counts(poolmap_scheduler::JobId(1)), Some(expected));
    assert_eq!(story.scheduler.totals().tasks, expected);
}
