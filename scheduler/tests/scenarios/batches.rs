//! Handing out: who gets how many tasks, and when.

use crate::story::*;

#[test]
fn every_slot_gets_a_task_and_another_one_ahead() {
    let mut story = Story::with_workers(&[2]);
    let expected =
        [assign(1, 1, 1, 0, 1), assign(1, 2, 1, 1, 1), assign(1, 3, 1, 2, 1), assign(1, 4, 1, 3, 1)];
    assert_eq!(story.job(1, ordinary(), 10), expected);
}

#[test]
fn a_batch_that_ends_makes_room_for_a_larger_one() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1_000);
    assert_eq!(story.ended(1, 1, 1, 10 * US), [deliver(1, 0, 1), assign(1, 3, 1, 2, 4)]);
    assert_eq!(story.ended(1, 2, 1, 10 * US), [deliver(1, 1, 1), assign(1, 4, 1, 6, 4)]);
    assert_eq!(story.ended(1, 3, 4, 10 * US), [deliver(1, 2, 4), assign(1, 5, 1, 10, 16)]);
}

#[test]
fn outcomes_are_delivered_while_the_rest_of_their_batch_runs() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(5), 5);
    assert_eq!(story.ended(1, 1, 2, MS), [deliver(1, 0, 2)]);
    assert_eq!(story.ended(1, 1, 3, MS), [deliver(1, 2, 3), job_done(1)]);
}

#[test]
fn tasks_of_half_a_second_and_more_are_not_sent_ahead() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 10);
    assert_eq!(
        story.ended(1, 1, 1, 600 * MS),
        [deliver(1, 0, 1)],
        "one was sent ahead before that was known"
    );
    assert_eq!(story.ended(1, 2, 1, 600 * MS), [deliver(1, 1, 1), assign(1, 3, 1, 2, 1)]);
}

#[test]
fn free_slots_of_any_worker_come_before_room_ahead() {
    let mut story = Story::with_workers(&[1, 2]);
    let expected = [
        assign(1, 1, 1, 0, 1),
        assign(2, 2, 1, 1, 1),
        assign(2, 3, 1, 2, 1),
        assign(1, 4, 1, 3, 1),
        assign(2, 5, 1, 4, 1),
    ];
    assert_eq!(story.job(1, ordinary(), 5), expected);
}

#[test]
fn no_batch_spans_two_chunks() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, in_batches_of(4));
    assert_eq!(story.added(1, 6), [assign(1, 1, 1, 0, 4), assign(1, 2, 1, 4, 1)]);
    assert_eq!(story.added(1, 6), []);
    assert_eq!(story.ended(1, 1, 4, US), [deliver(1, 0, 4), assign(1, 3, 1, 5, 1)]);
}

#[test]
fn a_worker_that_comes_late_starts_at_once() {
    let mut story = Story::new();
    assert_eq!(story.job(1, ordinary(), 1), []);
    assert_eq!(story.joins(1, 4), [assign(1, 1, 1, 0, 1)]);
}

#[test]
fn a_job_without_tasks_is_done_when_it_is_closed() {
    let mut story = Story::new();
    story.submitted(1, ordinary());
    assert_eq!(story.closed(1), [job_done(1)]);
}

#[test]
fn an_open_job_is_not_done_when_its_tasks_are() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, ordinary());
    assert_eq!(story.added(1, 1), [assign(1, 1, 1, 0, 1)]);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1)]);
    assert_eq!(story.added(1, 1), [assign(1, 2, 1, 1, 1)]);
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(1, 1, 1)]);
    assert_eq!(story.closed(1), [job_done(1)]);
}

#[test]
fn a_held_job_finishes_what_is_out_and_hands_out_nothing() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 4);
    assert_eq!(story.held(1, true), []);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1)]);
    assert_eq!(story.job(2, ordinary(), 1), [assign(1, 3, 2, 0, 1)], "another job goes on");
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(1, 1, 1)]);
    assert_eq!(story.held(1, false), [assign(1, 4, 1, 2, 1)]);
}
