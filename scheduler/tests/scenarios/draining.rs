//! Workers that are about to leave.

use crate::story::*;

#[test]
fn a_draining_worker_gives_back_what_has_not_begun_and_gets_nothing_new() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 9);
    story.begun(1, 1);
    assert_eq!(story.drains(1), [take_back(1, 1, 2), take_back(1, 2, 3)]);
    assert_eq!(story.returned(1, 1, 1), []);
    assert_eq!(story.returned(1, 2, 0), []);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1)]);
    assert_eq!(story.scheduler.totals().idle_slots, 0, "its slot is not for use");
    assert_eq!(story.joins(2, 1)[0], assign(2, 3, 1, 3, 3));
}

#[test]
fn no_task_is_to_blame_when_a_draining_worker_leaves() {
    let mut story = Story::with_workers(&[1]);
    let options = poolmap_scheduler::JobOptions { crash_limit: 1, ..ordinary() };
    story.job(1, options, 1);
    story.begun(1, 1);
    assert_eq!(story.drains(1), []);
    assert_eq!(story.leaves(1), []);
    assert_eq!(story.joins(2, 1), [attempt(2, 2, 1, 0, 1, 2)]);
}

#[test]
fn a_worker_drains_once() {
    let mut story = Story::with_workers(&[1]);
    story.drains(1);
    assert_eq!(story.drains(1), []);
    assert_eq!(story.drains(7), []);
    assert_eq!(story.scheduler.ignored().reports(), 2);
}
