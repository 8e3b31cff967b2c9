//! A wire between workers and the coordinator's socket that can be cut.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Passes on whatever comes, in both directions, as long as it is not cut.
pub(crate) struct Wire {
    folder: TempDir,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Wire {
    /// A wire to a socket. Call this within a tokio runtime.
    pub(crate) fn to(socket: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("wire")).unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        tokio::spawn(pass_on(listener, socket, connections.clone()));
        Self { folder, connections }
    }

    /// The socket at its other end.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("wire")
    }

    /// Breaks all connections; new ones can be made at once.
    pub(crate) fn cut(&self) {
        self.connections.lock().unwrap().abort_all();
    }
}

async fn pass_on(listener: UnixListener, socket: PathBuf, connections: Arc<Mutex<JoinSet<()>>>) {
    while let Ok((near, _)) = listener.accept().await {
        let far = socket.clone();
        connections.lock().unwrap().spawn(carry(near, far));
    }
}

async fn carry(mut near: UnixStream, socket: impl AsRef<Path>) {
    if let Ok(mut far) = UnixStream::connect(socket).await {
        let _broken = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
