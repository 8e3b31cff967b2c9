//! What clients ask for: submitting, adding tasks, reading, cancelling, asking how it stands.

use poolmap_coordinator::Config;
use poolmap_proto::v1::{
    CancelRequest, Function, JobSpec, JobStatus, OutcomesRequest, StatusRequest, SubmitRequest, TaskChunk,
};
use tonic::Code;

use crate::model::{Cluster, Way, chunk, eventually, soon, spec};

fn cluster() -> Cluster {
    Cluster::start(Config::default())
}

#[tokio::test]
async fn a_job_needs_a_function() {
    let cluster = cluster();
    let without =
        [None, Some(JobSpec::default()), Some(JobSpec { function: Some(Function::default()), ..spec() })];
    for spec in without {
        let status = soon(cluster.jobs().await.submit(SubmitRequest { spec })).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_job_without_tasks_ends_when_it_is_closed() {
    for way in [Way::InProcess, Way::UnixSocket] {
        let cluster = Cluster::reached_by(way, Config::default());
        let finished = cluster.job_of(&[]).await.finish().await;
        assert_eq!((finished.end.tasks, finished.end.failed, finished.outcomes.len()), (0, 0, 0));
        assert_eq!(finished.end.error, "");
    }
}

#[tokio::test]
async fn chunks_follow_each_other_without_gaps() {
    let cluster = cluster();
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b"]).await;
    for first_index in [3, u64::MAX] {
        let status = job.request(Some(chunk(first_index, &["c"])), false).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("where task 2 follows"), "{status}");
    }
    job.add(&["c"]).await;
    assert_eq!(job.status().await.tasks, 3);
}

#[tokio::test]
async fn a_chunk_that_contradicts_itself_is_refused_and_the_job_goes_on() {
    let cluster = cluster();
    let mut job = cluster.submit(spec()).await;
    for lengths in [vec![2], vec![], vec![u32::MAX, u32::MAX]] {
        let bad = TaskChunk { first_index: 0, lengths, payloads: b"a".as_slice().into() };
        assert_eq!(job.request(Some(bad), false).await.unwrap_err().code(), Code::InvalidArgument);
    }
    job.add(&["a"]).await;
}

#[tokio::test]
async fn a_closed_job_takes_no_tasks() {
    let cluster = cluster();
    let mut job = cluster.job_of(&["a"]).await;
    let status = job.request(Some(chunk(1, &["b"])), false).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("closed"), "{status}");
    assert_eq!(job.request(None, true).await.unwrap(), 1, "closing it again says what was known");
}

#[tokio::test]
async fn a_job_that_never_was_is_not_found() {
    let cluster = cluster();
    let mut job = cluster.job_of(&["a"]).await;
    job.id = 77;
    let added = job.request(Some(chunk(0, &["a"])), false).await.unwrap_err();
    let closed = job.request(None, true).await.unwrap_err();
    let status = soon(job.jobs.status(StatusRequest { job_id: 77, wait: false })).await.unwrap_err();
    let cancelled = soon(job.jobs.cancel(CancelRequest { job_id: 77, running: false })).await.unwrap_err();
    let read = job.outcomes_at(0).await.unwrap_err();
    for status in [added, closed, status, cancelled, read] {
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("job 77"), "{status}");
    }
}

#[tokio::test]
async fn a_status_counts_what_waits_runs_and_has_ended() {
    let cluster = cluster();
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b", "c"]).await;
    let waits_for = "no worker is attached".to_owned();
    let open = JobStatus { job_id: job.id, tasks: 3, waits_for, ..JobStatus::default() };
    assert_eq!(JobStatus { submitted_ms: 0, ..job.status().await }, open);
    let mut worker = cluster.worker("one", 1).await;
    let batch = worker.batch().await;
    let running = batch.tasks.as_ref().unwrap().lengths.len() as u64;
    worker.report(batch.batch_id, &["A"]).await;
    job.close().await;
    eventually(async || job.status().await.done == 1).await;
    let now = job.status().await;
    assert_eq!((now.tasks, now.failed, now.closed), (3, 0, true));
    assert!(now.running >= running - 1 && now.running <= 2, "{now:?}");
}

#[tokio::test]
async fn a_job_whose_end_was_read_and_confirmed_is_gone() {
    let cluster = cluster();
    let mut worker = cluster.worker("one", 1).await;
    let mut job = cluster.job_of(&["a"]).await;
    worker.echo_until_job_ends().await;
    let mut unconfirmed = job.read_from(0).await;
    while soon(unconfirmed.message()).await.unwrap().unwrap().end.is_none() {}
    assert_eq!(job.status().await.done, 1, "read, but not confirmed");
    job.finish().await;
    let status = job.outcomes_at(0).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "job 1 has ended and was forgotten: all its outcomes were read");
}

#[tokio::test]
async fn a_reader_goes_on_from_its_cursor_and_what_lies_before_it_is_gone() {
    let cluster = cluster();
    let mut worker = cluster.worker("one", 1).await;
    tokio::spawn(async move { worker.echo_until_job_ends().await });
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b", "c"]).await;
    eventually(async || job.status().await.done == 3).await;
    assert_eq!(job.outcomes_at(0).await.unwrap().cursor, 3);
    job.add(&["d"]).await;
    let rest = job.outcomes_at(3).await.unwrap();
    assert_eq!((rest.cursor, rest.runs[0].first_index, &rest.runs[0].values[..]), (4, 3, &b"d"[..]));
    let status = job.outcomes_at(0).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("outcomes from 0 on were asked for"), "{status}");
}

#[tokio::test]
async fn a_cursor_after_the_last_outcome_is_out_of_range() {
    let cluster = cluster();
    let mut job = cluster.job_of(&["a"]).await;
    for cursor in [1, u64::MAX] {
        let status = job.outcomes_at(cursor).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange);
        assert!(status.message().contains(&cursor.to_string()), "{status}");
    }
}

#[tokio::test]
async fn a_newer_reader_takes_the_place_of_an_older_one() {
    let cluster = cluster();
    let mut job = cluster.job_of(&["a"]).await;
    let mut older = job.read_from(0).await;
    let waiting = tokio::spawn(async move { soon(older.message()).await });
    eventually(async || {
        let request = OutcomesRequest { job_id: job.id, cursor: 0 };
        let mut newer = job.jobs.outcomes(tokio_stream::once(request)).await.unwrap().into_inner();
        let _no_outcome = tokio::time::timeout(std::time::Duration::from_millis(5), newer.message()).await;
        waiting.is_finished()
    })
    .await;
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Aborted);
    cluster.worker("one", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn cancelling_a_job_gives_every_task_that_did_not_begin_that_outcome() {
    let cluster = cluster();
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b", "c", "d"]).await;
    soon(job.jobs.cancel(CancelRequest { job_id: job.id, running: false })).await.unwrap();
    let refused = job.request(Some(chunk(4, &["e"])), false).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let finished = job.finish().await;
    assert_eq!((finished.end.tasks, finished.end.failed), (4, 4));
    assert!(finished.outcomes.values().all(|outcome| *outcome == Err("cancelled".to_owned())));
}
