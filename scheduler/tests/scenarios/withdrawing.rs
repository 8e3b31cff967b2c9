//! Single tasks that are cancelled while their job goes on.

use crate::story::*;

#[test]
fn a_task_that_waits_is_cancelled_at_once() {
    let mut story = Story::new();
    story.job(1, ordinary(), 5);
    assert_eq!(story.withdrawn(1, 2, 1), [cancel(1, 2, 1)]);
    assert_eq!(story.withdrawn(1, 2, 1), [], "it has its outcome");
    assert_eq!(story.withdrawn(1, 0, 9), [cancel(1, 0, 2), cancel(1, 3, 2), job_done(1)]);
}

#[test]
fn a_task_that_was_handed_out_and_has_not_begun_comes_back_to_be_cancelled() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 3);
    story.begun(1, 1);
    assert_eq!(story.withdrawn(1, 1, 1), [take_back(1, 1, 2)]);
    let actions = story.returned(1, 1, 1);
    assert_eq!(actions.first(), Some(&cancel(1, 1, 1)));
    assert_eq!(story.ended(1, 1, 1, MS).first(), Some(&deliver(1, 0, 1)));
}

#[test]
fn a_task_that_runs_is_stopped() {
    let mut story = Story::with_workers(&[1]);
    story.submitted(1, ordinary());
    story.added(1, 1);
    story.begun(1, 1);
    assert_eq!(story.withdrawn(1, 0, 1), [take_back(1, 1, 1)]);
    assert_eq!(story.returned(1, 1, 1), [stop(1, 1)], "it has begun");
    assert_eq!(story.returned(1, 1, 0), [cancel(1, 0, 1)]);
}

#[test]
fn a_task_that_ended_before_it_was_stopped_is_delivered() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    story.begun(1, 1);
    story.withdrawn(1, 0, 1);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1), job_done(1)]);
}

#[test]
fn a_task_that_was_cancelled_is_not_tried_again_when_its_child_dies() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    story.begun(1, 1);
    story.withdrawn(1, 0, 1);
    assert_eq!(story.crashed(1, 1, 0), [cancel(1, 0, 1), job_done(1)]);
}

#[test]
fn what_was_handed_out_is_left_alone_if_only_what_waits_is_to_go() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 5);
    assert_eq!(story.withdrawn_gently(1, 0, 5), [cancel(1, 2, 3)]);
    story.ended(1, 1, 1, MS);
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(1, 1, 1), job_done(1)]);
}

#[test]
fn tasks_of_a_job_that_is_not_known_or_is_cancelled_are_nobodys() {
    let mut story = Story::with_workers(&[1]);
    assert_eq!(story.withdrawn(7, 0, 1), []);
    story.job(1, ordinary(), 1);
    story.cancelled(1);
    assert_eq!(story.withdrawn(1, 0, 1), []);
    assert_eq!(story.scheduler.ignored().requests, 2);
}
