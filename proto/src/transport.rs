//! The ways to a service of `poolmap.v1`: TCP (with TLS, unless in the clear), a Unix socket, or a service in this very process.

mod dial;
mod fault;
mod route;

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::body::Body;
use tonic::transport::{Endpoint, Server, Uri};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

pub use self::fault::{ConnectError, Fault, Validity};
pub use self::route::{InvalidRoute, Route, RouteError};

/// Bytes of a stream on their way before the other end must confirm; the default of 64 KiB would stall large payloads.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// Bytes of the largest HTTP/2 frame: fewer and larger writes for large payloads.
const FRAME_BYTES: u32 = 1 << 20;

/// What both ends of a connection with TLS say that they speak.
pub const ALPN: &[u8] = b"h2";

/// Anything that takes gRPC requests.
pub type GrpcService = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, TransportError>;

/// A request could not be carried to its service or back.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransportError(#[from] tonic::transport::Error);

/// Nobody answers at a socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach the coordinator at {}: {reason}", path.display())]
pub struct Unreachable {
    /// The socket that was tried.
    pub path: PathBuf,
    /// What the system said.
    pub reason: String,
}

/// A way to a service, cheap to clone.
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
    pub async fn unix(path: &Path) -> Result<Self, Unreachable> {
        let connect_to = PathBuf::from(path);
        let connector = tower::service_fn(move |_: Uri| {
            let path = connect_to.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The URI is only a name: the connector above knows the way.
        let channel = endpoint(Endpoint::from_static("http://localhost"))
            .connect_with_connector(connector)
            .await
            .map_err(|error| Unreachable { path: path.to_owned(), reason: with_causes(&error) })?;
        Ok(Self::over(channel.map_err(TransportError)))
    }

    fn over<S>(service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = TransportError>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(service))
    }

    /// The service at the other end, for a generated client.
    #[must_use]
    pub fn into_service(self) -> GrpcService {
        self.0
    }
}

fn endpoint(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// A gRPC server with the same windows as the clients.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
}

/// An error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
