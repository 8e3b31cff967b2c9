//! The way to a coordinator, which can be taken again when a connection has broken.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Endpoint, Uri};

use super::dial::{Dialer, Tls};
use super::fault::ConnectError;
use super::{ALPN, Transport, TransportError, Unreachable, endpoint};
use crate::access::{self, Access, AccessError, Address, COORDINATOR_NAME, NoHome, Role};

/// How often a quiet connection over TCP is asked whether it lives, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Where a coordinator is and how to get in; cheap to clone.
#[derive(Clone)]
pub struct Route(Way);

#[derive(Clone)]
enum Way {
    Unix(PathBuf),
    Tcp(Dialer),
}

/// What is to lead to a coordinator does not.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRoute {
    /// There is no access file, or it is not one for this.
    #[error(transparent)]
    File(#[from] AccessError),
    /// It is not known where access files are.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The certificates or the key in an access file cannot be used.
    #[error("what is in the access file cannot be used: {0}")]
    Access(String),
    /// It is no address of a coordinator that speaks in the clear.
    #[error("'{0}' is no address of a coordinator; one looks like http://127.0.0.1:7464")]
    Url(String),
    /// What is in the clear stays on this machine.
    #[error(
        "'{0}' is not on this machine, and nothing crosses a network in the clear\nUse an access file instead: --access FILE"
    )]
    Network(String),
}

/// A route led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// Nobody answers at the socket.
    #[error(transparent)]
    Socket(#[from] Unreachable),
    /// No address answers as it should.
    #[error(transparent)]
    Network(#[from] ConnectError),
}

impl RouteError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Network(error) if error.is_final())
    }
}

impl Route {
    /// To a Unix socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self(Way::Unix(path.to_owned()))
    }

    /// To the coordinator of the access file that was named, else of the one that is found for this role; over TLS.
    pub fn of_access_file(named: Option<PathBuf>, role: Role) -> Result<Self, InvalidRoute> {
        let path = access::find(named, role)?;
        Self::tls(&Access::read(&path, role)?).map_err(|error| match error {
            InvalidRoute::Access(reason) => InvalidRoute::Access(format!("{}: {reason}", path.display())),
            other => other,
        })
    }

    /// To the coordinator of an access file, over TLS.
    pub fn tls(access: &Access) -> Result<Self, InvalidRoute> {
        let config = client_config(access).map_err(InvalidRoute::Access)?;
        let name = ServerName::try_from(COORDINATOR_NAME)
            .map_err(|error| InvalidRoute::Access(error.to_string()))?;
        let tls = Tls { connector: TlsConnector::from(Arc::new(config)), name };
        if access.addresses.is_empty() {
            return Err(InvalidRoute::Access("it has no address".to_owned()));
        }
        Ok(Self(Way::Tcp(Dialer { addresses: access.addresses.as_slice().into(), tls: Some(tls) })))
    }

    /// To a coordinator on this machine that speaks in the clear, at `http://127.0.0.1:PORT`.
    pub fn plain(url: &str) -> Result<Self, InvalidRoute> {
        let invalid = || InvalidRoute::Url(url.to_owned());
        let authority = url.strip_prefix("http://").ok_or_else(invalid)?;
        let address: Address = authority.trim_end_matches('/').parse().map_err(|_| invalid())?;
        if !address.is_loopback() {
            return Err(InvalidRoute::Network(url.to_owned()));
        }
        Ok(Self(Way::Tcp(Dialer { addresses: [address].into(), tls: None })))
    }

    /// Connects; over TCP this takes five seconds at most. The transport connects again by itself when it is used after its
    /// connection has broken.
    pub async fn connect(&self) -> Result<Transport, RouteError> {
        match &self.0 {
            Way::Unix(path) => Ok(Transport::unix(path).await?),
            Way::Tcp(dialer) => Ok(tcp(dialer).await?),
        }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Route").field(&self.to_string()).finish()
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Way::Unix(path) => write!(f, "{}", path.display()),
            Way::Tcp(dialer) => {
                let addresses: Vec<_> = dialer.addresses.iter().map(Address::to_string).collect();
                f.write_str(&addresses.join(", "))
            }
        }
    }
}

async fn tcp(dialer: &Dialer) -> Result<Transport, ConnectError> {
    // The first connection is made here, since this error says more than what comes out of the channel.
    let first = Arc::new(Mutex::new(Some(dialer.dial().await?)));
    let dialer = dialer.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dialer = dialer.clone();
        async move {
            let stream = match ready {
                Some(stream) => stream,
                None => dialer.dial().await?,
            };
            Ok::<_, ConnectError>(TokioIo::new(stream))
        }
    });
    let channel = endpoint(Endpoint::from_static("http://coordinator.poolmap.internal"))
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector);
    Ok(Transport::over(tower::ServiceExt::map_err(channel, TransportError)))
}

/// TLS 1.3 with the certificate of an access file, and trust in its authority alone.
fn client_config(access: &Access) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(access.authority.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("its authority: {error}"))?;
        roots.add(certificate).map_err(|error| format!("its authority: {error}"))?;
    }
    let chain = CertificateDer::pem_slice_iter(access.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("its certificate: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(access.key.as_bytes()).map_err(|_| "its key is no key in PEM")?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("its certificate: {error}"))?;
    // Each connection shows its certificate anew, so that a revoked one is noticed.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
