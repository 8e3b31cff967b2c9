//! Work that is asked back from one worker for another.

use poolmap_coordinator::Config;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::worker_message::Kind as Report;
use poolmap_proto::v1::{Begun, CancelRequest, Returned};

use crate::model::{Cluster, eventually, payloads, soon, spec};

/// A job whose tasks have been seen to take a second each, and a worker that holds several of them in one batch.
#[tokio::test]
async fn tasks_that_one_worker_returns_run_on_another() {
    let cluster = Cluster::start(Config::default());
    let mut busy = cluster.worker("busy", 1).await;
    let tasks: Vec<String> = (0..400).map(|index| format!("task {index}")).collect();
    let mut job = cluster.submit(spec()).await;
    job.add(&tasks).await;
    job.close().await;
    let held = loop {
        let batch = busy.batch().await;
        if payloads(&batch).len() > 3 {
            break batch;
        }
        busy.echo(&batch).await;
    };
    busy.say(Report::Begun(Begun { batch_id: held.batch_id })).await;
    let mut idle = cluster.worker("idle", 1).await;
    let idle = tokio::spawn(async move {
        let mut ran = Vec::new();
        loop {
            match idle.next().await {
                Kind::Batch(batch) => {
                    ran.extend(payloads(&batch));
                    idle.echo(&batch).await;
                }
                Kind::JobEnded(_) => return ran,
                _ => {}
            }
        }
    });
    // The busy worker is stuck in the first task of that batch: everything behind it is asked for, bit by bit.
    let mut length = u32::try_from(payloads(&held).len()).unwrap();
    let mut others = 0;
    while length > 1 || others > 0 {
        match busy.next().await {
            Kind::TakeBack(asked) if asked.batch_id == held.batch_id => {
                assert!(asked.count < length, "the task that runs is never asked for");
                length -= asked.count;
                busy.say(Report::Returned(Returned { batch_id: held.batch_id, length })).await;
            }
            Kind::TakeBack(asked) => {
                busy.say(Report::Returned(Returned { batch_id: asked.batch_id, length: 0 })).await;
                others = 0;
            }
            Kind::Batch(_) => others += 1,
            other => panic!("nothing else is due, but {other:?} came"),
        }
    }
    busy.report(held.batch_id, &payloads(&held)[..1]).await;
    let ran_elsewhere = soon(idle).await.unwrap();
    assert!(payloads(&held)[1..].iter().all(|task| ran_elsewhere.contains(task)));
    assert_eq!(job.finish().await.values(), tasks);
}

#[tokio::test]
async fn a_cancelled_job_asks_for_what_has_not_begun_and_waits_for_what_has() {
    let cluster = Cluster::start(Config::default());
    let mut worker = cluster.worker("one", 1).await;
    let mut job = cluster.submit(spec()).await;
    job.add(&["a", "b", "c"]).await;
    let (running, ahead) = (worker.batch().await, worker.batch().await);
    worker.say(Report::Begun(Begun { batch_id: running.batch_id })).await;
    let request = CancelRequest { job_id: job.id, running: false };
    soon(job.jobs.cancel(request)).await.unwrap();
    let asked = loop {
        match worker.next().await {
            Kind::TakeBack(asked) if asked.batch_id == ahead.batch_id => break asked,
            Kind::TakeBack(_) => {}
            other => panic!("work is asked back, but {other:?} came"),
        }
    };
    assert_eq!(asked.count as usize, payloads(&ahead).len());
    worker.say(Report::Returned(Returned { batch_id: ahead.batch_id, length: 0 })).await;
    eventually(async || job.status().await.running == payloads(&running).len() as u64).await;
    worker.echo(&running).await;
    let finished = job.finish().await;
    assert_eq!(finished.outcomes[&0], Ok("a".to_owned()));
    assert_eq!(finished.outcomes[&2], Err("cancelled".to_owned()));
    assert_eq!(finished.outcomes.len(), 3);
}
