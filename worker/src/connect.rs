//! How a worker reaches its coordinator, again and again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use poolmap_proto::transport::Transport;

/// Why there is no way to the coordinator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers. That may change: it is tried again.
    #[error("{0}")]
    Unreachable(String),
    /// Trying again would be of no use: an address or a certificate is wrong, or a private socket is gone.
    #[error("{0}")]
    Refused(String),
}

type Connecting = Pin<Box<dyn Future<Output = Result<Transport, ConnectError>> + Send>>;

/// Makes connections to the coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<dyn Fn() -> Connecting + Send + Sync>);

impl Connector {
    /// `connect` makes one connection. If it knows several addresses it tries one after the other, giving each about a
    /// second.
    pub fn new<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Transport, ConnectError>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(connect())))
    }

    pub(crate) async fn connect(&self) -> Result<Transport, ConnectError> {
        (self.0)().await
    }
}

/// To a service in this process, which needs no connection.
impl From<Transport> for Connector {
    fn from(transport: Transport) -> Self {
        Self::new(move || std::future::ready(Ok(transport.clone())))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
