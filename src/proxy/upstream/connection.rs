//! hyper's ends of a connection, and a way out where hyper has none.
//!
//! A request that is queued at the very moment at which its connection ends may be left in the queue: hyper's receiving
//! side has looked for the last time, and the queue is dropped only with the last sender. So each connection tells when its
//! task is over, and whoever waits then lets go of the sender.

use std::time::Duration;

use http::{Request, Response};
use hudsucker::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An HTTP/2 request on a connection that is over is given up after this time. Others may hold the sender, too, so that
/// letting go of it does not help.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Why a request got no answer's head.
pub(super) enum SendError {
    /// Nothing of it was sent; here it is again.
    Unsent(Box<Request<Body>>),
    /// The connection broke, perhaps after a part of it was sent.
    Broken(hyper::Error),
    /// The connection was over before the request got onto it.
    Gone,
}

impl From<TrySendError<Request<Body>>> for SendError {
    fn from(mut failure: TrySendError<Request<Body>>) -> Self {
        match failure.take_message() {
            Some(request) => Self::Unsent(Box::new(request)),
            None => Self::Broken(failure.into_error()),
        }
    }
}

type Sent = Result<Response<Incoming>, SendError>;

/// An HTTP/1.1 connection, for one request at a time.
pub(super) struct Http1 {
    /// `None` once the connection is known to be over.
    sender: Option<http1::SendRequest<Body>>,
    gone: CancellationToken,
}

impl Http1 {
    /// `gone` is cancelled when the connection's task is over.
    pub(super) fn new(sender: http1::SendRequest<Body>, gone: CancellationToken) -> Self {
        Self { sender: Some(sender), gone }
    }

    /// Whether a request can be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.as_ref().is_some_and(http1::SendRequest::is_ready)
    }

    /// Whether no request can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(http1::SendRequest::is_closed)
    }

    /// Waits until the exchange before is over. False where the connection went with it.
    pub(super) async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        }
    }

    /// Sends a request and waits for its answer's head.
    pub(super) async fn send(&mut self, request: Request<Body>) -> Sent {
        let Some(sender) = &mut self.sender else { return Err(SendError::Unsent(Box::new(request))) };
        let sent = sender.try_send_request(request);
        tokio::pin!(sent);
        tokio::select! {
            biased;
            sent = &mut sent => return sent.map_err(Into::into),
            () = self.gone.cancelled() => self.sender = None,
        }
        sent.await.map_err(Into::into)
    }
}

/// An HTTP/2 connection, for as many requests at a time as the peer allows.
pub(super) struct Http2 {
    sender: http2::SendRequest<Body>,
    allowed: watch::Receiver<usize>,
    gone: CancellationToken,
}

impl Http2 {
    /// `allowed` tells how many streams the peer allows, `gone` is cancelled when the connection's task is over.
    pub(super) fn new(
        sender: http2::SendRequest<Body>,
        allowed: watch::Receiver<usize>,
        gone: CancellationToken,
    ) -> Self {
        Self { sender, allowed, gone }
    }

    /// How many streams the peer allows, as it changes.
    pub(super) fn allowed(&self) -> &watch::Receiver<usize> {
        &self.allowed
    }

    /// Whether no request can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Ends the wait of requests that the peer does not take, as if the connection were over.
    pub(super) fn give_up(&self) {
        self.gone.cancel();
    }

    /// Sends a request and waits for its answer's head.
    pub(super) async fn send(&self, request: Request<Body>) -> Sent {
        let sent = self.sender.clone().try_send_request(request);
        tokio::pin!(sent);
        tokio::select! {
            biased;
            sent = &mut sent => return sent.map_err(Into::into),
            () = self.gone.cancelled() => {}
        }
        match tokio::time::timeout(LAST_WORD, sent).await {
            Ok(sent) => sent.map_err(Into::into),
            Err(_) => Err(SendError::Gone),
        }
    }
}
