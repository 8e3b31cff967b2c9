//! Batches of every runtime, run to their end.

use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::{Backend, ChildOptions, JobStarted};

use poolmap_worker::Config;

use crate::model::{Session, Yard, config, python_job};

fn options() -> ChildOptions {
    ChildOptions::default()
}

#[tokio::test]
async fn a_worker_says_who_it_is() {
    let config = Config {
        host: "here".to_owned(),
        cpus: 4,
        python_version: "3.13.1".to_owned(),
        labels: vec!["blue".to_owned(), "large".to_owned()],
        ..config(3)
    };
    let session = Session::with(config).await;
    let hello = &session.hello;
    assert_eq!((hello.protocol, hello.slots, hello.process_id), (PROTOCOL_VERSION, 3, std::process::id()));
    assert_eq!((hello.name.as_str(), hello.version.as_str()), ("under test", env!("CARGO_PKG_VERSION")));
    assert_eq!((hello.host.as_str(), hello.cpus, hello.python_version.as_str()), ("here", 4, "3.13.1"));
    assert_eq!((hello.labels.join(" "), hello.resume.as_ref()), ("blue large".to_owned(), None));
    session.hang_up().await;
}

#[tokio::test]
async fn values_come_back_in_the_order_of_their_tasks() {
    let mut session = Session::start(2).await;
    session.python(1, "echo", options()).await;
    session.native(2, "double").await;
    let payloads: Vec<String> = (0..500).map(|number| format!("[{number}]")).collect();
    let numbers: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    assert_eq!(session.run(1, &payloads).await, numbers);
    let doubles: Vec<String> = (0..500).map(|number| (2 * number).to_string()).collect();
    assert_eq!(session.run(2, &payloads).await, doubles);
    session.hang_up().await;
}

#[tokio::test]
async fn batches_that_come_together_run_in_all_slots() {
    let yard = Yard::new();
    let mut session = Session::start(2).await;
    session.python(1, "echo", options()).await;
    let first = session.batch(1, &[yard.task("block", "first")]).await;
    let second = session.batch(1, &[yard.task("block", "second")]).await;
    let third = session.batch(1, &["[3]"]).await;
    assert_ne!(yard.blocked("first").await, yard.blocked("second").await);
    assert!(session.until(first, |told| told.begun).await.outcomes.is_empty());
    assert!(session.until(second, |told| told.begun).await.outcomes.is_empty());
    yard.release().await;
    yard.release().await;
    assert_eq!(session.outcomes(third, 1).await.values(), ["3"]);
    session.outcomes(first, 1).await;
    session.outcomes(second, 1).await;
    session.hang_up().await;
}

#[tokio::test]
async fn the_outcomes_of_a_batch_are_told_while_its_next_task_runs() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", options()).await;
    let batch = session.batch(1, &["[1]", "[2]", &yard.task("block", "here"), "[4]"]).await;
    assert_eq!(session.outcomes(batch, 2).await.values(), ["1", "2"]);
    yard.release().await;
    assert_eq!(session.outcomes(batch, 4).await.values(), ["1", "2", "\"here\"", "4"]);
    session.hang_up().await;
}

#[tokio::test]
async fn a_slot_changes_from_one_job_to_another_and_back() {
    let mut session = Session::start(1).await;
    session.python(1, "pid", options()).await;
    session.native(2, "double").await;
    let first = session.run(1, &["[]"]).await;
    assert_eq!(session.run(2, &["[21]"]).await, ["42"]);
    assert_ne!(session.run(1, &["[]"]).await, first);
    session.hang_up().await;
}

#[tokio::test]
async fn a_failure_among_values_keeps_its_place() {
    let mut session = Session::start(1).await;
    session.python(1, "echo", options()).await;
    let bad = r#"{"function": "fails", "args": ["on purpose"]}"#;
    let batch = session.batch(1, &["[0]", bad, "[2]"]).await;
    let told = session.outcomes(batch, 3).await;
    let failure = told.outcomes[1].as_ref().unwrap_err();
    assert_eq!((failure.r#type.as_str(), failure.message.as_str()), ("ValueError", "on purpose"));
    assert!(failure.traceback.contains("in fails"), "{}", failure.traceback);
    assert_eq!((&told.outcomes[0], &told.outcomes[2]), (&Ok("0".to_owned()), &Ok("2".to_owned())));
    session.hang_up().await;
}

#[tokio::test]
async fn details_carry_what_each_task_printed() {
    let mut session = Session::start(1).await;
    session.say(Kind::JobStarted(JobStarted { details: true, ..python_job(1, "prints") })).await;
    let batch = session.batch(1, &[r#"["one"]"#, r#"["three"]"#]).await;
    let told = session.outcomes(batch, 2).await;
    assert_eq!(told.values(), ["3", "5"]);
    let printed: Vec<_> =
        told.details.iter().map(|detail| (&detail.stdout[..], &detail.stderr[..])).collect();
    assert_eq!(printed, [(&b"one\n"[..], &b"ONE\n"[..]), (b"three\n", b"THREE\n")]);
    assert!(told.details.iter().all(|detail| detail.seconds > 0.0));
    session.hang_up().await;
}

#[tokio::test]
async fn outcomes_of_any_size_come_back_whole_and_in_order() {
    let sizes = [3, 1 << 20, 700_000, 700_000, 5 << 20, 0, (1 << 20) - 6, 1, 12 << 20];
    let mut session = Session::start(1).await;
    session.python(1, "large", options()).await;
    let payloads = sizes.map(|size| format!("[{size}]"));
    let values = session.run(1, &payloads).await;
    assert_eq!(values.iter().map(|value| value.len() - 2).collect::<Vec<_>>(), sizes);
    session.hang_up().await;
}

#[tokio::test]
async fn many_outcomes_that_fill_the_area_many_times_come_back_whole() {
    let mut session = Session::start(1).await;
    session.python(1, "large", options()).await;
    let values = session.run(1, &vec!["[10000]"; 1000]).await;
    assert!(values.iter().all(|value| value.len() == 10_002));
    session.hang_up().await;
}

#[tokio::test]
async fn slots_of_the_thread_backend_share_one_interpreter() {
    let yard = Yard::new();
    let mut session = Session::start(2).await;
    session.python(1, "echo", ChildOptions { backend: Backend::Thread.into(), ..options() }).await;
    let first = session.batch(1, &[yard.task("block", "first")]).await;
    let second = session.batch(1, &[yard.task("block", "second")]).await;
    assert_eq!(yard.blocked("first").await, yard.blocked("second").await);
    yard.release().await;
    yard.release().await;
    session.outcomes(first, 1).await;
    session.outcomes(second, 1).await;
    session.hang_up().await;
}

#[tokio::test]
async fn a_preloaded_module_is_there_before_the_first_task() {
    let mut session = Session::start(2).await;
    let without = session_loads(&mut session, 1, options()).await;
    let preload = vec!["colorsys".to_owned()];
    let with = session_loads(&mut session, 2, ChildOptions { preload, ..options() }).await;
    assert_eq!((without.as_str(), with.as_str()), ("false", "true"));
    session.hang_up().await;
}

async fn session_loads(session: &mut Session, job: u64, options: ChildOptions) -> String {
    session.python(job, "loaded", options).await;
    session.run(job, &[r#"["colorsys"]"#]).await.remove(0)
}

#[tokio::test]
async fn a_command_tells_its_output_and_status() {
    let mut session = Session::start(1).await;
    session.command(1, &["sh", "-c", "echo $0; exit $1", "{1}", "{2}"]).await;
    let batch = session.batch(1, &["fine\x000\0", "bad\x003\0"]).await;
    let told = session.outcomes(batch, 2).await;
    assert!(told.outcomes[0].is_ok());
    assert_eq!(told.outcomes[1].as_ref().unwrap_err().exit_status, Some(3));
    assert_eq!((&told.details[0].stdout[..], &told.details[1].stdout[..]), (&b"fine\n"[..], &b"bad\n"[..]));
    session.hang_up().await;
}

#[tokio::test]
async fn a_job_that_cannot_run_is_rejected_with_a_reason_for_its_user() {
    let mut session = Session::start(1).await;
    session.native(1, "doubel").await;
    session.batch(1, &["[1]"]).await;
    let reason = session.rejection(1).await;
    assert!(reason.contains("doubel") && reason.contains("did you mean `double`"), "{reason}");
    session.python(2, "ecko", options()).await;
    session.batch(2, &["[1]"]).await;
    let reason = session.rejection(2).await;
    assert!(reason.contains("ecko") && reason.contains("echo"), "{reason}");
    session.python(3, "echo", ChildOptions { python: "no-such-python".to_owned(), ..options() }).await;
    session.batch(3, &["[1]"]).await;
    let reason = session.rejection(3).await;
    assert!(reason.contains("no-such-python") && reason.contains("--python"), "{reason}");
    session.say(Kind::JobStarted(JobStarted { job_id: 4, ..JobStarted::default() })).await;
    assert_eq!(session.rejection(4).await, "the job names no function");
    session.rejected.clear();
    session.native(5, "double").await;
    assert_eq!(session.run(5, &["[4]"]).await, ["8"], "the slot is free for the next job");
    session.hang_up().await;
}
