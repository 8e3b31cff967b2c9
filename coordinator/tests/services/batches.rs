//! Batches out, outcomes back: each task with its own payload, each outcome once.

use poolmap_coordinator::Config;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Batch, BatchOutcomes, Begun, Detail, JobSpec};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::model::{Cluster, Way, Worker, payloads, run, soon, spec};

/// Payloads of many lengths, none like another.
fn distinct(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{index}{}", "x".repeat(index % 7))).collect()
}

/// Holds several batches at once and reports their tasks bit by bit, in random order.
async fn dawdle(mut worker: Worker, mut rng: StdRng) {
    let mut held: Vec<(Batch, usize)> = Vec::new();
    loop {
        while held.is_empty() || rng.random_bool(0.5) {
            match worker.try_next().await {
                Some(Kind::Batch(batch)) => held.push((batch, 0)),
                Some(Kind::JobEnded(_)) => return,
                Some(_) => {}
                None => break,
            }
        }
        if held.is_empty() {
            continue;
        }
        let place = rng.random_range(0..held.len());
        let (batch, done) = &mut held[place];
        let values = payloads(batch);
        let until = rng.random_range(*done + 1..=values.len());
        worker.report(batch.batch_id, &values[*done..until]).await;
        *done = until;
        if until == values.len() {
            held.swap_remove(place);
        }
    }
}

#[tokio::test]
async fn every_outcome_is_delivered_once_whatever_the_order() {
    for (way, seed) in [(Way::InProcess, 1), (Way::InProcess, 2), (Way::UnixSocket, 3), (Way::UnixSocket, 4)]
    {
        let mut rng = StdRng::seed_from_u64(seed);
        let cluster = Cluster::reached_by(way, Config::default());
        for (name, slots) in [("a", 1), ("b", 3), ("c", 2)] {
            let worker = cluster.worker(name, slots).await;
            tokio::spawn(dawdle(worker, StdRng::seed_from_u64(rng.random())));
        }
        let tasks = distinct(2000);
        let mut job = cluster.submit(spec()).await;
        let mut rest = &tasks[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rng.random_range(1..=rest.len().min(300)));
            job.add(now).await;
            rest = later;
        }
        job.close().await;
        assert_eq!(job.finish().await.values(), tasks, "seed {seed}");
    }
}

#[tokio::test]
async fn a_worker_is_told_of_a_job_once_before_its_first_batch_and_when_it_ends() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("one", 1).await;
    let mut job = cluster.submit(JobSpec { details: true, ..spec() }).await;
    job.add(&distinct(50)).await;
    let Kind::JobStarted(started) = worker.next().await else { panic!("the job is announced first") };
    assert_eq!((started.job_id, started.details), (job.id, true));
    assert_eq!(started.function, spec().function);
    job.close().await;
    loop {
        match worker.next().await {
            Kind::Batch(batch) => {
                assert_eq!((batch.job_id, batch.attempt), (job.id, 1));
                worker.echo(&batch).await;
            }
            Kind::JobEnded(ended) => break assert_eq!(ended.job_id, job.id),
            other => panic!("this worker knows the job already, and gets {other:?}"),
        }
    }
    assert_eq!(job.finish().await.values(), distinct(50));
}

#[tokio::test]
async fn the_coordinator_fills_in_who_ran_a_task_and_in_which_attempt() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("host-7", 1).await;
    let mut job = cluster.submit(JobSpec { details: true, ..spec() }).await;
    job.add(&["a"]).await;
    let batch = worker.batch().await;
    let details = vec![Detail { attempt: 99, seconds: 0.5, ..Detail::default() }];
    let forged = poolmap_proto::v1::OutcomeRun {
        first_index: 70,
        worker: "somebody else".to_owned(),
        cancelled: 3,
        details,
        ..run(&["A"])
    };
    worker
        .say(Report::Outcomes(BatchOutcomes { batch_id: batch.batch_id, run: Some(forged), busy_ns: 1 }))
        .await;
    let run = job.outcomes_at(0).await.unwrap().runs.remove(0);
    assert_eq!((run.first_index, run.cancelled, run.worker.as_str()), (0, 0, "host-7"));
    assert_eq!((run.details[0].attempt, run.details[0].seconds), (1, 0.5));
}

#[tokio::test]
async fn reports_of_batches_that_a_worker_does_not_have_change_nothing() {
    let cluster = Cluster::start(Config::default());
    let (mut honest, other) = (cluster.worker("honest", 1).await, cluster.worker("other", 1).await);
    let mut job = cluster.job_of(&["a"]).await;
    let batch = honest.batch().await;
    for batch_id in [batch.batch_id, batch.batch_id + 1, 0, u64::MAX] {
        other.say(Report::Begun(Begun { batch_id })).await;
        other.report(batch_id, &["forged"]).await;
        other.say(Report::Returned(poolmap_proto::v1::Returned { batch_id, length: 0 })).await;
        other.say(Report::Crashed(poolmap_proto::v1::Crashed { batch_id, offset: 0, cause: None })).await;
    }
    let mut stranger = cluster.job_of(&[]).await;
    stranger.finish().await;
    honest.report(batch.batch_id, &["more", "than", "it", "has"]).await;
    honest.report(batch.batch_id, &["A"]).await;
    honest.report(batch.batch_id, &["again"]).await;
    assert_eq!(job.finish().await.values(), ["A"]);
}

#[tokio::test]
async fn a_single_task_goes_to_whoever_attaches_later() {
    let cluster = Cluster::start(Config::default());
    let mut job = cluster.job_of(&["a"]).await;
    let finished = tokio::spawn(async move { job.finish().await });
    let mut worker = cluster.worker("late", 1).await;
    soon(worker.echo_until_job_ends()).await;
    assert_eq!(finished.await.unwrap().values(), ["a"]);
}
