//! What the fake Copilot saw: the evidence that tests look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Header or trailer fields in the order seen. Values are the bytes of the wire.
pub type Fields = Vec<(String, Bytes)>;

/// One request, as it arrived.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// Number of the connection that carried it, from 1.
    pub connection: u64,
    /// Request method.
    pub method: String,
    /// The request target as sent (HTTP/1.1), or scheme, authority and path (HTTP/2).
    pub uri: String,
    /// HTTP version.
    pub version: http::Version,
    /// Header fields in order. Names as written by the client over HTTP/1.1; HTTP/2 has lower case alone.
    pub headers: Fields,
    /// The body as sent, transfer coding removed, content coding not. Empty until all of it has arrived.
    pub body: Bytes,
    /// Trailer fields of the request.
    pub trailers: Fields,
    /// The body of a streamed answer, as the fake sends it; of other answers nothing is kept.
    pub answer: Bytes,
    /// True once the whole answer was handed to the socket.
    pub finished: bool,
    /// True where the client left, or the fake broke off, before the end of the answer.
    pub aborted: bool,
}

impl SeenRequest {
    /// The first value of a header field, by any case of its name; `None` where there is none or it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The path of the target, without scheme, authority and query.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = match self.uri.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"),
            None => &self.uri,
        };
        target.split_once('?').map_or(target, |(path, _)| path)
    }
}

/// Everything seen so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Requests in the order in which their heads arrived, up to `FakeOptions::keep_requests`.
    pub requests: Vec<SeenRequest>,
    /// Number of requests, kept or not.
    pub request_count: u64,
    /// Number of accepted connections whose handshake succeeded.
    pub connections: u64,
    /// Connections that are open now.
    pub open_connections: u64,
    /// Requests that are neither finished nor aborted.
    pub open_streams: u64,
    /// The most requests that were open at once.
    pub peak_streams: u64,
}

/// A condition did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "the fake Copilot did not see what was waited for within {waited:?}; it saw {requests} requests, {connections} connections and {open_streams} open streams"
)]
pub struct NotSeen {
    waited: Duration,
    requests: u64,
    connections: u64,
    open_streams: u64,
}

/// The record of everything seen, shared by all connections.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: Mutex<Seen>,
    changed: Notify,
    keep: usize,
}

impl Ledger {
    pub(super) fn new(keep: usize) -> Arc<Self> {
        Arc::new(Self { keep, ..Self::default() })
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_waiters();
    }

    pub(super) async fn wait_for(
        &self,
        mut ready: impl FnMut(&Seen) -> bool,
        timeout: Duration,
    ) -> Result<(), NotSeen> {
        let deadline = Instant::now() + timeout;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if ready(&self.seen()) {
                return Ok(());
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(self.not_seen(timeout));
            }
        }
    }

    fn not_seen(&self, waited: Duration) -> NotSeen {
        let seen = self.seen();
        let (requests, connections, open_streams) = (seen.request_count, seen.connections, seen.open_streams);
        NotSeen { waited, requests, connections, open_streams }
    }

    pub(super) fn connected(self: &Arc<Self>) -> OpenConnection {
        let mut number = 0;
        self.update(|seen| {
            seen.connections += 1;
            seen.open_connections += 1;
            number = seen.connections;
        });
        OpenConnection { ledger: Arc::clone(self), number }
    }

    pub(super) fn arrived(self: &Arc<Self>, request: SeenRequest) -> OpenExchange {
        let mut index = None;
        self.update(|seen| {
            seen.request_count += 1;
            seen.open_streams += 1;
            seen.peak_streams = seen.peak_streams.max(seen.open_streams);
            if seen.requests.len() < self.keep {
                index = Some(seen.requests.len());
                seen.requests.push(request);
            }
        });
        OpenExchange { ledger: Arc::clone(self), index, finished: false }
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection {
    ledger: Arc<Ledger>,
    /// The connection's number, from 1.
    pub(super) number: u64,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.ledger.update(|seen| seen.open_connections -= 1);
    }
}

/// An exchange that counts as open until this is dropped, and as aborted unless it was finished first.
#[derive(Debug)]
pub(super) struct OpenExchange {
    ledger: Arc<Ledger>,
    index: Option<usize>,
    finished: bool,
}

impl OpenExchange {
    pub(super) fn received(&self, body: &Bytes, trailers: &Fields) {
        self.note(|request| {
            request.body = body.clone();
            request.trailers.clone_from(trailers);
        });
    }

    pub(super) fn answered(&self, body: Bytes) {
        self.note(|request| request.answer = body);
    }

    pub(super) fn finish(mut self) {
        self.finished = true;
    }

    fn note(&self, change: impl FnOnce(&mut SeenRequest)) {
        self.ledger.update(|seen| {
            if let Some(request) = self.index.and_then(|index| seen.requests.get_mut(index)) {
                change(request);
            }
        });
    }
}

impl Drop for OpenExchange {
    fn drop(&mut self) {
        let finished = self.finished;
        self.note(|request| {
            request.finished = finished;
            request.aborted = !finished;
        });
        self.ledger.update(|seen| seen.open_streams -= 1);
    }
}
