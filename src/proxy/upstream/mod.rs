//! The upstream leg: sends a request to its server and brings the answer, over connections shared by all users.
//!
//! A request is sent again only where hyper hands it back, which it does only when nothing of it was written.

mod body;
mod connection;
mod dial;
mod pool;
mod roots;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hudsucker::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

pub(crate) use body::AnswerBody;
pub(crate) use dial::DialError;
pub(crate) use dial::Dialler;
pub use roots::{RootsError, client_config};

use self::connection::SendError;
use self::pool::{Lease, OriginPool};
use super::headers;
use super::idle::Activity;
use super::target::Origin;
use crate::metrics::{Metrics, UpstreamFailure};

/// Attempts in all, where an attempt found its connection closed before anything was sent.
const ATTEMPTS: usize = 3;
/// How often connections are looked at for retirement.
const RETIRE_EVERY: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] Arc<DialError>),
    /// The connection broke before the answer's head.
    #[error("the connection broke before an answer came: {}", cause(.0))]
    Broken(hyper::Error),
    /// The connection ended before the request got onto it, more often than it was tried anew.
    #[error("the connection ended before the request was sent")]
    Unsent,
    /// The server was silent after the request.
    #[error("no answer within `upstream.first_byte_timeout`")]
    FirstByte,
}

impl From<SendError> for UpstreamError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Broken(error) => Self::Broken(error),
            SendError::Unsent(_) | SendError::Gone => Self::Unsent,
        }
    }
}

impl UpstreamError {
    /// What it is counted as.
    pub(crate) fn kind(&self) -> UpstreamFailure {
        match self {
            Self::Dial(error) => error.kind(),
            Self::Broken(_) | Self::Unsent => UpstreamFailure::Broken,
            Self::FirstByte => UpstreamFailure::FirstByteTimeout,
        }
    }
}

/// hyper's messages name only the layer; the cause below says what happened.
fn cause(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// How long the server may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Before the answer's head.
    pub(crate) first_byte: Duration,
    /// Between two parts of the answer's body.
    pub(crate) idle: Duration,
}

/// Sends requests to servers.
pub(crate) struct Upstream {
    dialler: Arc<Dialler>,
    pools: Mutex<HashMap<Origin, Arc<OriginPool>>>,
    metrics: Arc<Metrics>,
}

impl Upstream {
    /// With no connection yet: nothing is dialled before a client asks.
    pub(crate) fn new(dialler: Dialler, metrics: Arc<Metrics>) -> Arc<Self> {
        let upstream = Arc::new(Self { dialler: Arc::new(dialler), pools: Mutex::default(), metrics });
        tokio::spawn(retire_idle(Arc::downgrade(&upstream)));
        upstream
    }

    /// What opens connections, for tunnels that carry bytes unseen.
    pub(crate) fn dialler(&self) -> &Dialler {
        &self.dialler
    }

    /// Sends a request and waits for the answer's head. `upload` tells of progress with the request's body, which
    /// keeps the first-byte clock from running.
    pub(crate) async fn send(
        &self,
        origin: &Origin,
        mut request: Request<Body>,
        upload: &Activity,
        patience: Patience,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let mut attempt = 1;
        loop {
            let mut lease = self.pool(origin).lease().await?;
            if lease.is_http2() {
                headers::for_http2(&mut request, origin);
            } else {
                headers::for_http1(&mut request, origin);
            }
            upload.touch();
            let sent = tokio::select! {
                sent = lease.send(request) => sent,
                () = upload.silence(patience.first_byte) => return Err(UpstreamError::FirstByte),
            };
            match sent {
                Ok(response) => return Ok(self.answer(response, Some(lease), patience)),
                Err(SendError::Unsent(unsent)) if attempt < ATTEMPTS => request = *unsent,
                Err(error) => return Err(error.into()),
            }
            attempt += 1;
        }
    }

    /// Sends a request that asks for another protocol, on a connection of its own.
    pub(crate) async fn send_upgrade(
        &self,
        origin: &Origin,
        mut request: Request<Body>,
        patience: Patience,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let mut connection = self.dialler.dial_http1(origin).await.map_err(Arc::new)?;
        headers::for_http1(&mut request, origin);
        match tokio::time::timeout(patience.first_byte, connection.send(request)).await {
            Ok(Ok(response)) => Ok(self.answer(response, None, patience)),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(UpstreamError::FirstByte),
        }
    }

    fn answer(&self, response: Response<Incoming>, lease: Option<Lease>, patience: Patience) -> Response<AnswerBody> {
        response.map(|incoming| AnswerBody::new(incoming, lease, patience.idle, Arc::clone(&self.metrics)))
    }

    fn pool(&self, origin: &Origin) -> Arc<OriginPool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        match pools.get(origin) {
            Some(pool) => Arc::clone(pool),
            None => {
                let pool = OriginPool::new(origin.clone(), Arc::clone(&self.dialler));
                pools.insert(origin.clone(), Arc::clone(&pool));
                pool
            }
        }
    }

    fn retire(&self) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        // A pool that somebody else holds may be about to be used.
        pools.retain(|_, pool| !pool.retire() || Arc::strong_count(pool) > 1);
    }
}

async fn retire_idle(upstream: std::sync::Weak<Upstream>) {
    let mut tick = tokio::time::interval_at(Instant::now() + RETIRE_EVERY, RETIRE_EVERY);
    loop {
        tick.tick().await;
        match upstream.upgrade() {
            Some(upstream) => upstream.retire(),
            None => return,
        }
    }
}
