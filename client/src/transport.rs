//! The ways to a coordinator: a Unix socket, or a service in this very process.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::body::Body;
use tonic::transport::{Endpoint, Uri};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use crate::error::ClientError;

/// Bytes on their way before the other end must confirm; the default of 64 KiB would stall large payloads.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Anything that takes gRPC requests.
pub(crate) type GrpcService = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, TransportError>;

/// A request could not be carried to the coordinator or back.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct TransportError(#[from] tonic::transport::Error);

/// A way to a coordinator, cheap to clone.
#[derive(Clone, Debug)]
pub struct Transport(GrpcService);

impl Transport {
    /// Calls a service that lives in this process, without a socket in between.
    pub fn in_process<S>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service.map_err(|never| match never {})))
    }

    /// Connects to a Unix socket.
    pub async fn unix(path: &Path) -> Result<Self, ClientError> {
        let connect_to = PathBuf::from(path);
        let connector = tower::service_fn(move |_: Uri| {
            let path = connect_to.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The URI is only a name: the connector above knows the way.
        let channel = Endpoint::from_static("http://localhost")
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .connect_with_connector(connector)
            .await
            .map_err(|error| ClientError::Unreachable { path: path.to_owned(), reason: chain(&error) })?;
        Ok(Self(BoxCloneSyncService::new(channel.map_err(TransportError))))
    }

    pub(crate) fn into_service(self) -> GrpcService {
        self.0
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
