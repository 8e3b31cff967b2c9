//! What passes between the coordinator's socket and its services: counted, held up, or refused.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Watches the calls of a server.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    calls: Arc<Mutex<HashMap<String, u64>>>,
    /// Calls of `Get` that are still to fail.
    failing: Arc<Mutex<u32>>,
    /// Whether `Get` has to wait.
    closed: watch::Sender<bool>,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self { calls: Arc::default(), failing: Arc::default(), closed: watch::Sender::new(false) }
    }

    /// Calls of a method of the service of files.
    pub(crate) fn calls(&self, method: &str) -> u64 {
        let path = format!("/poolmap.v1.Files/{method}");
        self.calls.lock().unwrap().get(&path).copied().unwrap_or_default()
    }

    /// Lets the next calls of `Get` fail, as if the connection had broken.
    pub(crate) fn fail(&self, calls: u32) {
        *self.failing.lock().unwrap() = calls;
    }

    /// Holds up calls of `Get`, or lets them go on.
    pub(crate) fn close(&self, closed: bool) {
        self.closed.send_replace(closed);
    }

    fn fails_now(&self) -> bool {
        let mut failing = self.failing.lock().unwrap();
        let fails = *failing > 0;
        *failing = failing.saturating_sub(1);
        fails
    }
}

impl<S> Layer<S> for Wire {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { wire: self.clone(), inner }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Watched<S> {
    wire: Wire,
    inner: S,
}

impl<S> Service<http::Request<Body>> for Watched<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let is_get = path.ends_with("/Get");
        *self.wire.calls.lock().unwrap().entry(path).or_default() += 1;
        if is_get && self.wire.fails_now() {
            return Box::pin(async { Ok(Status::unavailable("cut").into_http()) });
        }
        let mut closed = self.wire.closed.subscribe();
        let mut inner = self.inner.clone();
        Box::pin(async move {
            if is_get {
                closed.wait_for(|closed| !closed).await.unwrap();
            }
            inner.call(request).await
        })
    }
}
