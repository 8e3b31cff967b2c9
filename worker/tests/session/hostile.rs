//! Children that write nonsense on their socket or into their map: each is replaced, its task is to blame, and nobody else
//! notices.

use nix::unistd::Pid;
use poolmap_proto::v1::{ChildOptions, FailureKind};
use poolmap_worker::os::rss_bytes;
use poolmap_worker::slot::frame::{Header, Kind};

use crate::model::{Session, Yard, gone, lives};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn frame(kind: Kind, sequence: u64, length: u64) -> String {
    hex(&Header { sequence, length, ..Header::new(kind) }.encode())
}

/// Number of the misdeed among the tasks of its child: one that tells the process, and two good ones, come before it.
const MISDEED: u64 = 4;

/// A worker with two slots, of which one is busy with an innocent task all the while.
struct Trial {
    session: Session,
    yard: Yard,
    bystander: Pid,
    innocent: u64,
}

impl Trial {
    async fn begin() -> Self {
        let yard = Yard::new();
        let mut session = Session::start(2).await;
        let preload = vec!["colorsys".to_owned()];
        session.python(1, "echo", ChildOptions { preload, ..ChildOptions::default() }).await;
        let innocent = session.batch(1, &[yard.task("block", "innocent"), "[2]".to_owned()]).await;
        let bystander = yard.blocked("innocent").await;
        Self { session, yard, bystander, innocent }
    }

    /// Has a task do its worst after two good ones; returns what the worker made of it.
    async fn cause_of(&mut self, misdeed: &str) -> String {
        let Self { session, yard, .. } = self;
        let child = session.run(1, &[r#"{"function": "pid"}"#]).await.remove(0);
        let child = Pid::from_raw(child.parse().unwrap());
        let batch = session.batch(1, &["[1]", "[2]", misdeed, &yard.task("mark", "after")]).await;
        let (offset, cause) = session.crash(batch).await;
        assert_eq!(cause.kind(), FailureKind::Crashed);
        assert_eq!(
            (offset, session.told(batch).values()),
            (2, vec!["1", "2"]),
            "{misdeed}: {}",
            cause.message
        );
        gone(child).await;
        cause.message
    }

    async fn cause_of_sending(&mut self, bytes: &str) -> String {
        self.cause_of(&format!(r#"{{"function": "send", "args": ["{bytes}"]}}"#)).await
    }

    async fn end(mut self) {
        assert_eq!(self.session.run(1, &["[3]"]).await, ["3"], "a new child has taken the slot");
        assert!(lives(self.bystander) && !self.yard.has("after"));
        self.yard.release().await;
        let innocent = self.session.outcomes(self.innocent, 2).await;
        assert_eq!(innocent.values(), ["\"innocent\"", "2"]);
        self.session.hang_up().await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_frame_or_one_that_no_runner_sends() {
    let mut trial = Trial::begin().await;
    let message = trial.cause_of_sending(&hex(&[0xee; 400])).await;
    assert!(message.contains("a frame of unknown kind"), "{message}");
    let message = trial.cause_of_sending(&frame(Kind::Large, MISDEED, 4 << 30)).await;
    assert!(message.contains("4294967296 bytes"), "{message}");
    for kind in
        [Kind::Function, Kind::Batch, Kind::Drained, Kind::Exit, Kind::Fork, Kind::Forked, Kind::Exited]
    {
        let message = trial.cause_of_sending(&frame(kind, 0, 0)).await;
        assert!(message.contains("a frame that no runner sends"), "{message}");
    }
    trial.end().await;
}

#[tokio::test]
async fn the_end_of_another_batch_or_of_tasks_that_have_not_begun() {
    let mut trial = Trial::begin().await;
    for sequence in [0, 1, MISDEED + 2, MISDEED + 3, 1 << 40, u64::MAX] {
        let message = trial.cause_of_sending(&frame(Kind::Done, sequence, 0)).await;
        assert!(message.contains("the end of another batch"), "{sequence}: {message}");
    }
    trial.end().await;
}

#[tokio::test]
async fn outcomes_of_tasks_that_are_not_its_own_or_have_ended() {
    let mut trial = Trial::begin().await;
    for kind in [Kind::Full, Kind::Large] {
        for sequence in [0, 1, MISDEED + 1, MISDEED + 2, u64::MAX] {
            let message = trial.cause_of_sending(&frame(kind, sequence, 0)).await;
            assert!(message.contains("an outcome of a task that it was not given"), "{sequence}: {message}");
        }
    }
    trial.end().await;
}

#[tokio::test]
async fn a_large_outcome_that_is_no_record() {
    let mut trial = Trial::begin().await;
    for body in ["", "01", "ffffffff", "0200000061", "00000040", "0100000080aa"] {
        let full = frame(Kind::Full, MISDEED, 0);
        let bytes = full + &frame(Kind::Large, MISDEED, body.len() as u64 / 2) + body;
        let message = trial.cause_of_sending(&bytes).await;
        assert!(message.contains("the child wrote"), "{body}: {message}");
    }
    trial.end().await;
}

#[tokio::test]
async fn a_child_that_hangs_up_in_a_task_is_ended() {
    let mut trial = Trial::begin().await;
    let message = trial.cause_of(r#"{"function": "hang_up"}"#).await;
    assert!(message.contains("killed by signal 9"), "{message}");
    trial.end().await;
}

#[tokio::test]
async fn a_map_full_of_ones() {
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let misdeed = r#"{"function": "scribble", "args": [255]}"#;
    let batch = session.batch(1, &["[1]", "[2]", misdeed, "[3]"]).await;
    let (offset, cause) = session.crash(batch).await;
    // What was overwritten before it was read cannot be told any more.
    assert!(offset <= 2 && session.told(batch).outcomes.len() == offset as usize);
    assert!(cause.message.contains("does not lie within its area"), "{}", cause.message);
    assert_eq!(session.run(1, &["[3]"]).await, ["3"]);
    session.hang_up().await;
}

#[tokio::test]
async fn half_a_frame_before_a_death_changes_nothing() {
    let yard = Yard::new();
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let half = &frame(Kind::Large, 2, 100)[..60];
    let partly = format!(r#"{{"function": "send_and_go_on", "args": ["{half}"]}}"#);
    let batch = session.batch(1, &["[1]", &partly, &yard.task("block", "stuck")]).await;
    let child = yard.blocked("stuck").await;
    assert_eq!(session.outcomes(batch, 2).await.values(), ["1", "\"went on\""]);
    nix::sys::signal::kill(child, nix::sys::signal::SIGKILL).unwrap();
    assert_eq!(session.crash(batch).await.0, 2);
    session.hang_up().await;
}

#[tokio::test]
async fn a_frame_that_claims_a_gigabyte_and_never_comes_takes_no_memory() {
    let mut session = Session::start(2).await;
    session.python(1, "echo", ChildOptions::default()).await;
    session.run(1, &["[1]"]).await;
    let before = rss_bytes(Pid::this()).unwrap();
    let claim = frame(Kind::Large, 2, (1 << 30) - 1);
    let batch = session.batch(1, &[format!(r#"{{"function": "send", "args": ["{claim}"]}}"#)]).await;
    session.until(batch, |told| told.begun).await;
    assert_eq!(session.run(1, &["[2]"]).await, ["2"], "the other slot goes on");
    let after = rss_bytes(Pid::this()).unwrap();
    assert!(after < before + (300 << 20), "{before} bytes before, {after} after");
    session.end_job(1).await;
    session.hang_up().await;
}

#[tokio::test]
async fn a_child_that_asks_for_room_without_end_and_never_listens_is_replaced() {
    let mut session = Session::start(1).await;
    session.python(1, "echo", ChildOptions::default()).await;
    let flood = frame(Kind::Full, 2, 0);
    let batch = session
        .batch(1, &["[1]".to_owned(), format!(r#"{{"function": "flood", "args": ["{flood}"]}}"#)])
        .await;
    let (offset, cause) = session.crash(batch).await;
    assert_eq!((offset, session.told(batch).values()), (1, vec!["1"]));
    assert!(cause.message.contains("where nothing of the kind was due"), "{}", cause.message);
    session.hang_up().await;
}
