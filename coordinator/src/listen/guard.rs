//! Which role may call what.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::future::Either;
use poolmap_proto::access::Role;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use super::connection::Peer;
use super::refusals::Refusals;

/// Whom a call is for, by its path `/package.Service/Method`; `None`: for anybody who was let in.
pub(super) type Rule = fn(&str) -> Option<Role>;

/// A service whose calls are each for a role.
pub(super) fn guarded<S>(service: S, rule: Rule, refusals: &Refusals) -> Guarded<S> {
    Guarded { service, rule, refusals: refusals.clone() }
}

/// Refuses calls of those who may not make them.
#[derive(Clone, Debug)]
pub(super) struct Guarded<S> {
    service: S,
    rule: Rule,
    refusals: Refusals,
}

impl<S> Guarded<S> {
    fn check<B>(&self, request: &http::Request<B>) -> Result<(), Status> {
        let Some(peer) = request.extensions().get::<Peer>() else {
            return Err(Status::internal("it is not known who calls"));
        };
        match ((self.rule)(request.uri().path()), peer.role) {
            (Some(wanted), Some(role)) if wanted != role => {
                self.refusals
                    .log(peer.address, &format_args!("a {role}'s access does not do for a {wanted}'s call"));
                Err(Status::permission_denied(format!(
                    "this needs the access file of a {wanted}, and the one used is a {role}'s"
                )))
            }
            _ => Ok(()),
        }
    }
}

impl<S, B> Service<http::Request<B>> for Guarded<S>
where
    S: Service<http::Request<B>, Response = http::Response<Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<S::Response, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        match self.check(&request) {
            Ok(()) => Either::Left(self.service.call(request)),
            Err(status) => Either::Right(ready(Ok(status.into_http()))),
        }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}
