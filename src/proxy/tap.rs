//! Bodies that pass unchanged while a copy is taken.
//!
//! The answer's tap holds back the end: the frame with which the client would see the answer finish is passed on only
//! when the spool has the exchange, or when `capture.commit_timeout_ms` is over. So an exchange that a client saw finish
//! survives the death of this process. Which frame is the end depends on the framing: the last one where the length is
//! known, the one with the stream's last event in server-sent events, else the terminator or the trailers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::capture::{Recording, RequestCopy};
use super::idle::Activity;
use crate::copilot::EndScanner;
use crate::exchange::Ending;
use crate::metrics::Metrics;
use crate::recorder::Ack;

/// A request's body on its way to upstream.
pub(crate) struct RequestTap {
    inner: hudsucker::Body,
    copy: Option<RequestCopy>,
    progress: Arc<Activity>,
}

impl RequestTap {
    pub(crate) fn new(inner: hudsucker::Body, copy: Option<RequestCopy>, progress: Arc<Activity>) -> Self {
        Self { inner, copy, progress }
    }
}

impl Body for RequestTap {
    type Data = Bytes;
    type Error = hudsucker::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.progress.touch();
        if let (Some(Ok(frame)), Some(copy)) = (&frame, &self.copy)
            && let Some(data) = frame.data_ref()
        {
            copy.data(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Waits for the spool, but not longer than `capture.commit_timeout_ms`.
pub(crate) struct Commit {
    ack: Ack,
    begun: Instant,
    deadline: Pin<Box<Sleep>>,
    metrics: Arc<Metrics>,
}

impl Commit {
    pub(crate) fn new(ack: Ack, patience: Duration, metrics: Arc<Metrics>) -> Self {
        Self { ack, begun: Instant::now(), deadline: Box::pin(tokio::time::sleep(patience)), metrics }
    }
}

impl Future for Commit {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // What the spool refuses it counts and reports; the client gets its answer either way.
        if Pin::new(&mut self.ack).poll(cx).is_pending() {
            ready!(self.deadline.as_mut().poll(cx));
            self.metrics.late.inc();
        }
        self.metrics.commit_wait.observe(self.begun.elapsed());
        Poll::Ready(())
    }
}

/// Whether nothing more of the body is to come, as far as a client can tell: it may count to `Content-Length` although
/// the end itself comes later, as END_STREAM may in HTTP/2 (RFC 9113 section 8.1).
pub(crate) fn has_ended(body: &impl Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

type PolledFrame = Option<Result<Frame<Bytes>, hudsucker::Error>>;

enum Stage {
    /// The answer is passing.
    Passing,
    /// The end is held back until the commit.
    Held { commit: Commit, frame: Option<Frame<Bytes>> },
    /// The exchange is handed over; whatever else comes passes.
    Released,
}

/// An answer's body on its way to the client.
pub(crate) struct ResponseTap<B> {
    inner: B,
    recording: Recording,
    scanner: Option<EndScanner>,
    stage: Stage,
    patience: Duration,
    metrics: Arc<Metrics>,
}

impl<B> ResponseTap<B>
where
    B: Body<Data = Bytes, Error = hudsucker::Error> + Unpin,
{
    /// `is_plain` tells that the body has no content coding, so that the last event can be recognised in it.
    pub(crate) fn new(
        inner: B,
        recording: Recording,
        is_plain: bool,
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let scanner = is_plain.then(EndScanner::default);
        Self { inner, recording, scanner, stage: Stage::Passing, patience, metrics }
    }

    /// Looks at what has come and decides whether it may pass at once.
    fn inspect(&mut self, frame: PolledFrame) -> Poll<PolledFrame> {
        let frame = match frame {
            None => return self.hold(None),
            Some(Err(error)) => {
                drop(self.recording.finish(Ending::UpstreamFailed));
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => frame,
        };
        if self.ends_with(&frame) { self.hold(Some(frame)) } else { Poll::Ready(Some(Ok(frame))) }
    }

    fn ends_with(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        if let Some(waited) = self.recording.response_data(data) {
            self.metrics.first_byte.observe(waited);
        }
        let last_event = self.scanner.as_mut().is_some_and(|scanner| scanner.scan(data));
        last_event || has_ended(&self.inner)
    }

    fn hold(&mut self, frame: Option<Frame<Bytes>>) -> Poll<PolledFrame> {
        match self.recording.finish(Ending::Completed) {
            Some(ack) => {
                let commit = Commit::new(ack, self.patience, Arc::clone(&self.metrics));
                self.stage = Stage::Held { commit, frame };
                Poll::Pending
            }
            None => Poll::Ready(frame.map(Ok)),
        }
    }
}

impl<B> Body for ResponseTap<B>
where
    B: Body<Data = Bytes, Error = hudsucker::Error> + Unpin,
{
    type Data = Bytes;
    type Error = hudsucker::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PolledFrame> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Held { commit, frame } => {
                    ready!(Pin::new(commit).poll(cx));
                    let frame = frame.take();
                    this.stage = Stage::Released;
                    return Poll::Ready(frame.map(Ok));
                }
                Stage::Released => return Pin::new(&mut this.inner).poll_frame(cx),
                Stage::Passing => {
                    let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
                    if let Poll::Ready(frame) = this.inspect(frame) {
                        return Poll::Ready(frame);
                    }
                }
            }
        }
    }

    /// Never before the release, or hyper would end the answer together with its last frame.
    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Released) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
