//! Children and workers that die.

use crate::story::*;

#[test]
fn only_the_task_that_ran_is_blamed_for_a_crash() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(5), 5);
    story.ended(1, 1, 2, MS);
    let expected = [attempt(1, 2, 1, 2, 1, 2), assign(1, 3, 1, 3, 2)];
    assert_eq!(story.crashed(1, 1, 2), expected, "task 2 again, alone; 3 and 4 as if nothing had happened");
}

#[test]
fn a_task_that_keeps_crashing_fails_alone() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 3);
    assert_eq!(story.crashed(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2), assign(1, 3, 1, 1, 1)]);
    assert_eq!(story.crashed(1, 2, 0), [attempt(1, 4, 1, 0, 1, 3)]);
    assert_eq!(story.crashed(1, 4, 0), [fail(1, 0, 3), assign(1, 5, 1, 2, 1)]);
    assert_eq!(story.ended(1, 3, 1, MS), [deliver(1, 1, 1)]);
    assert_eq!(story.ended(1, 5, 1, MS), [deliver(1, 2, 1), job_done(1)]);
}

#[test]
fn a_crash_limit_of_one_means_no_second_attempt() {
    let mut story = Story::with_workers(&[1]);
    let options = poolmap_scheduler::JobOptions { crash_limit: 1, ..ordinary() };
    story.job(1, options, 1);
    assert_eq!(story.crashed(1, 1, 0), [fail(1, 0, 1), job_done(1)]);
}

#[test]
fn a_lost_worker_costs_an_attempt_only_where_a_task_ran() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 2);
    story.begun(1, 1);
    assert_eq!(story.leaves(1), []);
    assert_eq!(story.joins(2, 2), [attempt(2, 3, 1, 0, 1, 2), assign(2, 4, 1, 1, 1)]);
}

#[test]
fn a_task_that_keeps_killing_workers_fails_like_one_that_kills_children() {
    let mut story = Story::new();
    story.job(1, ordinary(), 1);
    for life in 1..=2 {
        assert_eq!(story.joins(life, 1), [attempt(life, life, 1, 0, 1, life as u32)]);
        story.begun(life, life);
        assert_eq!(story.leaves(life), []);
    }
    story.joins(3, 1);
    story.begun(3, 3);
    assert_eq!(story.leaves(3), [fail(1, 0, 3), job_done(1)]);
}

#[test]
fn a_lost_workers_tasks_go_to_another_in_their_order() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(2), 4);
    assert_eq!(story.leaves(1), []);
    assert_eq!(story.joins(2, 1), [assign(2, 3, 1, 0, 2), assign(2, 4, 1, 2, 2)]);
}

#[test]
fn a_retry_that_did_not_begin_keeps_its_attempt() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    assert_eq!(story.crashed(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2)]);
    assert_eq!(story.leaves(1), []);
    assert_eq!(story.joins(2, 1), [attempt(2, 3, 1, 0, 1, 2)]);
}

#[test]
fn a_worker_that_is_taken_away_costs_an_attempt_and_no_crash() {
    let mut story = Story::new();
    story.job(1, ordinary(), 1);
    for life in 1..=5 {
        assert_eq!(story.joins(life, 1), [attempt(life, life, 1, 0, 1, life as u32)]);
        story.begun(life, life);
        assert_eq!(story.retires(life), []);
    }
}

#[test]
fn crashes_and_failures_are_counted_apart() {
    let mut story = Story::with_workers(&[1]);
    let options = poolmap_scheduler::JobOptions { retries: 2, ..ordinary() };
    story.job(1, options, 1);
    assert_eq!(story.crashed(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2)]);
    assert_eq!(story.failed(1, 2, 1, &[0]), [attempt(1, 3, 1, 0, 1, 3)]);
    assert_eq!(story.crashed(1, 3, 0), [attempt(1, 4, 1, 0, 1, 4)]);
    assert_eq!(story.failed(1, 4, 1, &[0]), [attempt(1, 5, 1, 0, 1, 5)]);
    assert_eq!(story.crashed(1, 5, 0), [fail(1, 0, 5), job_done(1)], "the third crash");
}
