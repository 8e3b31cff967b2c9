//! Jobs that are stopped.

use crate::story::*;

#[test]
fn what_waits_is_cancelled_and_what_is_out_is_asked_for() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 10);
    story.begun(1, 1);
    assert_eq!(story.cancelled(1), [cancel(1, 6, 4), take_back(1, 1, 2), take_back(1, 2, 3)]);
    assert_eq!(story.returned(1, 1, 1), [cancel(1, 1, 2)]);
    assert_eq!(story.returned(1, 2, 0), [cancel(1, 3, 3)]);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1), job_done(1)], "what ran is delivered");
}

#[test]
fn chunks_that_wait_are_cancelled_as_one_range() {
    let mut story = Story::new();
    story.submitted(1, ordinary());
    story.added(1, 5);
    story.added(1, 7);
    assert_eq!(story.cancelled(1), [cancel(1, 0, 12), job_done(1)]);
}

#[test]
fn a_crashed_task_of_a_cancelled_job_is_not_tried_again() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 3);
    story.begun(1, 1);
    assert_eq!(story.cancelled(1), [take_back(1, 1, 2)]);
    assert_eq!(story.crashed(1, 1, 0), [cancel(1, 1, 2), cancel(1, 0, 1), job_done(1)]);
}

#[test]
fn a_lost_worker_ends_a_cancelled_job() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 2);
    story.cancelled(1);
    assert_eq!(story.leaves(1), [cancel(1, 1, 1), cancel(1, 0, 1), job_done(1)]);
}

#[test]
fn a_held_job_can_be_cancelled() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, ordinary());
    story.held(1, true);
    assert_eq!(story.added(1, 3), []);
    assert_eq!(story.cancelled(1), [cancel(1, 0, 3), job_done(1)]);
}

#[test]
fn a_cancelled_job_takes_no_more_tasks() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, ordinary());
    story.added(1, 1);
    story.cancelled(1);
    assert_eq!(story.added(1, 5), []);
    assert_eq!(story.scheduler.ignored().requests, 1);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1), job_done(1)]);
}

#[test]
fn what_runs_is_stopped_if_asked_for() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 10);
    story.ended(1, 1, 1, MS);
    assert_eq!(story.killed(1), [cancel(1, 6, 4), stop(1, 1), stop(1, 2)]);
    assert_eq!(story.returned(1, 1, 1), [cancel(1, 1, 2)], "one ran, one had not begun");
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(1, 3, 1)], "it ended before it heard");
    assert_eq!(story.returned(1, 2, 1), [cancel(1, 4, 2), job_done(1)]);
}

#[test]
fn a_job_that_was_cancelled_gently_may_be_stopped_for_good() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    story.begun(1, 1);
    assert_eq!(story.cancelled(1), []);
    assert_eq!(story.killed(1), [stop(1, 1)]);
    assert_eq!(story.killed(1), []);
    assert_eq!(story.cancelled(1), []);
    assert_eq!(story.scheduler.ignored().requests, 2);
    assert_eq!(story.returned(1, 1, 0), [cancel(1, 0, 1), job_done(1)]);
}
