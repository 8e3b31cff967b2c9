//! Which role may call which service.

use poolmap_proto::access::Role;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use super::connection::Peer;
use super::refusals::Refusals;

/// A service for one role, or for all of them.
pub(super) fn guarded<S>(
    service: S,
    role: Option<Role>,
    refusals: &Refusals,
) -> InterceptedService<S, Guard> {
    InterceptedService::new(service, Guard { role, refusals: refusals.clone() })
}

/// Refuses calls of those who may not make them.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Absent: anybody who was let in.
    role: Option<Role>,
    refusals: Refusals,
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(peer) = request.extensions().get::<Peer>() else {
            return Err(Status::internal("it is not known who calls"));
        };
        match (self.role, peer.role) {
            (Some(wanted), Some(role)) if wanted != role => {
                self.refusals
                    .log(peer.address, &format_args!("a {role}'s access does not do for a {wanted}'s call"));
                Err(Status::permission_denied(format!(
                    "this needs the access file of a {wanted}, and the one used is a {role}'s"
                )))
            }
            _ => Ok(request),
        }
    }
}
