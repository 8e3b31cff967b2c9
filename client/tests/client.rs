//! The client against a real coordinator and a real worker, all in this process.
#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected shall fail there")]

mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use poolmap_client::{Client, ClientError, JobSpec, OutcomeRun, OutcomeStream, Transport};
use poolmap_coordinator::{Config, Coordinator};
use poolmap_proto::transport;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use crate::work::{attach_worker, numbers, soon, spec};

/// Asks again and again until the answer is yes.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn start() -> (Coordinator, Client) {
    let coordinator = Coordinator::start(Config::default());
    let client = Client::new(Transport::in_process(coordinator.jobs()));
    (coordinator, client)
}

/// Adds a run to outcomes by index: values, and the messages of failures.
fn take(run: &OutcomeRun, outcomes: &mut BTreeMap<u64, Result<String, String>>) {
    let mut values = run.values.as_ref();
    let mut failures = run.failures.iter().peekable();
    for (offset, length) in run.lengths.iter().enumerate() {
        let value = values.split_off(..*length as usize).unwrap();
        let failure = failures.next_if(|failure| failure.offset as usize == offset);
        let outcome = failure.map_or_else(
            || Ok(String::from_utf8(value.to_vec()).unwrap()),
            |failure| Err(failure.message.clone()),
        );
        assert!(outcomes.insert(run.first_index + offset as u64, outcome).is_none(), "an outcome came twice");
    }
}

async fn all(outcomes: &mut OutcomeStream) -> BTreeMap<u64, Result<String, String>> {
    let mut seen = BTreeMap::new();
    while let Some(run) = soon(outcomes.next()).await.unwrap() {
        take(&run, &mut seen);
    }
    seen
}

#[tokio::test]
async fn a_hundred_thousand_tasks_have_an_outcome_each() {
    const TASKS: u64 = 100_000;
    let (coordinator, client) = start();
    attach_worker(&coordinator);
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    let sender = tokio::spawn(async move {
        for first in (0..TASKS).step_by(5000) {
            tasks.send(numbers(first..first + 5000)).await.unwrap();
        }
        tasks.finish().await.unwrap()
    });
    let mut outcomes = job.outcomes();
    assert_eq!(outcomes.end(), None);
    let seen = all(&mut outcomes).await;
    assert_eq!(soon(sender).await.unwrap(), TASKS);
    assert!(seen.into_iter().eq((0..TASKS).map(|number| (number, Ok((2 * number).to_string())))));
    let end = outcomes.end().unwrap();
    assert_eq!((end.tasks, end.failed, end.error.as_str()), (TASKS, 0, ""));
    assert_eq!(outcomes.next().await.unwrap(), None, "the end stays the end");
}

#[tokio::test]
async fn failures_come_in_their_places() {
    let (coordinator, client) = start();
    attach_worker(&coordinator);
    let job = client.submit(spec("odd")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..4)).await.unwrap();
    tasks.finish().await.unwrap();
    let mut outcomes = job.outcomes();
    let seen: Vec<_> = all(&mut outcomes).await.into_values().collect();
    let (ok, even) = (|x: u32| Ok(x.to_string()), |x: u32| Err(format!("{x} is even")));
    assert_eq!(seen, [even(0), ok(1), even(2), ok(3)]);
    assert_eq!(outcomes.end().unwrap().failed, 2);
}

#[tokio::test]
async fn a_job_that_cannot_run_says_why_in_its_end() {
    let (coordinator, client) = start();
    attach_worker(&coordinator);
    let job = client.submit(spec("doubel")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..10)).await.unwrap();
    let mut outcomes = job.outcomes();
    assert!(all(&mut outcomes).await.is_empty());
    assert!(outcomes.end().unwrap().error.contains("did you mean `double`"));
}

#[tokio::test]
async fn a_job_that_was_cancelled_takes_no_more_tasks() {
    let (_coordinator, client) = start();
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..3)).await.unwrap();
    let mut next = 3;
    job.cancel().await.unwrap();
    let refused = soon(async {
        loop {
            if let Err(error) = tasks.send(numbers(next..next + 1)).await {
                break error;
            }
            next += 1;
        }
    })
    .await;
    assert!(matches!(refused, ClientError::JobClosed), "{refused}");
    let mut outcomes = job.outcomes();
    let mut cancelled = 0;
    while let Some(run) = soon(outcomes.next()).await.unwrap() {
        cancelled += run.cancelled;
        assert!(run.lengths.is_empty());
    }
    assert_eq!((cancelled, outcomes.end().unwrap().failed), (outcomes.end().unwrap().tasks, cancelled));
}

#[tokio::test]
async fn a_second_sender_after_the_end_is_told_that_the_job_is_closed() {
    let (_coordinator, client) = start();
    let job = client.submit(spec("double")).await.unwrap();
    assert_eq!(job.add_tasks().finish().await.unwrap(), 0);
    let mut late = job.add_tasks();
    let sent = late.send(numbers(0..1)).await;
    let error = match sent {
        Err(error) => error,
        Ok(()) => soon(late.finish()).await.unwrap_err(),
    };
    assert!(matches!(error, ClientError::JobClosed), "{error}");
}

#[tokio::test]
async fn a_submission_that_makes_no_sense_is_refused_with_the_reason() {
    let (_coordinator, client) = start();
    let error = client.submit(JobSpec::default()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused(reason) if reason.contains("function")), "{error}");
}

/// A coordinator behind a socket, and the server that carries it.
async fn behind_a_socket() -> (Coordinator, Client, TempDir, tokio::task::JoinHandle<()>) {
    let coordinator = Coordinator::start(Config::default());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let services = transport::server().add_service(coordinator.jobs());
    let server = tokio::spawn(async move {
        services.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
    });
    let client = Client::new(Transport::unix(&path).await.unwrap()).with_patience(Duration::from_millis(100));
    (coordinator, client, folder, server)
}

#[tokio::test]
async fn a_coordinator_that_stops_is_lost_to_its_clients() {
    let (coordinator, client, _folder, _server) = behind_a_socket().await;
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..3)).await.unwrap();
    let mut outcomes = job.outcomes();
    let reader = tokio::spawn(async move { outcomes.next().await });
    coordinator.stop().await;
    // A reader that waits when the coordinator stops, and whoever asks later.
    let error = soon(client.submit(spec("double"))).await.unwrap_err();
    assert!(matches!(error, ClientError::Lost(_)), "{error}");
    let error = soon(async {
        loop {
            if let Err(error) = tasks.send(numbers(0..1)).await {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(error, ClientError::Lost(_)), "{error}");
    let error = soon(reader).await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Lost(_)), "{error}");
}

#[tokio::test]
async fn a_socket_where_nobody_answers_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nobody");
    let error = Transport::unix(&path).await.unwrap_err().to_string();
    assert!(error.contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn dropping_a_wait_for_the_next_run_loses_nothing() {
    let (coordinator, client) = start();
    attach_worker(&coordinator);
    read_with_dropped_waits(&client).await;
    let (coordinator, client, _folder, _server) = behind_a_socket().await;
    attach_worker(&coordinator);
    read_with_dropped_waits(&client).await;
}

#[tokio::test]
async fn dropping_the_first_wait_while_outcomes_are_already_there_loses_nothing() {
    let (coordinator, client, _folder, _server) = behind_a_socket().await;
    attach_worker(&coordinator);
    // Each round gives up at another moment of the first call.
    for patience in 0..40 {
        let job = client.submit(spec("double")).await.unwrap();
        let mut tasks = job.add_tasks();
        tasks.send(numbers(0..2)).await.unwrap();
        let (mut outcomes, mut seen) = (job.outcomes(), BTreeMap::new());
        tokio::select! {
            biased;
            run = outcomes.next() => take(&run.unwrap().unwrap(), &mut seen),
            () = async { for _ in 0..patience { tokio::task::yield_now().await } } => {}
        }
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        tasks.send(numbers(2..4)).await.unwrap();
        tasks.finish().await.unwrap();
        while let Some(run) = soon(outcomes.next()).await.unwrap() {
            take(&run, &mut seen);
        }
        assert_eq!((outcomes.end().unwrap().tasks, seen.len()), (4, 4));
    }
}

async fn read_with_dropped_waits(client: &Client) {
    const TASKS: u64 = 20_000;
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    let sender = tokio::spawn(async move {
        for first in (0..TASKS).step_by(100) {
            tasks.send(numbers(first..first + 100)).await.unwrap();
        }
        tasks.finish().await.unwrap()
    });
    let mut outcomes = job.outcomes();
    let (mut seen, mut dropped) = (BTreeMap::new(), 0);
    while outcomes.end().is_none() {
        let waited = tokio::select! {
            biased;
            run = outcomes.next() => Some(run.unwrap()),
            () = tokio::task::yield_now() => None,
        };
        match waited {
            Some(Some(run)) => take(&run, &mut seen),
            Some(None) => {}
            None => dropped += 1,
        }
        while let Some(run) = outcomes.ready() {
            take(&run, &mut seen);
        }
    }
    assert!(dropped > 0, "some waits were dropped");
    assert_eq!(soon(sender).await.unwrap(), TASKS);
    assert!(seen.into_iter().eq((0..TASKS).map(|number| (number, Ok((2 * number).to_string())))));
}

#[tokio::test]
async fn a_job_can_be_fed_while_its_outcomes_are_awaited_one_by_one() {
    let (coordinator, client) = start();
    attach_worker(&coordinator);
    let job = client.submit(spec("double")).await.unwrap();
    let (mut tasks, mut outcomes) = (job.add_tasks(), job.outcomes());
    for number in 0..50 {
        tasks.send(numbers(number..number + 1)).await.unwrap();
        let run = soon(outcomes.next()).await.unwrap().unwrap();
        assert_eq!((run.first_index, run.values.as_ref()), (number, (2 * number).to_string().as_bytes()));
    }
    assert_eq!(tasks.finish().await.unwrap(), 50);
    assert_eq!(soon(outcomes.next()).await.unwrap(), None);
}

#[tokio::test]
async fn a_sender_waits_while_the_queue_is_full() {
    let config = Config { queued_bytes_max: 10_000, ..Config::default() };
    let coordinator = Coordinator::start(config);
    let client = Client::new(Transport::in_process(coordinator.jobs()));
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = sent.clone();
    let sender = tokio::spawn(async move {
        for first in (0..100_000).step_by(1000) {
            tasks.send(numbers(first..first + 1000)).await.unwrap();
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        tasks.finish().await.unwrap()
    });
    let count = || sent.load(std::sync::atomic::Ordering::SeqCst);
    eventually(async || count() > 0).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(count() < 10, "{} chunks went where there is room for two", count());
    attach_worker(&coordinator);
    let mut outcomes = job.outcomes();
    assert_eq!(all(&mut outcomes).await.len(), 100_000);
    assert_eq!(soon(sender).await.unwrap(), 100_000);
}

#[tokio::test]
async fn cancelled_tasks_are_told_by_their_number() {
    let (_coordinator, client) = start();
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..3)).await.unwrap();
    tasks.finish().await.unwrap();
    job.cancel().await.unwrap();
    let mut outcomes = job.outcomes();
    let run = soon(outcomes.next()).await.unwrap().unwrap();
    assert_eq!((run.first_index, run.cancelled), (0, 3));
    assert_eq!(soon(outcomes.next()).await.unwrap(), None);
}

#[tokio::test]
async fn some_tasks_of_a_job_can_be_cancelled_while_it_goes_on() {
    let (coordinator, client) = start();
    let job = client.submit(spec("double")).await.unwrap();
    let mut tasks = job.add_tasks();
    tasks.send(numbers(0..5)).await.unwrap();
    soon(tasks.confirms_more_than(4)).await;
    assert_eq!(tasks.confirmed(), 5);
    job.cancel_tasks([1..3, 90..95], false).await.unwrap();
    attach_worker(&coordinator);
    tasks.send(numbers(5..6)).await.unwrap();
    tasks.finish().await.unwrap();
    let (mut outcomes, mut cancelled, mut seen) = (job.outcomes(), Vec::new(), BTreeMap::new());
    while let Some(run) = soon(outcomes.next()).await.unwrap() {
        cancelled.extend(run.first_index..run.first_index + run.cancelled);
        take(&run, &mut seen);
    }
    assert_eq!(cancelled, [1, 2]);
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [0, 3, 4, 5]);
}
