//! From a TCP connection to one that was let in: at once, in a handshake that must not take long.
//!
//! Whoever has not introduced itself costs little and is bounded in number. When too many wait, the one that has waited longest
//! goes: an honest peer needs milliseconds, so idle connections, however many, keep nobody out.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use poolmap_proto::transport::Validity;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Connection, Peer};
use super::refusals::Refusals;
use crate::access::Gate;

/// Time that a peer has to introduce itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Peers that may be about to introduce themselves. A thousand workers that come back at once all find room.
const HANDSHAKES_MAX: usize = 1024;
/// Wait before connections are taken again after the system had no more file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How peers prove what they may do.
#[derive(Clone)]
pub(super) enum Security {
    /// With certificates.
    Tls { acceptor: TlsAcceptor, gate: Gate },
    /// Not at all.
    None,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tls { .. } => "Tls",
            Self::None => "None",
        })
    }
}

/// Lets the connections of one socket in.
pub(super) struct Admission {
    security: Security,
    refusals: Refusals,
    admitted: mpsc::Sender<io::Result<Connection>>,
    handshakes: VecDeque<Handshake>,
}

struct Handshake {
    address: SocketAddr,
    task: AbortOnDropHandle<()>,
}

impl Admission {
    pub(super) fn new(
        security: Security,
        refusals: Refusals,
        admitted: mpsc::Sender<io::Result<Connection>>,
    ) -> Self {
        Self { security, refusals, admitted, handshakes: VecDeque::new() }
    }

    /// Takes connections for as long as it is polled.
    pub(super) async fn accept(mut self, socket: TcpListener) {
        loop {
            match socket.accept().await {
                Ok((stream, address)) => self.begin(stream, address),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!("cannot take connections: {error}");
                    self.drop_oldest(self.handshakes.len().div_ceil(2));
                    sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, address: SocketAddr) {
        if self.handshakes.len() >= HANDSHAKES_MAX {
            self.handshakes.retain(|handshake| !handshake.task.is_finished());
        }
        if self.handshakes.len() >= HANDSHAKES_MAX {
            self.drop_oldest(1);
        }
        let (security, refusals, admitted) =
            (self.security.clone(), self.refusals.clone(), self.admitted.clone());
        let task = tokio::spawn(async move {
            match timeout(HANDSHAKE_TIMEOUT, security.admit(stream, address)).await {
                Ok(Ok(connection)) => {
                    let _stopping = admitted.send(Ok(connection)).await;
                }
                Ok(Err(why)) => refusals.log(address, &why),
                Err(_elapsed) => refusals.log(
                    address,
                    &format_args!("it did not introduce itself within {} s", HANDSHAKE_TIMEOUT.as_secs()),
                ),
            }
        });
        self.handshakes.push_back(Handshake { address, task: AbortOnDropHandle::new(task) });
    }

    fn drop_oldest(&mut self, count: usize) {
        for handshake in self.handshakes.drain(..count.min(self.handshakes.len())) {
            if !handshake.task.is_finished() {
                self.refusals.log(handshake.address, &"too many others came before it had introduced itself");
            }
        }
    }
}

/// Whether accepting failed for the sake of the connection itself, and the next one may do better.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Security {
    async fn admit(&self, stream: TcpStream, address: SocketAddr) -> Result<Connection, Refusal> {
        stream.set_nodelay(true)?;
        match self {
            Self::Tls { acceptor, gate } => {
                let stream = acceptor.accept(stream).await?;
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let pass = certificate.and_then(|certificate| gate.pass(certificate));
                let pass = pass.ok_or_else(|| io::Error::other(TlsError::from(CertificateError::Revoked)))?;
                Ok(Connection::new(stream, Peer { address, role: Some(pass.role) }, pass.revoked))
            }
            Self::None => {
                // What says nothing is not the server's business.
                stream.peek(&mut [0]).await?;
                Ok(Connection::new(stream, Peer { address, role: None }, CancellationToken::new()))
            }
        }
    }
}

/// Why a peer was not let in.
struct Refusal(io::Error);

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(TlsError::NoCertificatesPresented) => f.write_str("it has no access file"),
            Some(TlsError::InvalidCertificate(CertificateError::Revoked)) => {
                f.write_str("its access was revoked")
            }
            Some(
                TlsError::InvalidCertificate(CertificateError::UnknownIssuer)
                | TlsError::AlertReceived(AlertDescription::UnknownCA),
            ) => f.write_str("its access file is for another cluster"),
            Some(TlsError::InvalidCertificate(error)) => match Validity::of(error) {
                Some(validity) => write!(f, "its access {validity}"),
                None => write!(f, "its access does not count: {error}"),
            },
            Some(TlsError::AlertReceived(alert)) => write!(f, "it does not take this coordinator: {alert:?}"),
            Some(TlsError::InvalidMessage(_) | TlsError::InappropriateMessage { .. }) => {
                f.write_str("it does not speak TLS")
            }
            Some(other) => other.fmt(f),
            None if self.0.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it hung up before it had introduced itself")
            }
            None => self.0.fmt(f),
        }
    }
}
