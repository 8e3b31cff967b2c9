//! Jobs that not every worker may run.

use poolmap_scheduler::{Action, JobId, JobOptions};

use crate::story::*;

#[test]
fn a_job_runs_only_where_it_may() {
    let mut story = Story::new();
    story.joins_class(1, 1, 0);
    story.joins_class(2, 1, 7);
    let expected = [assign(2, 1, 1, 0, 1), assign(2, 2, 1, 1, 1)];
    assert_eq!(story.job(1, only(&[7]), 3), expected, "worker 1 idles");
    assert_eq!(story.scheduler.totals().idle_slots, 1);
}

#[test]
fn a_job_that_finds_no_worker_stands_in_nobodys_way() {
    let mut story = Story::with_workers(&[1]);
    assert_eq!(story.job(1, JobOptions { priority: 9, ..only(&[7]) }, 5), []);
    assert_eq!(story.job(2, ordinary(), 1), [assign(1, 1, 2, 0, 1)]);
    assert_eq!(story.joins_class(2, 1, 7), [assign(2, 2, 1, 0, 1), assign(2, 3, 1, 1, 1)]);
}

#[test]
fn jobs_with_and_without_limits_share_the_workers_that_both_may_use() {
    let mut story = Story::new();
    story.joins_class(1, 1, 7);
    story.job(1, ordinary(), 100);
    for batch in 1..=20 {
        story.ended(1, batch, 1, 30 * MS);
    }
    story.job(2, only(&[7]), 100);
    let mut turns = [0; 2];
    let (mut batch, mut last) = (21, 22);
    while batch <= 60 {
        for action in story.ended(1, batch, 1, 30 * MS) {
            if let Action::Assign { batch, job, .. } = action {
                turns[job.0 as usize - 1] += 1;
                last = last.max(batch.0);
            }
        }
        batch += 1;
    }
    assert!(turns[0] >= 19 && turns[1] >= 19, "{turns:?}");
}

#[test]
fn a_new_job_does_not_wait_for_what_another_could_not_have() {
    let mut story = Story::new();
    story.joins_class(1, 8, 0);
    story.joins_class(2, 1, 7);
    story.job(1, only(&[0]), 1_000);
    story.job(2, only(&[7]), 1_000);
    for batch in 1..=8 {
        story.ended(1, batch, 1, 100 * MS);
    }
    assert_eq!(story.job(3, only(&[7]), 10), [], "its worker is busy");
    let next = story.ended(2, 17, 1, MS).pop();
    assert!(matches!(next, Some(Action::Assign { job: JobId(3), .. })), "{next:?}");
}

#[test]
fn an_idle_slot_takes_over_only_what_it_may_run() {
    let mut story = Story::new();
    story.joins_class(1, 1, 7);
    story.job(1, JobOptions { max_tasks_per_child: Some(4), ..only(&[7]) }, 8);
    story.begun(1, 1);
    assert_eq!(story.joins_class(2, 1, 0), [], "this one may not");
    assert_eq!(story.joins_class(3, 1, 7), [take_back(1, 2, 2)]);
}

#[test]
fn a_copy_goes_only_where_it_may_run() {
    let mut story = Story::new();
    story.joins_class(1, 1, 7);
    story.joins_class(2, 1, 7);
    story.joins_class(3, 1, 0);
    story.job(1, JobOptions { speculate: true, ..only(&[7]) }, 2);
    story.begun(1, 1);
    story.begun(2, 2);
    story.ended(2, 2, 1, 50 * MS);
    assert_eq!(story.after(200 * MS), [attempt(2, 3, 1, 0, 1, 2)]);
}

#[test]
fn a_worker_is_emptied_only_for_a_task_that_may_run_there() {
    let mut story = Story::new();
    story.joins_class(1, 1, 7);
    story.joins_class(2, 1, 0);
    story.job(2, only(&[0]), 3);
    story.job(1, only(&[7]), 3);
    let actions = story.evicted(1, 3, 0);
    assert!(
        !actions.iter().any(|action| matches!(action, Action::TakeBack { worker, .. } if worker.0 == 2)),
        "{actions:?}"
    );
    assert_eq!(story.returned(1, 4, 0), [attempt(1, 5, 1, 0, 1, 2)]);
}

#[test]
fn an_evicted_task_takes_another_worker_than_the_one_that_a_more_urgent_job_waits_for() {
    let mut story = Story::new();
    story.joins_class(1, 1, 0);
    story.job(1, ordinary(), 1);
    story.job(2, JobOptions { priority: 1, ..only(&[7]) }, 1);
    assert_eq!(story.evicted(1, 1, 0), [attempt(1, 2, 1, 0, 1, 2)]);
}

#[test]
fn what_a_worker_may_not_run_any_more_runs_elsewhere_and_nobody_is_blamed() {
    let mut story = Story::with_workers(&[1]);
    story.job(1, JobOptions { crash_limit: 1, ..in_batches_of(2) }, 4);
    story.begun(1, 1);
    assert_eq!(story.limited(1, &[0]), []);
    assert_eq!(story.classed(1, 7), [stop(1, 2), stop(1, 1)]);
    assert_eq!(story.returned(1, 1, 0), [], "too late");
    let actions = story.joins(2, 2);
    assert_eq!(actions[..2], [attempt(2, 3, 1, 0, 1, 2), assign(2, 4, 1, 1, 1)], "{actions:?}");
    assert_eq!(story.scheduler.ignored().late, 1);
}

#[test]
fn a_worker_that_may_run_more_gets_more() {
    let mut story = Story::with_workers(&[1]);
    assert_eq!(story.job(1, only(&[7]), 1), []);
    assert_eq!(story.classed(1, 7), [assign(1, 1, 1, 0, 1)]);
}

#[test]
fn a_job_that_may_run_elsewhere_goes_there() {
    let mut story = Story::with_workers(&[1]);
    assert_eq!(story.job(1, only(&[7]), 1), []);
    assert_eq!(story.limited(1, &[0, 7]), [assign(1, 1, 1, 0, 1)]);
    assert_eq!(story.limited(1, &[7]), [stop(1, 1)]);
    assert_eq!(story.joins_class(2, 1, 7), [assign(2, 2, 1, 0, 1)]);
}

#[test]
fn limits_of_strangers_are_counted_and_ignored() {
    let mut story = Story::with_workers(&[1]);
    assert_eq!(story.limited(9, &[0]), []);
    assert_eq!(story.classed(9, 7), []);
    let ignored = story.scheduler.ignored();
    assert_eq!((ignored.requests, ignored.late), (1, 1));
}
