//! Bounded memory: writers wait while the queue is full, and work waits while nobody reads its outcomes.

use poolmap_coordinator::Config;
use poolmap_proto::v1::AddTasksRequest;
use poolmap_proto::v1::coordinator_message::Kind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::model::{Cluster, Job, Worker, add_tasks, chunk, eventually, payloads, soon, spec};

/// Lets everything else that runs here do what it can.
async fn let_others_run(job: &mut Job) {
    for _ in 0..50 {
        job.status().await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_writer_waits_while_the_queue_is_full_and_goes_on_when_outcomes_come() {
    let cluster = Cluster::start(Config { queued_bytes_max: 1000, ..Config::default() });
    let mut job = cluster.submit(spec()).await;
    let (requests, receiver) = mpsc::channel(1);
    let mut jobs = job.jobs.clone();
    let call = tokio::spawn(async move { add_tasks(&mut jobs, ReceiverStream::new(receiver)).await });
    let payload = "x".repeat(600);
    let job_id = job.id;
    tokio::spawn(async move {
        for first_index in 0..10 {
            let chunk = Some(chunk(first_index, &[&payload]));
            requests
                .send(AddTasksRequest { job_id, chunk, last: first_index == 9, functions: None })
                .await
                .unwrap();
        }
    });
    eventually(async || job.status().await.tasks == 2).await;
    let_others_run(&mut job).await;
    assert_eq!(job.status().await.tasks, 2, "two chunks are more than there is room for");
    let mut worker = cluster.worker("one", 1).await;
    let batch = worker.batch().await;
    worker.echo(&batch).await;
    eventually(async || job.status().await.tasks == 3).await;
    let_others_run(&mut job).await;
    assert_eq!(job.status().await.tasks, 3);
    worker.echo_until_job_ends().await;
    assert_eq!(soon(call).await.unwrap().unwrap(), 10);
    assert_eq!(job.finish().await.values().len(), 10);
}

/// Answers every batch with large values; tells how many tasks it has run.
async fn answer_largely(mut worker: Worker, value_bytes: usize, ran: mpsc::UnboundedSender<usize>) {
    loop {
        match worker.next().await {
            Kind::Batch(batch) => {
                let count = payloads(&batch).len();
                worker.report(batch.batch_id, &vec!["y".repeat(value_bytes); count]).await;
                ran.send(count).unwrap();
            }
            Kind::JobEnded(_) => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_job_that_nobody_reads_is_held_until_somebody_does() {
    const TASKS: usize = 3000;
    let cluster = Cluster::start(Config { unread_bytes_max: 100_000, ..Config::default() });
    let worker = cluster.worker("one", 1).await;
    let (ran, mut counts) = mpsc::unbounded_channel();
    let worker = tokio::spawn(answer_largely(worker, 10_000, ran));
    let mut job = cluster.submit(spec()).await;
    for _ in 0..TASKS / 10 {
        job.add(&["x"; 10]).await;
    }
    job.close().await;
    eventually(async || job.status().await.done >= 10).await;
    eventually(async || job.status().await.running == 0).await;
    let_others_run(&mut job).await;
    let done = job.status().await.done;
    assert!(done < 100, "{done} outcomes of 10 kB wait where 100 kB may");
    assert_eq!(job.finish().await.values().len(), TASKS);
    soon(worker).await.unwrap();
    let mut total = 0;
    while let Ok(count) = counts.try_recv() {
        total += count;
    }
    assert_eq!(total, TASKS, "each task ran once");
}

#[tokio::test]
async fn a_million_tasks_pass_through_room_for_a_few() {
    const CHUNK: u64 = 10_000;
    const TASKS: u64 = 1_000_000;
    // Were any chunk kept, the writer would wait for ever.
    let cluster = Cluster::start(Config { queued_bytes_max: 100_000, ..Config::default() });
    let mut worker = cluster.worker("one", 4).await;
    let worker = tokio::spawn(async move { worker.echo_until_job_ends().await });
    let mut job = cluster.submit(spec()).await;
    let mut writer = job.jobs.clone();
    let requests = (0..TASKS / CHUNK).map({
        let job_id = job.id;
        move |number| {
            let chunk = Some(chunk(number * CHUNK, &vec!["[1]"; CHUNK as usize]));
            AddTasksRequest { job_id, chunk, last: (number + 1) * CHUNK == TASKS, functions: None }
        }
    });
    let written = tokio::spawn(async move { add_tasks(&mut writer, tokio_stream::iter(requests)).await });
    let mut stream = job.read_from(0).await;
    let end = loop {
        let answer = soon(stream.message()).await.unwrap().unwrap();
        if let Some(end) = answer.end {
            break end;
        }
    };
    assert_eq!((end.tasks, end.failed), (TASKS, 0));
    assert_eq!(soon(written).await.unwrap().unwrap(), TASKS);
    soon(worker).await.unwrap();
}
