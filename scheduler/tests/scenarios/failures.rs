//! Tasks that fail: tried again if the job says so, and how many are too many.

use poolmap_scheduler::{Action, Halt, JobOptions};

use crate::story::*;

const SECOND: u64 = 1_000 * MS;

fn retried(retries: u32, retry_delay_ns: u64) -> JobOptions {
    JobOptions { retries, retry_delay_ns, ..in_batches_of(6) }
}

fn halting(halt: Halt) -> JobOptions {
    JobOptions { halt, ..in_batches_of(4) }
}

#[test]
fn a_failure_is_an_outcome_unless_retries_are_left() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 3);
    assert_eq!(story.failed(1, 1, 3, &[0, 2]), [deliver(1, 0, 3), job_done(1)]);
}

#[test]
fn a_failed_task_runs_again_and_the_outcomes_around_it_are_delivered() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(1, 0), 6);
    let expected = [
        deliver_part(1, 0, 0, 1, 1),
        deliver_part(1, 2, 2, 2, 1),
        deliver_part(1, 5, 5, 1, 1),
        attempt(1, 2, 1, 1, 1, 2),
        attempt(1, 3, 1, 4, 1, 2),
    ];
    assert_eq!(story.failed(1, 1, 6, &[1, 4]), expected);
    assert_eq!(story.ended(1, 2, 1, MS), [deliver_part(1, 1, 0, 1, 2)]);
    let last = [deliver_part(1, 4, 0, 1, 2), job_done(1)];
    assert_eq!(story.failed(1, 3, 1, &[0]), last, "it failed again, and that is its outcome");
}

#[test]
fn offsets_count_from_the_first_task_of_the_report() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(1, 0), 6);
    story.ended(1, 1, 2, MS);
    let expected = [deliver_part(1, 3, 1, 1, 1), attempt(1, 2, 1, 2, 1, 2)];
    assert_eq!(story.failed(1, 1, 2, &[0]), expected);
}

#[test]
fn a_retry_waits_for_its_time() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(2, SECOND), 1);
    assert_eq!(story.failed(1, 1, 1, &[0]), []);
    assert_eq!(story.after(700 * MS), []);
    assert!(story.scheduler.next_wakeup().is_some());
    assert_eq!(story.after(600 * MS), [attempt(1, 2, 1, 0, 1, 2)]);
    assert_eq!(story.scheduler.next_wakeup(), None);
    assert_eq!(story.failed(1, 2, 1, &[0]), []);
    assert_eq!(story.after(1_400 * MS), [], "twice as long");
    assert_eq!(story.after(1_200 * MS), [attempt(1, 3, 1, 0, 1, 3)]);
}

#[test]
fn others_run_while_a_retry_waits() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(1, SECOND), 8);
    assert_eq!(story.failed(1, 1, 6, &[0]), [deliver_part(1, 1, 1, 5, 1), assign(1, 3, 1, 7, 1)]);
}

#[test]
fn a_retry_that_waits_is_cancelled_with_its_job() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(1, SECOND), 1);
    story.failed(1, 1, 1, &[0]);
    assert_eq!(story.cancelled(1), [cancel(1, 0, 1), job_done(1)]);
    assert_eq!(story.scheduler.next_wakeup(), None);
}

#[test]
fn a_held_job_keeps_its_retries() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(1, SECOND), 1);
    story.failed(1, 1, 1, &[0]);
    story.held(1, true);
    assert_eq!(story.after(2 * SECOND), []);
    assert_eq!(story.held(1, false), [attempt(1, 2, 1, 0, 1, 2)]);
}

#[test]
fn a_failed_task_of_a_cancelled_job_is_not_tried_again() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, retried(1, 0), 1);
    story.begun(1, 1);
    story.cancelled(1);
    assert_eq!(story.failed(1, 1, 1, &[0]), [deliver(1, 0, 1), job_done(1)]);
}

#[test]
fn the_first_failure_halts_a_job_that_wants_it() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, halting(Halt::AfterFailures(1)), 20);
    let expected = [deliver(1, 0, 2), halted(1), cancel(1, 8, 12), stop(1, 1), stop(1, 2)];
    assert_eq!(story.failed(1, 1, 2, &[1]), expected);
    assert_eq!(story.failed(1, 1, 1, &[0]), [deliver(1, 2, 1)], "once is enough");
    assert_eq!(story.returned(1, 1, 3), [cancel(1, 3, 1)]);
    assert_eq!(story.returned(1, 2, 0), [cancel(1, 4, 4), job_done(1)]);
}

#[test]
fn only_final_failures_halt_a_job() {
    let mut story = Story::with_workers(&[1]);
    let options = JobOptions { retries: 1, ..halting(Halt::AfterFailures(1)) };
    story.job(1, options, 1);
    assert_eq!(story.failed(1, 1, 1, &[0]), [attempt(1, 2, 1, 0, 1, 2)]);
    let expected = [deliver_part(1, 0, 0, 1, 2), halted(1), job_done(1)];
    assert_eq!(story.failed(1, 2, 1, &[0]), expected);
}

#[test]
fn a_task_that_keeps_crashing_is_a_failure() {
    let mut story = Story::with_workers(&[2]);
    let options = JobOptions { crash_limit: 1, halt: Halt::AfterFailures(1), ..ordinary() };
    story.job(1, options, 2);
    assert_eq!(story.crashed(1, 1, 0), [fail(1, 0, 1), halted(1), stop(1, 2)]);
}

#[test]
fn nothing_is_stopped_on_a_worker_that_is_lost() {
    let mut story = Story::with_workers(&[2]);
    let options = JobOptions { crash_limit: 1, halt: Halt::AfterFailures(1), ..ordinary() };
    story.job(1, options, 3);
    story.begun(1, 1);
    assert_eq!(story.leaves(1), [fail(1, 0, 1), halted(1), cancel(1, 1, 2), job_done(1)]);
}

#[test]
fn a_share_of_failures_is_judged_once_a_hundred_tasks_are_done() {
    let mut story = Story::with_workers(&[1]);
    let options = JobOptions { halt: Halt::AfterShare { percent: 5 }, ..in_batches_of(99) };
    story.job(1, options, 1_000);
    assert_eq!(story.failed(1, 1, 99, &[1, 2, 3, 4, 5])[0], deliver(1, 0, 99));
    let actions = story.ended(1, 2, 1, 0);
    assert_eq!(actions[..2], [deliver(1, 99, 1), halted(1)], "5 of 100");
}

#[test]
fn a_share_of_failures_below_the_limit_halts_nothing() {
    let mut story = Story::with_workers(&[1]);
    let options = JobOptions { halt: Halt::AfterShare { percent: 5 }, ..in_batches_of(100) };
    story.job(1, options, 1_000);
    let actions = story.failed(1, 1, 100, &[1, 2, 3, 4]);
    assert!(!actions.iter().any(|action| matches!(action, Action::JobHalted { .. })));
}

#[test]
fn a_share_of_a_small_job_is_judged_when_all_is_done() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, halting(Halt::AfterShare { percent: 50 }), 4);
    assert_eq!(story.failed(1, 1, 3, &[0, 1, 2]), [deliver(1, 0, 3)]);
    assert_eq!(story.ended(1, 1, 1, MS), [deliver(1, 3, 1), halted(1), job_done(1)]);
}
