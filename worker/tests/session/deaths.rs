//! Children that die in the middle of a batch, between batches, and before they are ready.

use nix::sys::signal::{SIGKILL, kill};
use nix::unistd::Pid;
use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::{ChildOptions, EnvironmentVariable, FailureKind};

use crate::model::{Session, Yard, gone, lives, python_job};

fn preloaded() -> ChildOptions {
    ChildOptions { preload: vec!["colorsys".to_owned()], ..ChildOptions::default() }
}

#[tokio::test]
async fn a_killed_child_is_blamed_on_the_task_it_ran_and_what_had_ended_stays_ended() {
    for options in [ChildOptions::default(), preloaded()] {
        let yard = Yard::new();
        let mut session = Session::start(1).await;
        session.python(1, "echo", options).await;
        let tasks = ["[0]", &yard.task("mark", "b"), &yard.task("block", "stuck"), &yard.task("mark", "d")];
        let batch = session.batch(1, &tasks).await;
        let child = yard.blocked("stuck").await;
        kill(child, SIGKILL).unwrap();
        let (offset, cause) = session.crash(batch).await;
        assert_eq!((offset, cause.kind(), cause.r#type.as_str()), (2, FailureKind::Crashed, "SIGKILL"));
        assert!(cause.message.contains("killed by signal 9 (SIGKILL)"), "{}", cause.message);
        assert_eq!(session.told(batch).values(), ["0", "\"b\""]);
        let next = session.run(1, &["[4]", "[5]"]).await;
        assert_eq!(next, ["4", "5"], "a new child takes the slot");
        assert!(!yard.has("d"));
        gone(child).await;
        session.hang_up().await;
    }
}

#[tokio::test]
async fn fast_tasks_before_a_death_keep_their_outcomes() {
    for death in [r#"{"function": "die", "args": [11]}"#, r#"{"function": "leave", "args": [7]}"#] {
        let mut session = Session::start(1).await;
        session.python(1, "echo", ChildOptions::default()).await;
        session.run(1, &["[0]"]).await;
        let mut tasks = vec!["[1]"; 300];
        tasks.push(death);
        tasks.extend(["[2]"; 20]);
        let batch = session.batch(1, &tasks).await;
        let (offset, cause) = session.crash(batch).await;
        assert_eq!((offset, session.told(batch).values()), (300, vec!["1"; 300]));
        assert!(
            cause.message.contains("signal 11") || cause.message.contains("status 7"),
            "{}",
            cause.message
        );
        session.hang_up().await;
    }
}

#[tokio::test]
async fn a_child_that_dies_between_batches_costs_nothing() {
    for options in [ChildOptions::default(), preloaded()] {
        let mut session = Session::start(1).await;
        session.python(1, "pid", options).await;
        for _ in 0..4 {
            let child = Pid::from_raw(session.run(1, &["[]"]).await[0].parse().unwrap());
            kill(child, SIGKILL).unwrap();
            gone(child).await;
        }
        session.hang_up().await;
    }
}

#[tokio::test]
async fn a_death_right_after_a_large_outcome_runs_nothing_again() {
    let large = r#"{"function": "leave_after_large", "args": [2000000]}"#;
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let (first, last) = (yard.task("mark", "first"), yard.task("mark", "last"));
    let in_the_middle = session.run(1, &[first.as_str(), large, last.as_str()]).await;
    assert_eq!((in_the_middle[0].as_str(), in_the_middle[2].as_str()), ("\"first\"", "\"last\""));
    assert_eq!(in_the_middle[1].len(), 2_000_002);
    let at_the_end = session.run(1, &["[1]", large]).await;
    assert_eq!((at_the_end[0].as_str(), at_the_end[1].len()), ("1", 2_000_002));
    assert_eq!(session.run(1, &["[2]"]).await, ["2"]);
    session.hang_up().await;
}

#[tokio::test]
async fn what_a_dead_child_has_started_is_killed_with_it() {
    let mut session = Session::start(1).await;
    session.python(1, "leave_process_behind", ChildOptions::default()).await;
    let batch = session.batch(1, &[r#"["."]"#, r#"{"function": "leave", "args": [1]}"#]).await;
    assert_eq!(session.crash(batch).await.0, 1);
    let left = Pid::from_raw(session.told(batch).values()[0].parse().unwrap());
    gone(left).await;
    session.hang_up().await;
}

#[tokio::test]
async fn other_slots_go_on_when_a_child_dies() {
    let yard = Yard::new();
    let mut session = Session::start(2).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let kept = session.batch(1, &[yard.task("block", "kept"), "[2]".to_owned()]).await;
    let child = yard.blocked("kept").await;
    let lost = session.batch(1, &[r#"{"function": "leave", "args": [3]}"#]).await;
    session.crash(lost).await;
    assert!(lives(child));
    yard.release().await;
    assert_eq!(session.outcomes(kept, 2).await.values(), ["\"kept\"", "2"]);
    session.hang_up().await;
}

#[tokio::test]
async fn a_thread_backends_death_crashes_what_ran_in_its_slots_and_the_next_process_serves_all() {
    let yard = Yard::new();
    let mut session = Session::start(2).await;
    let backend = poolmap_proto::v1::Backend::Thread.into();
    session.python(1, "echo", ChildOptions { backend, ..ChildOptions::default() }).await;
    let first = session.batch(1, &[yard.task("block", "first")]).await;
    let second = session.batch(1, &[yard.task("block", "second")]).await;
    let child = yard.blocked("first").await;
    yard.blocked("second").await;
    kill(child, SIGKILL).unwrap();
    assert_eq!((session.crash(first).await.0, session.crash(second).await.0), (0, 0));
    assert_eq!(session.run(1, &["[1]"]).await, ["1"]);
    assert_eq!(session.run(1, &["[2]"]).await, ["2"]);
    session.hang_up().await;
}

#[tokio::test]
async fn a_child_that_dies_before_it_is_ready_rejects_its_job_with_a_hint() {
    let mut session = Session::start(1).await;
    let python = "/bin/false".to_owned();
    session.python(1, "echo", ChildOptions { python, ..ChildOptions::default() }).await;
    session.batch(1, &["[1]"]).await;
    let reason = session.rejection(1).await;
    assert!(reason.contains("'/bin/false'") && reason.contains("exited with status 1"), "{reason}");
    assert!(reason.contains("--python PATH"), "{reason}");
    session.hang_up().await;
}

#[tokio::test]
async fn a_module_that_ends_its_interpreter_on_import_rejects_the_job() {
    let mut session = Session::start(1).await;
    let mut job = python_job(1, "any");
    let kind = job.function.as_mut().unwrap().kind.as_mut().unwrap();
    let poolmap_proto::v1::function::Kind::Python(python) = kind else { panic!("a Python job") };
    python.source.as_mut().unwrap().content = b"import os\nos._exit(9)\n".as_slice().into();
    session.say(Kind::JobStarted(job)).await;
    session.batch(1, &["[1]"]).await;
    let reason = session.rejection(1).await;
    assert!(reason.contains("exited with status 9 while it loaded the function"), "{reason}");
    session.hang_up().await;
}

#[tokio::test]
async fn a_preload_that_cannot_be_imported_rejects_the_job_and_names_the_module() {
    let mut session = Session::start(1).await;
    let preload = vec!["no_such_module".to_owned()];
    session.python(1, "echo", ChildOptions { preload, ..ChildOptions::default() }).await;
    session.batch(1, &["[1]"]).await;
    let reason = session.rejection(1).await;
    assert!(reason.contains("no_such_module"), "{reason}");
    session.hang_up().await;
}

#[tokio::test]
async fn an_environment_that_no_child_can_have_rejects_the_job() {
    let mut session = Session::start(1).await;
    let variable = EnvironmentVariable { name: b"A".as_slice().into(), value: b"\0".as_slice().into() };
    session.python(1, "echo", ChildOptions { environment: vec![variable], ..ChildOptions::default() }).await;
    assert!(session.rejection(1).await.contains("NUL"));
    session.hang_up().await;
}
