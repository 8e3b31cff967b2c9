//! Which certificates count at the moment.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use poolmap_proto::access::Role;
use tokio::time::MissedTickBehavior;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Generations};
use super::folder;

/// How often a running coordinator looks whether certificates were revoked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Knows the certificates that count; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    current: Arc<Mutex<Current>>,
}

#[derive(Debug)]
struct Current {
    generations: Generations,
    /// Cancelled when the role's generation ends.
    ends: [(Role, CancellationToken); 2],
}

/// A certificate that counts.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    pub(crate) role: Role,
    /// Cancelled when it counts no longer.
    pub(crate) revoked: CancellationToken,
}

impl Gate {
    pub(crate) fn new(authority: &Authority) -> Self {
        let ends = Role::ALL.map(|role| (role, CancellationToken::new()));
        Self { current: Arc::new(Mutex::new(Current { generations: authority.generations, ends })) }
    }

    /// Whom a certificate of this cluster's authority belongs to; nobody if it was revoked.
    pub(crate) fn pass(&self, certificate: &CertificateDer<'_>) -> Option<Pass> {
        let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.ends.iter().find_map(|(role, revoked)| {
            let name = role.certificate_name(current.generations.of(*role));
            let name = ServerName::try_from(name).ok()?;
            certificate.verify_is_valid_for_subject_name(&name).ok()?;
            Some(Pass { role: *role, revoked: revoked.clone() })
        })
    }

    /// Follows what is revoked in a folder, for as long as it is polled.
    pub(crate) async fn follow(self, folder: PathBuf) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = None;
        loop {
            looks.tick().await;
            let written = folder::written_at(&folder);
            if written.is_none() || written == seen {
                continue;
            }
            match folder::read_authority(&folder) {
                Ok(authority) => self.update(authority.generations),
                Err(error) => tracing::error!("what was revoked is not known: {error}"),
            }
            seen = written;
        }
    }

    fn update(&self, generations: Generations) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut current.generations, generations);
        for (role, end) in &mut current.ends {
            if was.of(*role) != generations.of(*role) {
                tracing::warn!(
                    "all earlier access files of {role}s are revoked, and their connections closed"
                );
                std::mem::take(end).cancel();
            }
        }
    }
}
