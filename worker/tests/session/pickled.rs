//! Pickled calls: functions that are told apart from their tasks, and exceptions that come back as they are.

use poolmap_proto::v1::coordinator_message::Kind;
use poolmap_proto::v1::function::Kind as FunctionKind;
use poolmap_proto::v1::{ChildOptions, Function, FunctionList, FunctionsAdded, JobStarted, PickledCalls};

use crate::model::Session;

/// `{"version": sys.version_info, "path": [], "argv": [], "initializer": None}`
const SETUP: &[u8] = b"\x80\x02}(X\x07\0\0\0versioncsys\nversion_info\nX\x04\0\0\0path]X\x04\0\0\0argv]X\x0b\0\0\0initializerNu.";
const INT: &[u8] = b"cbuiltins\nint\n.";
const EXIT: &[u8] = b"cposix\n_exit\n.";

fn list(first: u64, functions: &[&'static [u8]]) -> FunctionList {
    FunctionList { first, functions: functions.iter().map(|function| (*function).into()).collect() }
}

async fn announce(session: &Session, job_id: u64, functions: FunctionList) {
    let pickled = PickledCalls { setup: SETUP.into() };
    let function = Some(Function { kind: Some(FunctionKind::Pickled(pickled)) });
    let (child, functions) = (Some(ChildOptions::default()), Some(functions));
    session
        .say(Kind::JobStarted(JobStarted { job_id, function, child, functions, ..JobStarted::default() }))
        .await;
}

/// The payload of a call with one argument, as marshal writes both.
fn call(number: u8, argument: &str) -> String {
    format!(")\x02i{}\0\0\0)\x01{argument}", char::from(number + 2))
}

#[tokio::test]
async fn an_exception_comes_back_with_its_pickle() {
    let mut session = Session::start(1).await;
    announce(&session, 1, list(0, &[INT])).await;
    let batch = session.batch(1, &[call(0, "u\x01\0\0\0x")]).await;
    let told = session.outcomes(batch, 1).await;
    let failure = told.outcomes[0].as_ref().unwrap_err();
    assert_eq!(failure.r#type, "ValueError");
    assert!(failure.exception.starts_with(b"\x80\x05") && failure.exception.ends_with(b"."));
    session.hang_up().await;
}

#[tokio::test]
async fn a_child_that_is_started_later_knows_the_functions_of_the_one_before() {
    let mut session = Session::start(1).await;
    announce(&session, 1, list(0, &[INT])).await;
    let first = session.batch(1, &[call(0, "u\x01\0\0\0x")]).await;
    session.outcomes(first, 1).await;
    session.say(Kind::FunctionsAdded(FunctionsAdded { job_id: 1, functions: Some(list(1, &[EXIT])) })).await;
    let second = session.batch(1, &[call(1, "i\x03\0\0\0")]).await;
    let (offset, cause) = session.crash(second).await;
    assert_eq!(offset, 0);
    assert!(cause.message.contains("status 3"), "{cause:?}");
    let third = session.batch(1, &[call(0, "u\x01\0\0\0y")]).await;
    let told = session.outcomes(third, 1).await;
    assert_eq!(told.outcomes[0].as_ref().unwrap_err().r#type, "ValueError");
    session.hang_up().await;
}

#[tokio::test]
async fn pickled_calls_with_details_are_refused() {
    let mut session = Session::start(1).await;
    let pickled = PickledCalls { setup: SETUP.into() };
    let function = Some(Function { kind: Some(FunctionKind::Pickled(pickled)) });
    session
        .say(Kind::JobStarted(JobStarted { job_id: 1, function, details: true, ..JobStarted::default() }))
        .await;
    assert!(session.rejection(1).await.contains("without details"));
    session.hang_up().await;
}
