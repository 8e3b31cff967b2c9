//! A wire to the coordinator's socket that can be cut and restored, with and without anybody noticing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes on whatever comes, in both directions.
pub(crate) struct Wire {
    folder: TempDir,
    connections: Arc<Mutex<JoinSet<()>>>,
    /// Nothing passes as long as this is so; what was sent meanwhile comes later.
    is_silent: watch::Sender<bool>,
}

impl Wire {
    /// A wire to a socket. Call this within a tokio runtime.
    pub(crate) fn to(socket: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("wire")).unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let is_silent = watch::Sender::new(false);
        tokio::spawn(pass_on(listener, socket, connections.clone(), is_silent.subscribe()));
        Self { folder, connections, is_silent }
    }

    /// The socket at its other end.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("wire")
    }

    /// Breaks all connections; new ones can be made at once.
    pub(crate) fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }

    /// Lets nothing through, or all again.
    pub(crate) fn silence(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }

    /// Connections that were made, those that have ended included.
    pub(crate) fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }
}

async fn pass_on(
    listener: UnixListener,
    socket: PathBuf,
    connections: Arc<Mutex<JoinSet<()>>>,
    is_silent: watch::Receiver<bool>,
) {
    while let Ok((near, _)) = listener.accept().await {
        let (far, is_silent) = (socket.clone(), is_silent.clone());
        connections.lock().unwrap().spawn(carry(near, far, is_silent));
    }
}

async fn carry(near: UnixStream, socket: impl AsRef<Path>, is_silent: watch::Receiver<bool>) {
    let Ok(far) = UnixStream::connect(socket).await else { return };
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    // A connection whose one direction has ended is of no use to anybody here.
    tokio::select! {
        () = pump(from_near, to_far, is_silent.clone()) => {}
        () = pump(from_far, to_near, is_silent) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_silent: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let is_whole = is_silent.wait_for(|is_silent| !is_silent).await.is_ok();
        if !is_whole || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // Not even the end gets through.
    let _over = is_silent.wait_for(|is_silent| !is_silent).await;
}
