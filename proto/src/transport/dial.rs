//! Reaching a coordinator over TCP: all its addresses, one soon after the other, and the first that answers is taken.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::fault::{ConnectError, Fault};
use crate::access::Address;

/// Time that one address has to answer.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that all of them have together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Head start of an address before the next one is tried, too: those that do not answer must not use up the time.
const HEAD_START: Duration = Duration::from_millis(250);

/// Bytes to and from a coordinator.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// How to reach a coordinator; cheap to clone.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) addresses: Arc<[Address]>,
    /// Absent: in the clear.
    pub(super) tls: Option<Tls>,
}

/// How to know a coordinator, and be known.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Dialer {
    /// The connection that answers first.
    pub(super) async fn dial(&self) -> Result<Box<dyn Stream>, ConnectError> {
        let mut faults = Vec::new();
        if let Ok(stream) = timeout(DIAL_TIMEOUT, self.race(&mut faults)).await
            && let Some(stream) = stream
        {
            return Ok(stream);
        }
        let untold = self.addresses.iter().filter(|address| faults.iter().all(|(told, _)| told != *address));
        let silent: Vec<_> = untold.map(|address| (address.clone(), Fault::TimedOut)).collect();
        faults.extend(silent);
        Err(ConnectError::new(faults))
    }

    async fn race(&self, faults: &mut Vec<(Address, Fault)>) -> Option<Box<dyn Stream>> {
        let mut waiting = self.addresses.iter();
        let mut attempts = JoinSet::new();
        loop {
            let next = waiting.next();
            if let Some(address) = next {
                attempts.spawn(self.clone().attempt(address.clone()));
            }
            let head_start = async {
                match next {
                    Some(_) => sleep(HEAD_START).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ended = attempts.join_next() => match ended? {
                    Ok(Ok(stream)) => return Some(stream),
                    Ok(Err(fault)) => faults.push(fault),
                    Err(_panicked) => {}
                },
                () = head_start => {}
            }
        }
    }

    async fn attempt(self, address: Address) -> Result<Box<dyn Stream>, (Address, Fault)> {
        let connected = timeout(ADDRESS_TIMEOUT, self.connect(&address)).await;
        connected.unwrap_or(Err(Fault::TimedOut)).map_err(|fault| (address, fault))
    }

    /// A connection that the coordinator has let in.
    async fn connect(&self, address: &Address) -> Result<Box<dyn Stream>, Fault> {
        let found = tokio::net::lookup_host(address.to_string()).await.map_err(|_| Fault::Unresolved)?;
        let found: Vec<_> = found.collect();
        let tcp = TcpStream::connect(found.as_slice()).await.map_err(|error| Fault::of_system(&error))?;
        tcp.set_nodelay(true).map_err(|error| Fault::of_system(&error))?;
        let Some(tls) = &self.tls else {
            // In the clear it is the client that speaks first.
            return Ok(Box::new(tcp));
        };
        let shaken = tls.connector.connect(tls.name.clone(), tcp).await;
        let mut stream = shaken.map_err(|error| Fault::of_tls(&error))?;
        // Only the coordinator's first word says that it takes us, too.
        let first = stream.fill_buf().await.map_err(|error| Fault::of_tls(&error))?;
        if first.is_empty() { Err(Fault::HungUp) } else { Ok(Box::new(stream)) }
    }
}
