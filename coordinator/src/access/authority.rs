//! The certificate authority of a cluster.

use std::time::Duration;

use poolmap_proto::access::{Access, Address, COORDINATOR_NAME, Role};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Certificates are valid from so long before they were made: clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// Certificates of coordinators are made anew at each start, so this is how long one may run.
const COORDINATOR_VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// The first year of which no certificate can be valid to the end.
const LAST_YEAR: i32 = 9999;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a certificate: {0}")]
pub struct AuthorityError(#[from] rcgen::Error);

/// The authority that makes the certificates of one cluster, and which of them it still stands by.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// Who the certificates are issued by; no two clusters have the same.
    name: String,
    /// In PEM.
    certificate: String,
    /// In PEM.
    key: String,
    pub(super) generations: Generations,
}

/// The generation of each role's certificates that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generations {
    client: u32,
    worker: u32,
}

impl Generations {
    pub(super) fn of(self, role: Role) -> u32 {
        match role {
            Role::Client => self.client,
            Role::Worker => self.worker,
        }
    }
}

/// What a coordinator shows to its peers.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new one.
    pub(super) fn make() -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        // The key tells it from all others.
        let serial =
            key.public_key_raw().iter().rev().take(8).fold(0, |serial, byte| serial << 8 | u64::from(*byte));
        let name = format!("poolmap cluster {serial:016x}");
        let mut params = authority_params(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        (params.not_before, params.not_after) = validity(Duration::MAX);
        let issuer = CertifiedIssuer::self_signed(params, &key)?;
        let certificate = issuer.pem();
        let generations = Generations { client: 1, worker: 1 };
        Ok(Self { name, certificate, key: key.serialize_pem(), generations })
    }

    /// An access of a role, which counts until the role is revoked or the time is over.
    pub fn issue(
        &self,
        role: Role,
        addresses: Vec<Address>,
        valid_for: Duration,
    ) -> Result<Access, AuthorityError> {
        let name = role.certificate_name(self.generations.of(role));
        let (certificate, key) = self.sign(&name, ExtendedKeyUsagePurpose::ClientAuth, valid_for)?;
        Ok(Access {
            role,
            addresses,
            authority: self.certificate.clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    /// Stands no longer by what it has issued to a role.
    pub(super) fn revoke(&mut self, role: Role) {
        let generation = match role {
            Role::Client => &mut self.generations.client,
            Role::Worker => &mut self.generations.worker,
        };
        *generation += 1;
    }

    /// What the coordinator of this cluster shows; made anew each time.
    pub(crate) fn identity(&self) -> Result<Identity, AuthorityError> {
        let (certificate, key) =
            self.sign(COORDINATOR_NAME, ExtendedKeyUsagePurpose::ServerAuth, COORDINATOR_VALID_FOR)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Identity { certificate: certificate.der().clone(), key: key.into() })
    }

    /// Its own certificate, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    fn sign(
        &self,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
        valid_for: Duration,
    ) -> Result<(rcgen::Certificate, KeyPair), AuthorityError> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = common_name(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(valid_for);
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority_params(&self.name), KeyPair::from_pem(&self.key)?);
        let certificate = params.signed_by(&key, &issuer)?;
        Ok((certificate, key))
    }
}

impl std::fmt::Debug for Authority {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("name", &self.name)
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// From a day ago until so long from now, or as long as a certificate can say.
fn validity(valid_for: Duration) -> (OffsetDateTime, OffsetDateTime) {
    let now = OffsetDateTime::now_utc();
    let last = rcgen::date_time_ymd(LAST_YEAR, 12, 31);
    let until = time::Duration::try_from(valid_for).ok().and_then(|valid_for| now.checked_add(valid_for));
    (now - BACKDATED, until.unwrap_or(last).min(last))
}
