//! The socket at which a steward is asked how its cluster is, and told to take it down.
//!
//! It lies in a folder that nobody but its user can enter.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::cluster::folder::Folder;
use crate::cluster::talk::{Question, Report};

/// Time that whoever has connected has to ask.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_QUESTION_BYTES: u64 = 256;

/// A question, and where its answer goes. Of `down` there is none: the connection stays open for as long as the sender lives.
pub(super) struct Asked {
    pub(super) question: Question,
    pub(super) answer: oneshot::Sender<Report>,
}

/// Answers at the socket until it is dropped.
pub(super) struct Socket(JoinHandle<()>);

impl Socket {
    pub(super) fn listen(folder: &Folder, asked: mpsc::Sender<Asked>) -> io::Result<Self> {
        let listener = UnixListener::bind(folder.socket())?;
        Ok(Self(tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, asked.clone()))),
                    // Out of descriptors, perhaps; there may be some soon.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        })))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(stream: UnixStream, asked: mpsc::Sender<Asked>) {
    // Who has gone away needs no answer.
    let _gone = answer(stream, asked).await;
}

async fn answer(stream: UnixStream, asked: mpsc::Sender<Asked>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(MAX_QUESTION_BYTES);
    tokio::time::timeout(QUESTION_TIMEOUT, limited.read_line(&mut line)).await??;
    let question = serde_json::from_str(&line)?;
    let (answer, answered) = oneshot::channel();
    if asked.send(Asked { question, answer }).await.is_err() {
        return Ok(());
    }
    if let Ok(report) = answered.await {
        let report = serde_json::to_string(&report)?;
        stream.get_mut().write_all(format!("{report}\n").as_bytes()).await?;
    }
    Ok(())
}
