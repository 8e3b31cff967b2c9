//! Tasks that were killed because memory ran short: they run again, with a worker to themselves.

use crate::story::*;

#[test]
fn an_evicted_task_gets_an_empty_worker_and_nothing_runs_beside_it() {
    let mut story = Story::with_workers(&[2]);
    story.job(1, ordinary(), 1);
    assert_eq!(story.evicted(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2)]);
    assert_eq!(story.job(2, ordinary(), 1), [], "the second slot idles");
    assert_eq!(story.ended(1, 2, 1, MS), [deliver_part(1, 0, 0, 1, 2), job_done(1), assign(1, 3, 2, 0, 1)]);
}

#[test]
fn the_others_of_an_evicted_batch_go_on_as_if_nothing_had_happened() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, in_batches_of(3), 3);
    assert_eq!(story.evicted(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2)]);
    assert_eq!(story.ended(1, 2, 1, MS)[..2], [deliver_part(1, 0, 0, 1, 2), assign(1, 3, 1, 1, 2)]);
}

#[test]
fn a_worker_is_emptied_for_an_evicted_task() {
    let mut story = Story::with_workers(&[2]);
    story.job(1, in_batches_of(2), 8);
    for batch in [1, 2] {
        story.begun(1, batch);
    }
    let expected = [take_back(1, 2, 1), take_back(1, 3, 2), take_back(1, 4, 1)];
    assert_eq!(story.evicted(1, 1, 0), expected);
    assert_eq!(story.returned(1, 2, 1), [], "nothing new for this worker");
    assert_eq!(story.returned(1, 3, 0), []);
    assert_eq!(story.returned(1, 4, 0), []);
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(1, 2, 1), attempt(1, 5, 1, 0, 1, 2)]);
}

#[test]
fn only_one_of_few_workers_is_emptied() {
    let mut story = Story::with_workers(&[1, 1]);
    story.job(1, ordinary(), 100);
    let actions = story.evicted(1, 1, 0);
    assert!(actions.contains(&take_back(1, 3, 1)), "{actions:?}");
    assert!(!actions.contains(&take_back(2, 4, 1)), "{actions:?}");
    assert_eq!(story.ended(2, 2, 1, MS), [deliver(1, 1, 1), assign(2, 5, 1, 4, 4)], "the other goes on");
    assert_eq!(story.returned(1, 3, 0), [attempt(1, 6, 1, 0, 1, 2)]);
}

#[test]
fn an_eviction_is_no_crash() {
    let mut story = Story::with_workers(&[1]);
    let options = poolmap_scheduler::JobOptions { crash_limit: 1, ..ordinary() };
    story.job(1, options, 1);
    assert_eq!(story.evicted(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2)]);
}

#[test]
fn a_task_that_is_evicted_ten_times_fails() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    for tried in 1..=9 {
        assert_eq!(story.evicted(1, tried, 0), [attempt(1, tried + 1, 1, 0, 1, tried as u32 + 1)]);
    }
    assert_eq!(story.evicted(1, 10, 0), [fail(1, 0, 10), job_done(1)]);
}

#[test]
fn an_evicted_task_that_crashes_or_fails_still_needs_a_worker_to_itself() {
    let mut story = Story::with_workers(&[2]);
    let options = poolmap_scheduler::JobOptions { retries: 1, ..ordinary() };
    story.job(1, options, 1);
    story.evicted(1, 1, 0);
    story.job(2, ordinary(), 1);
    assert_eq!(story.crashed(1, 2, 0), [attempt(1, 3, 1, 0, 1, 3)]);
    assert_eq!(story.failed(1, 3, 1, &[0]), [attempt(1, 4, 1, 0, 1, 4)]);
}

#[test]
fn an_evicted_task_waits_for_jobs_of_a_higher_priority() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    story.job(2, priority(1), 3);
    assert_eq!(story.evicted(1, 1, 0), [assign(1, 3, 2, 1, 1)]);
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(2, 0, 1), assign(1, 4, 2, 2, 1)]);
    story.ended(1, 3, 1, MS);
    assert_eq!(story.ended(1, 4, 1, MS), [deliver(2, 2, 1), job_done(2), attempt(1, 5, 1, 0, 1, 2)]);
}

#[test]
fn a_worker_is_not_kept_for_a_job_that_is_held() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, ordinary(), 1);
    story.held(1, true);
    assert_eq!(story.evicted(1, 1, 0), []);
    assert_eq!(story.job(2, ordinary(), 1), [assign(1, 2, 2, 0, 1)]);
    assert_eq!(story.held(1, false), [take_back(1, 2, 1)]);
    assert_eq!(story.ended(1, 2, 1, MS), [deliver(2, 0, 1), job_done(2), attempt(1, 3, 1, 0, 1, 2)]);
}

#[test]
fn a_worker_kept_for_a_job_is_free_again_when_that_is_cancelled() {
    let mut story = Story::with_workers(&[2]);
    story.job(1, ordinary(), 2);
    story.begun(1, 2);
    assert_eq!(story.evicted(1, 1, 0), []);
    assert_eq!(story.job(2, ordinary(), 1), []);
    assert_eq!(story.cancelled(1), [cancel(1, 0, 1), assign(1, 3, 2, 0, 1)]);
}
