//! Clients that come and go: what happens to their jobs, and what others see of them.

use std::time::Duration;

use poolmap_coordinator::Config;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::{JobSpec, ListRequest, OutcomesRequest, PauseRequest, StatusRequest};
use tonic::Code;

use crate::model::{Cluster, Job, Way, chunk, eventually, soon, spec};

/// Far less than a test takes, and enough for a stream to be opened.
const BRIEF: Duration = Duration::from_millis(200);

fn detached() -> JobSpec {
    JobSpec { detached: true, ..spec() }
}

/// All outcomes, without confirming any.
async fn read_all(job: &mut Job) -> u64 {
    let mut stream = job.read_from(0).await;
    let mut count = 0;
    loop {
        let answer = soon(stream.message()).await.unwrap().unwrap();
        count += answer.runs.iter().map(|run| run.lengths.len() as u64 + run.cancelled).sum::<u64>();
        if answer.end.is_some() {
            return count;
        }
    }
}

#[tokio::test]
async fn a_job_whose_client_is_gone_is_cancelled() {
    let cluster = Cluster::start(Config { client_timeout: BRIEF, ..Config::default() });
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b"]).await;
    eventually(async || job.status().await.end.is_some()).await;
    let status = job.status().await;
    let end = status.end.unwrap();
    assert_eq!((end.failed, end.stopped.as_str()), (2, "its client was gone for 0.2 s"));
    let refused = job.outcomes_at(0).await.unwrap_err();
    assert!(refused.message().contains("dropped: its client was gone"), "{refused}");
}

#[tokio::test]
async fn a_job_whose_client_is_there_goes_on() {
    for way in [Way::InProcess, Way::UnixSocket] {
        let cluster = Cluster::reached_by(way, Config { client_timeout: BRIEF, ..Config::default() });
        let mut job = cluster.submit(spec()).await;
        let (stream, confirm) = job.read_confirming(0).await;
        job.add(&["a"]).await;
        let asked = StatusRequest { job_id: job.id, wait: true };
        let ended = tokio::time::timeout(5 * BRIEF, job.jobs.status(asked)).await;
        assert!(ended.is_err(), "its reader is there: {ended:?}");
        drop((stream, confirm));
        eventually(async || job.status().await.end.is_some()).await;
    }
}

#[tokio::test]
async fn a_detached_job_goes_on_without_its_client_with_what_it_has() {
    let cluster = Cluster::start(Config { client_timeout: BRIEF, ..Config::default() });
    let mut job = cluster.submit(detached()).await;
    job.add(&["a", "b"]).await;
    let mut whole = cluster.submit(detached()).await;
    whole.add(&["c"]).await;
    whole.close().await;
    eventually(async || job.status().await.closed).await;
    let mut worker = cluster.worker("one", 1).await;
    worker.echo_until_job_ends().await;
    let end = soon(job.jobs.status(StatusRequest { job_id: job.id, wait: true })).await.unwrap().into_inner();
    let stopped = end.job.unwrap().end.unwrap().stopped;
    assert_eq!(stopped, "its client was gone for 0.2 s before it had sent all tasks; it had sent 2");
    assert_eq!(job.finish().await.values(), ["a", "b"]);
    worker.echo_until_job_ends().await;
    assert_eq!(whole.finish().await.end.stopped, "");
}

#[tokio::test]
async fn all_outcomes_of_a_detached_job_are_kept_and_anybody_may_read_them_from_anywhere() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.submit(detached()).await;
    let mut other = job.read_from(0).await;
    job.add(&["a", "b", "c"]).await;
    job.close().await;
    cluster.worker("one", 1).await.echo_until_job_ends().await;
    for _ in 0..2 {
        assert_eq!(job.finish().await.values(), ["a", "b", "c"], "confirming frees nothing");
    }
    assert!(soon(other.message()).await.unwrap().is_some(), "several may read at once");
    let rest = job.outcomes_at(2).await.unwrap();
    assert_eq!((rest.cursor, rest.runs[0].first_index), (3, 2));
}

#[tokio::test]
async fn outcomes_for_which_memory_has_no_room_are_kept_in_a_file() {
    const TASKS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let spill_folder = Some(folder.path().to_owned());
    let cluster = Cluster::start(Config { unread_bytes_max: 100_000, spill_folder, ..Config::default() });
    let tasks: Vec<String> = (0..TASKS).map(|index| format!("{index:010000}")).collect();
    let mut job = cluster.submit(detached()).await;
    for chunk in tasks.chunks(40) {
        job.add(chunk).await;
    }
    job.close().await;
    cluster.worker("one", 2).await.echo_until_job_ends().await;
    assert_eq!(read_all(&mut job).await, TASKS as u64);
    assert_eq!(job.finish().await.values(), tasks, "and again");
    let middle = job.outcomes_at(17).await.unwrap();
    assert!(middle.cursor > 17 && middle.runs[0].lengths.len() as u64 <= middle.cursor - 17);
}

#[tokio::test]
async fn a_detached_job_is_held_if_its_outcomes_cannot_be_kept() {
    for spill_folder in [None, Some("/nowhere/at/all".into())] {
        let config = Config { unread_bytes_max: 20_000, spill_folder, ..Config::default() };
        let cluster = Cluster::start(config);
        let mut worker = cluster.worker("one", 1).await;
        tokio::spawn(async move { worker.echo_until_job_ends().await });
        let mut job = cluster.submit(detached()).await;
        for _ in 0..40 {
            job.add(&vec!["x".repeat(1000); 10]).await;
        }
        job.close().await;
        eventually(async || !job.status().await.waits_for.is_empty()).await;
        let status = job.status().await;
        assert!(status.done < 400 && status.end.is_none(), "{status:?}");
        assert!(status.waits_for.contains("fill the memory"), "{status:?}");
    }
}

#[tokio::test]
async fn what_has_ended_is_forgotten_after_a_while_and_that_is_said() {
    let cluster = Cluster::start(Config { retention: BRIEF, ..Config::default() });
    let mut job = cluster.submit(detached()).await;
    job.close().await;
    eventually(async || job.outcomes_at(0).await.is_err()).await;
    let status = job.outcomes_at(0).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "job 1 has ended and was forgotten: it ended too long ago");
    job.id = 7;
    let status = job.outcomes_at(0).await.unwrap_err();
    assert_eq!(status.message(), "there is no job 7, nor ever was");
}

#[tokio::test]
async fn only_what_is_confirmed_makes_room_for_more() {
    let cluster = Cluster::start(Config { unread_bytes_max: 20_000, ..Config::default() });
    let mut worker = cluster.worker("one", 1).await;
    tokio::spawn(async move { worker.echo_until_job_ends().await });
    let mut job = cluster.submit(spec()).await;
    let (mut stream, confirm) = job.read_confirming(0).await;
    for _ in 0..40 {
        job.add(&vec!["x".repeat(1000); 10]).await;
    }
    job.close().await;
    let (mut cursor, mut held) = (0, 0);
    loop {
        let waits = tokio::time::timeout(BRIEF, stream.message()).await;
        match waits {
            Ok(answer) => {
                let answer = answer.unwrap().unwrap();
                cursor = answer.cursor;
                if answer.end.is_some() {
                    break;
                }
            }
            Err(_elapsed) => {
                held += 1;
                assert_eq!(job.status().await.waits_for, "its outcomes are not read");
                confirm.send(OutcomesRequest { job_id: job.id, cursor }).await.unwrap();
            }
        }
    }
    assert!(held > 0 && cursor == 400, "held {held} times, {cursor} outcomes");
}

#[tokio::test]
async fn tasks_that_are_sent_again_are_ignored() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b"]).await;
    assert_eq!(job.request(Some(chunk(0, &["a", "b"])), false).await.unwrap(), 2);
    assert_eq!(job.request(Some(chunk(1, &["b", "c"])), false).await.unwrap(), 3);
    assert_eq!(job.request(None, true).await.unwrap(), 3);
    assert_eq!(job.request(Some(chunk(1, &["b", "c"])), true).await.unwrap(), 3, "closed or not");
    cluster.worker("one", 1).await.echo_until_job_ends().await;
    assert_eq!(job.finish().await.values(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_paused_job_hands_out_nothing_until_it_goes_on() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.submit(spec()).await;
    let pause = |job: &Job, paused| PauseRequest { job_id: job.id, paused };
    soon(job.jobs.pause(pause(&job, true))).await.unwrap();
    let mut worker = cluster.worker("one", 1).await;
    job.add(&["a"]).await;
    job.close().await;
    let status = job.status().await;
    assert_eq!((status.paused, status.running, status.waits_for.as_str()), (true, 0, "it is paused"));
    soon(job.jobs.pause(pause(&job, false))).await.unwrap();
    worker.echo_until_job_ends().await;
    let late = soon(job.jobs.pause(pause(&job, true))).await.unwrap_err();
    assert_eq!((late.code(), late.message()), (Code::FailedPrecondition, "job 1 has ended"));
    assert_eq!(job.finish().await.values(), ["a"]);
}

#[tokio::test]
async fn all_jobs_are_listed_with_how_they_stand() {
    let cluster = Cluster::start(Config::default());
    let named =
        JobSpec { name: "first".to_owned(), priority: 3, labels: vec!["gpu".to_owned()], ..detached() };
    let mut first = cluster.submit(named).await;
    first.add(&["a"]).await;
    let mut second = cluster.submit(detached()).await;
    second.close().await;
    let jobs = soon(first.jobs.list(ListRequest {})).await.unwrap().into_inner().jobs;
    let [one, two] = &jobs[..] else { panic!("{jobs:?}") };
    assert_eq!((one.job_id, one.name.as_str(), one.priority, one.detached), (1, "first", 3, true));
    assert_eq!((one.tasks, one.waits_for.as_str()), (1, "no worker is attached"));
    assert!(one.submitted_ms > 0 && one.ended_ms == 0 && one.end.is_none());
    assert!(two.job_id == 2 && two.ended_ms >= two.submitted_ms && two.end.is_some());
}

#[tokio::test]
async fn who_waits_for_a_job_is_told_of_its_end() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.job_of(&["a"]).await;
    let (mut jobs, job_id) = (job.jobs.clone(), job.id);
    let waiting = tokio::spawn(async move { jobs.status(StatusRequest { job_id, wait: true }).await });
    let mut worker = cluster.worker("one", 1).await;
    let Kind::JobStarted(_) = worker.next().await else { panic!("the job is announced") };
    assert!(!waiting.is_finished());
    worker.echo_until_job_ends().await;
    let status = soon(waiting).await.unwrap().unwrap().into_inner().job.unwrap();
    assert_eq!((status.done, status.end.is_some()), (1, true));
    assert_eq!(job.finish().await.values(), ["a"]);
}
