//! Why a coordinator cannot be reached, in words for whoever has to do something about it.

use std::io;
use std::time::{Duration, SystemTime};

use humantime::format_rfc3339_seconds;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::access::Address;

/// What went wrong at one address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name means nothing here.
    #[error("its host name does not resolve")]
    Unresolved,
    /// No process listens at the port.
    #[error("nobody listens there")]
    NobodyListens,
    /// No answer came in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// The connection was closed before it was of use.
    #[error("it closed the connection")]
    HungUp,
    /// The system said something else.
    #[error("{0}")]
    System(String),
    /// What answers does not speak TLS.
    #[error("what answers there does not speak TLS")]
    NotTls,
    /// Another authority has made the certificate of one end.
    #[error("this access file is for another cluster")]
    OtherCluster,
    /// The coordinator's certificate is not valid at this time.
    #[error("its certificate {0}")]
    ClocksDiffer(Validity),
    /// What answers is no coordinator, or one of a strange version.
    #[error("what answers there is not the coordinator of this cluster ({0})")]
    Stranger(String),
    /// The coordinator says that the access has expired, or is not valid yet.
    #[error(
        "this access file has expired, or is not valid yet, by the coordinator's clock; the clock here says {}",
        format_rfc3339_seconds(*here)
    )]
    Expired {
        /// The time here.
        here: SystemTime,
    },
    /// The coordinator says that the access was revoked.
    #[error("this access file was revoked")]
    Revoked,
    /// The coordinator does not take the access, for a reason of its own.
    #[error("the coordinator does not take this access file ({0})")]
    Refused(String),
}

impl Fault {
    /// Whether the coordinator itself has said no.
    fn is_verdict(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Revoked | Self::Refused(_))
    }

    /// Whether trying again cannot help.
    fn is_final(&self) -> bool {
        self.is_verdict()
            || matches!(self, Self::OtherCluster | Self::ClocksDiffer(_) | Self::Stranger(_) | Self::NotTls)
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Unresolved => {
                "Check the address, or have the coordinator name one that is known here: poolmap coordinator --advertise HOST"
            }
            Self::NobodyListens | Self::System(_) | Self::HungUp => {
                "Is the coordinator running, and is this its address? To reach it from other hosts it needs: --listen 0.0.0.0:7464"
            }
            Self::TimedOut => "Is the coordinator running, and does a firewall let its port through?",
            Self::NotTls => {
                "A coordinator that was started with --insecure is reached with: --connect http://ADDRESS --insecure"
            }
            Self::OtherCluster => {
                "Use the one that this coordinator has made: it lies in its folder, or --new-access makes another"
            }
            Self::ClocksDiffer(_) => {
                "Check the clocks of both machines: the coordinator's certificate counts from a day before its start"
            }
            Self::Stranger(_) => "Check the address",
            Self::Expired { .. } => {
                "Check the clocks of both machines; if they are right, have the coordinator's host make another: \
                 poolmap coordinator --new-access"
            }
            Self::Revoked | Self::Refused(_) => {
                "Have the coordinator's host make another: poolmap coordinator --new-access"
            }
        }
    }

    /// What a system call said.
    pub(super) fn of_system(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::NobodyListens,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::HungUp
            }
            _ => Self::System(error.to_string()),
        }
    }

    /// What a connection with TLS said.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            None => Self::of_system(error),
            Some(TlsError::InvalidCertificate(refused)) => Self::of_certificate(refused),
            Some(TlsError::AlertReceived(alert)) => Self::of_alert(*alert),
            Some(TlsError::InvalidMessage(_)) => Self::NotTls,
            Some(other) => Self::Stranger(other.to_string()),
        }
    }

    /// Why this end did not take the coordinator's certificate.
    fn of_certificate(refused: &CertificateError) -> Self {
        match (Validity::of(refused), refused) {
            (Some(validity), _) => Self::ClocksDiffer(validity),
            (None, CertificateError::UnknownIssuer) => Self::OtherCluster,
            (None, other) => Self::Stranger(other.to_string()),
        }
    }

    /// Why the coordinator did not take ours.
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateExpired => Self::Expired { here: SystemTime::now() },
            AlertDescription::CertificateRevoked => Self::Revoked,
            AlertDescription::UnknownCA => Self::OtherCluster,
            other => Self::Refused(format!("{other:?}")),
        }
    }
}

/// When a certificate counts that does not count now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// From some time on.
    From {
        /// The certificate says.
        start: SystemTime,
        /// The clock here says.
        now: SystemTime,
    },
    /// Until some time.
    Until {
        /// The certificate says.
        end: SystemTime,
        /// The clock here says.
        now: SystemTime,
    },
}

impl Validity {
    /// Why a certificate was not taken, if it was for its time.
    #[must_use]
    pub fn of(refused: &CertificateError) -> Option<Self> {
        let time = |time: UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
        match refused {
            CertificateError::NotValidYetContext { time: now, not_before } => {
                Some(Self::From { start: time(*not_before), now: time(*now) })
            }
            CertificateError::ExpiredContext { time: now, not_after } => {
                Some(Self::Until { end: time(*not_after), now: time(*now) })
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Validity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (counts, limit, now) = match *self {
            Self::From { start, now } => ("counts from", start, now),
            Self::Until { end, now } => ("counted until", end, now),
        };
        let [limit, now] = [limit, now].map(format_rfc3339_seconds);
        write!(f, "{counts} {limit}, and the clock here says {now}")
    }
}

/// A coordinator could not be reached at any of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// In the order in which they failed; at least one.
    faults: Vec<(Address, Fault)>,
}

impl ConnectError {
    pub(super) fn new(faults: Vec<(Address, Fault)>) -> Self {
        Self { faults }
    }

    /// Whether trying again cannot help: the coordinator has refused this access, or nothing that answers knows it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.verdict().is_some() || self.faults.iter().all(|(_, fault)| fault.is_final())
    }

    /// What went wrong at each address.
    #[must_use]
    pub fn faults(&self) -> &[(Address, Fault)] {
        &self.faults
    }

    fn verdict(&self) -> Option<&(Address, Fault)> {
        self.faults.iter().find(|(_, fault)| fault.is_verdict())
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = self.verdict().map_or(self.faults.as_slice(), std::slice::from_ref);
        write!(f, "cannot reach the coordinator at ")?;
        for (number, (address, fault)) in told.iter().enumerate() {
            write!(f, "{}{address}: {fault}", if number > 0 { "; at " } else { "" })?;
        }
        // What is final is more telling than an address that does not answer.
        let gravest = told.iter().find(|(_, fault)| fault.is_final()).or(told.first());
        gravest.map_or(Ok(()), |(_, fault)| write!(f, "\n{}", fault.advice()))
    }
}

impl std::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(faults: &[(&str, Fault)]) -> ConnectError {
        let faults =
            faults.iter().filter_map(|(address, fault)| Some((address.parse().ok()?, fault.clone())));
        ConnectError::new(faults.collect())
    }

    #[test]
    fn what_the_coordinator_says_counts_more_than_where_nobody_listens() {
        let error = error(&[("one", Fault::NobodyListens), ("two", Fault::Revoked)]);
        assert!(error.is_final());
        assert!(!error.to_string().contains("one"), "{error}");
        assert!(error.to_string().contains("two:7464: this access file was revoked\n"), "{error}");
    }

    #[test]
    fn a_stranger_at_one_address_is_no_reason_to_give_up_another() {
        assert!(!error(&[("one", Fault::OtherCluster), ("two", Fault::TimedOut)]).is_final());
        assert!(error(&[("one", Fault::OtherCluster), ("two", Fault::NotTls)]).is_final());
        assert!(!error(&[("one", Fault::NobodyListens)]).is_final());
    }
}
