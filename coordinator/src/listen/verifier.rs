//! TLS as a coordinator speaks it: version 1.3, with a certificate at both ends.

use std::sync::Arc;

use poolmap_proto::transport::ALPN;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::ListenError;
use crate::access::{Authority, Gate};

/// What a coordinator with this authority says in a handshake, and whom it lets in.
pub(super) fn server_config(authority: &Authority, gate: Gate) -> Result<ServerConfig, ListenError> {
    let identity = authority.identity()?;
    let tls = |error: &dyn std::fmt::Display| ListenError::Tls(error.to_string());
    let mut roots = RootCertStore::empty();
    let root =
        CertificateDer::from_pem_slice(authority.certificate().as_bytes()).map_err(|error| tls(&error))?;
    roots.add(root).map_err(|error| tls(&error))?;
    let provider = Arc::new(ring::default_provider());
    let chains = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    let verifier = Verifier { chains: chains.map_err(|error| tls(&error))?, gate };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| tls(&error))?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![identity.certificate], identity.key)
        .map_err(|error| tls(&error))?;
    // A session that is taken up again would not show its certificate, which may have been revoked.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Takes certificates of the cluster's authority that count.
#[derive(Debug)]
struct Verifier {
    chains: Arc<dyn ClientCertVerifier>,
    gate: Gate,
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chains.verify_client_cert(end_entity, intermediates, now)?;
        match self.gate.pass(end_entity) {
            Some(_) => Ok(verified),
            None => Err(CertificateError::Revoked.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
