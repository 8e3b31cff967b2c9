//! The coordinator on a network: every connection proves what it may do before anything of it is read.
//!
//! [`Listener`] binds and serves; `admission` lets connections in, `guard` lets each call only where its role may go. Nothing
//! here knows what the services do.

mod admission;
mod connection;
mod guard;
mod refusals;
mod verifier;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use poolmap_proto::access::Role;
use poolmap_proto::{DESCRIPTORS, transport};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use self::admission::{Admission, Security};
use self::connection::Connection;
use self::guard::{Rule, guarded};
use self::refusals::Refusals;
use crate::Coordinator;
use crate::access::{AuthorityError, Folder, Gate};

/// What health clients call a whole server.
const WHOLE: &str = "";
/// Connections that have been let in and that the server has not taken up yet.
const ADMITTED: usize = 64;
/// Calls at once on one connection. A job takes two, a worker one; what is buffered for all of them together is bounded by
/// the connection's window.
const STREAMS_MAX: u32 = 1024;
/// How often a quiet connection is asked whether it lives, and how long the answer may take.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Time that calls have to end once the coordinator has stopped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A coordinator cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system does not let it.
    #[error("cannot listen at {address}: {reason}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// What is in its folder makes no TLS.
    #[error("cannot use the cluster's certificates: {0}")]
    Tls(String),
    /// Its certificate could not be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Its server ended with an error.
    #[error("the coordinator's server failed: {0}")]
    Server(#[from] tonic::transport::Error),
    /// Its reflection service could not be made: a defect of this program.
    #[error("cannot describe the services: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Bound to its addresses, and letting nobody in yet.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    security: Security,
    /// The gate, and the folder that it follows.
    revocations: Option<(Gate, PathBuf)>,
}

impl Listener {
    /// Listens with TLS, for those with an access file of this folder's authority.
    pub async fn bind(addresses: &[SocketAddr], folder: &Folder) -> Result<Self, ListenError> {
        let gate = Gate::new(folder.authority());
        let config = verifier::server_config(folder.authority(), gate.clone())?;
        let security = Security::Tls { acceptor: Arc::new(config).into(), gate: gate.clone() };
        let revocations = Some((gate, folder.path().to_owned()));
        Ok(Self { sockets: bind(addresses).await?, security, revocations })
    }

    /// Listens in the clear, for everybody.
    pub async fn bind_insecure(addresses: &[SocketAddr]) -> Result<Self, ListenError> {
        Ok(Self { sockets: bind(addresses).await?, security: Security::None, revocations: None })
    }

    /// Where it listens: with the ports that the system has chosen where they were 0.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves a coordinator until `stop` completes, and a moment longer for calls that are about to end.
    pub async fn serve(
        self,
        coordinator: &Coordinator,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ListenError> {
        let refusals = Refusals::default();
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status(WHOLE, ServingStatus::Serving).await;
        let _health = AbortOnDropHandle::new(tokio::spawn(follow(coordinator.draining(), health)));
        let routes = routes(coordinator, health_service, &refusals)?;
        let (sender, admitted) = mpsc::channel(ADMITTED);
        let _revocations =
            self.revocations.map(|(gate, folder)| AbortOnDropHandle::new(tokio::spawn(gate.follow(folder))));
        let accepting: Vec<_> = self
            .sockets
            .into_iter()
            .map(|socket| {
                let admission = Admission::new(self.security.clone(), refusals.clone(), sender.clone());
                AbortOnDropHandle::new(tokio::spawn(admission.accept(socket)))
            })
            .collect();
        drop(sender);
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let stopping = async {
            stop.await;
            drop(accepting);
            let _ended = stopping.send(());
        };
        let serving = server().add_routes(routes).serve_with_incoming_shutdown(
            ReceiverStream::<io::Result<Connection>>::new(admitted),
            async {
                let _sent = stopped.await;
            },
        );
        tokio::select! {
            ended = serving => ended?,
            () = async { stopping.await; tokio::time::sleep(CLOSE_TIMEOUT).await } => {}
        }
        Ok(())
    }
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let mut sockets = Vec::new();
    for address in addresses {
        let socket = TcpListener::bind(address).await;
        sockets.push(socket.map_err(|reason| ListenError::Bind { address: *address, reason })?);
    }
    Ok(sockets)
}

fn server() -> Server {
    transport::server()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
}

/// Tells those who ask after its health that a coordinator takes no new jobs.
async fn follow(draining: impl Future<Output = ()>, health: HealthReporter) {
    draining.await;
    health.set_service_status(WHOLE, ServingStatus::NotServing).await;
}

/// The services, each for whom it is meant.
fn routes(
    coordinator: &Coordinator,
    health: HealthServer<impl Health>,
    refusals: &Refusals,
) -> Result<Routes, ListenError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (clients, workers): (Rule, Rule) = (|_| Some(Role::Client), |_| Some(Role::Worker));
    let anybody: Rule = |_| None;
    // Clients bring them, and workers fetch them.
    let files: Rule = |path| Some(if path.ends_with("/Get") { Role::Worker } else { Role::Client });
    Ok(Routes::new(guarded(coordinator.jobs(), clients, refusals))
        .add_service(guarded(coordinator.cluster(), clients, refusals))
        .add_service(guarded(coordinator.workers(), workers, refusals))
        .add_service(guarded(coordinator.files(), files, refusals))
        .add_service(guarded(health, anybody, refusals))
        .add_service(guarded(reflection().build_v1()?, anybody, refusals))
        .add_service(guarded(reflection().build_v1alpha()?, anybody, refusals)))
}
