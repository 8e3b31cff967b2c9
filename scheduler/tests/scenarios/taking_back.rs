//! Tasks that were handed out and not begun go to slots that idle.

use crate::story::*;

/// Worker 1 has two batches of 10 tasks of `each_ns`, the first of which has run one task; worker 2 has come
/// since and idles.
fn two_batches_and_an_idle_slot(each_ns: u64) -> (Story, Vec<poolmap_scheduler::Action>) {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(10), 20);
    story.begun(1, 1);
    story.ended(1, 1, 1, each_ns);
    let actions = story.joins(2, 1);
    (story, actions)
}

#[test]
fn an_idle_slot_asks_for_half_of_the_batch_that_waits() {
    let (mut story, actions) = two_batches_and_an_idle_slot(MS);
    assert_eq!(actions, [take_back(1, 2, 5)]);
    assert_eq!(story.returned(1, 2, 5), [assign(2, 3, 1, 15, 5)]);
}

#[test]
fn one_idle_slot_asks_one_question_at_a_time() {
    let (mut story, _) = two_batches_and_an_idle_slot(MS);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 1, 1)]);
    assert_eq!(story.joins(3, 1), [take_back(1, 1, 4)], "a second idle slot asks another batch");
}

#[test]
fn an_answer_in_vain_is_not_asked_for_again_until_the_batch_progresses() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(4), 4);
    story.ended(1, 1, 1, 10 * MS);
    assert_eq!(story.joins(2, 1), [take_back(1, 1, 1)]);
    assert_eq!(story.returned(1, 1, 4), []);
    assert_eq!(story.after(1_000 * MS), []);
    assert_eq!(story.ended(1, 1, 1, 10 * MS), [deliver(1, 1, 1), take_back(1, 1, 1)]);
}

#[test]
fn little_that_will_soon_be_done_is_left_alone() {
    let (_, actions) = two_batches_and_an_idle_slot(10 * US);
    assert_eq!(actions, []);
}

#[test]
fn little_that_sits_behind_a_stuck_task_is_taken_back_whole() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(10), 10);
    story.ended(1, 1, 1, 10 * US);
    assert_eq!(story.joins(2, 1), []);
    assert!(story.scheduler.next_wakeup().is_some());
    assert_eq!(story.after(50 * MS), [], "reports may be that late");
    assert_eq!(story.after(15 * MS), [take_back(1, 1, 8)]);
    assert_eq!(story.scheduler.next_wakeup(), None, "there is nothing to wait for");
    assert_eq!(story.returned(1, 1, 2), [assign(2, 2, 1, 2, 8)], "and handed out again");
}

#[test]
fn a_batch_that_waits_for_its_new_child_is_left_whole() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(10), 20);
    story.begun(1, 1);
    story.ended(1, 1, 10, US);
    assert_eq!(story.joins(2, 1), []);
    assert_eq!(story.after(900 * MS), []);
    assert_eq!(story.after(200 * MS), [take_back(1, 2, 10)], "it may be stuck after all");
}

#[test]
fn a_task_that_is_about_to_begin_is_not_asked_for() {
    let mut story = Story::with_workers(&[4]);
    assert_eq!(story.job(1, ordinary(), 1), [assign(1, 1, 1, 0, 1)]);
    assert_eq!(story.begun(1, 1), []);
    assert_eq!(story.scheduler.next_wakeup(), None);
}

#[test]
fn a_task_that_waits_ahead_is_asked_for() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 2);
    assert_eq!(story.joins(2, 1), [take_back(1, 2, 1)]);
    assert_eq!(story.returned(1, 2, 0), [assign(2, 3, 1, 1, 1)]);
}

#[test]
fn nothing_is_taken_back_while_something_waits() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(10), 30);
    assert_eq!(story.joins(2, 1), [assign(2, 3, 1, 20, 1), assign(2, 4, 1, 21, 1)]);
    assert_eq!(story.ended(2, 3, 1, 10 * MS), [deliver(1, 20, 1), assign(2, 5, 1, 22, 2)]);
}

#[test]
fn a_held_job_is_not_asked() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(10), 10);
    story.held(1, true);
    assert_eq!(story.joins(2, 1), []);
    assert_eq!(story.held(1, false), [take_back(1, 1, 5)]);
}

#[test]
fn a_batch_may_come_back_unasked_as_often_as_it_likes() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(5), 5);
    story.begun(1, 1);
    assert_eq!(story.returned(1, 1, 3), [assign(1, 2, 1, 3, 1)]);
    assert_eq!(story.returned(1, 1, 3), []);
    assert_eq!(story.returned(1, 1, 0), [assign(1, 3, 1, 0, 1)]);
}
