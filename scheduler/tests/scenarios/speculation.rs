//! Copies of tasks that take much longer than the others.

use poolmap_scheduler::JobOptions;

use crate::story::*;

/// Workers 1 and 2 of one slot; of two tasks of 50 ms, worker 2's has ended; worker 1's is late after 200 ms.
fn one_ended_and_one_late(options: &JobOptions) -> Story {
    let mut story = Story::with_workers(&[1, 1]);
    story.submitted(1, JobOptions { speculate: true, ..options.clone() });
    assert_eq!(story.added(1, 2), [assign(1, 1, 1, 0, 1), assign(2, 2, 1, 1, 1)]);
    story.begun(1, 1);
    story.begun(2, 2);
    story.ended(2, 2, 1, 50 * MS);
    story.closed(1);
    assert_eq!(story.after(140 * MS), []);
    story
}

fn copied(options: &JobOptions) -> Story {
    let mut story = one_ended_and_one_late(options);
    assert_eq!(story.after(20 * MS), [attempt(2, 3, 1, 0, 1, 2)]);
    assert_eq!(story.begun(2, 3), []);
    assert_eq!(story.after(10_000 * MS), [], "one copy is enough");
    story
}

#[test]
fn the_first_outcome_counts_and_the_other_batch_is_stopped() {
    let mut story = copied(&ordinary());
    let expected = [deliver_part(1, 0, 0, 1, 2), stop(1, 1), job_done(1)];
    assert_eq!(story.ended(2, 3, 1, MS), expected);
    assert_eq!(story.scheduler.totals().idle_slots, 1, "the loser's slot is not free yet");
    assert_eq!(story.returned(1, 1, 0), []);
    assert_eq!(story.scheduler.totals().idle_slots, 2);
}

#[test]
fn the_older_one_may_win_too() {
    let mut story = copied(&ordinary());
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1), stop(2, 3), job_done(1)]);
    assert_eq!(story.ended(2, 3, 1, MS), [], "too late");
    assert_eq!(story.scheduler.totals().idle_slots, 2);
}

#[test]
fn nothing_is_copied_unless_the_job_wants_it() {
    let mut story = Story::with_workers(&[1, 1]);
    story.job(1, ordinary(), 2);
    story.begun(1, 1);
    story.begun(2, 2);
    story.ended(2, 2, 1, 50 * MS);
    assert_eq!(story.scheduler.next_wakeup(), None);
    assert_eq!(story.after(10_000 * MS), []);
}

#[test]
fn nothing_is_copied_while_anything_waits() {
    let mut story = one_ended_and_one_late(&ordinary());
    assert_eq!(story.job(2, ordinary(), 2)[0], assign(2, 3, 2, 0, 1));
    assert_eq!(story.after(10_000 * MS), []);
}

#[test]
fn nothing_is_late_before_anything_has_ended() {
    let mut story = Story::with_workers(&[1, 1]);
    story.job(1, JobOptions { speculate: true, ..ordinary() }, 1);
    story.begun(1, 1);
    assert_eq!(story.scheduler.next_wakeup(), None);
}

#[test]
fn a_crash_of_one_costs_nothing_while_the_other_runs() {
    let mut story = copied(&JobOptions { crash_limit: 2, ..ordinary() });
    assert_eq!(story.crashed(2, 3, 0), []);
    assert_eq!(story.after(10_000 * MS), [], "and is not copied again");
    assert_eq!(story.crashed(1, 1, 0), [fail(1, 0, 1), job_done(1)], "the second crash");
}

#[test]
fn a_failure_of_one_with_a_retry_left_is_as_good_as_none() {
    let mut story = copied(&JobOptions { retries: 1, ..ordinary() });
    assert_eq!(story.failed(2, 3, 1, &[0]), []);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1), job_done(1)]);
}

#[test]
fn a_failure_of_one_without_a_retry_left_is_the_outcome() {
    let mut story = copied(&ordinary());
    assert_eq!(story.failed(2, 3, 1, &[0]), [deliver_part(1, 0, 0, 1, 2), stop(1, 1), job_done(1)]);
}

#[test]
fn attempts_after_a_copy_have_numbers_of_their_own() {
    let mut story = copied(&ordinary());
    assert_eq!(story.crashed(2, 3, 0), []);
    assert_eq!(story.crashed(1, 1, 0), [attempt(1, 4, 1, 0, 1, 3)]);
}

#[test]
fn a_lost_worker_costs_one_of_two_copies() {
    let mut story = copied(&ordinary());
    assert_eq!(story.leaves(1), []);
    assert_eq!(story.ended(2, 3, 1, MS), [deliver_part(1, 0, 0, 1, 2), job_done(1)]);
}

#[test]
fn both_are_stopped_with_their_job() {
    let mut story = copied(&ordinary());
    assert_eq!(story.killed(1), [stop(1, 1), stop(2, 3)]);
    assert_eq!(story.returned(1, 1, 0), []);
    assert_eq!(story.returned(2, 3, 0), [cancel(1, 0, 1), job_done(1)]);
}

#[test]
fn a_copy_that_did_not_begin_may_be_given_back() {
    let mut story = one_ended_and_one_late(&ordinary());
    story.after(20 * MS);
    assert_eq!(story.drains(2), [take_back(2, 3, 1)]);
    assert_eq!(story.returned(2, 3, 0), []);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 0, 1), job_done(1)]);
}
