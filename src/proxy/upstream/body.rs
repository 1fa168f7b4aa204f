//! The answer's body as it comes from upstream: watched for silence, and giving its connection back at the end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::pool::Lease;
use crate::metrics::{Metrics, UpstreamFailure};

/// What came before a break has this long to be written to the client. Not told at once, because an HTTP/2 connection
/// writes in a task of its own.
const BEFORE_BREAK: Duration = Duration::from_millis(50);

/// An answer's body. Dropping it before its end cancels the request upstream.
pub(crate) struct AnswerBody {
    incoming: Incoming,
    /// `None` once the connection was given back, and for connections that are used once.
    lease: Option<Lease>,
    silence: Duration,
    /// Made when the first frame is waited for: most answers need no timer.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Set again by the first wait after each frame.
    alarm_is_set: bool,
    /// The error with which the body breaks off, until what came before it was sent on.
    broken: Option<hudsucker::Error>,
    metrics: Arc<Metrics>,
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, lease: Option<Lease>, silence: Duration, metrics: Arc<Metrics>) -> Self {
        let mut body = Self { incoming, lease, silence, alarm: None, alarm_is_set: false, broken: None, metrics };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        body
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finished();
        }
    }

    /// Keeps the error back for a moment: hyper throws away what it has not written yet when a body fails, and a client
    /// should get what it would have got from upstream itself.
    fn break_off(&mut self, error: hudsucker::Error) {
        self.metrics.upstream_errors.inc(UpstreamFailure::BrokenAnswer);
        self.broken = Some(error);
        self.alarm = Some(Box::pin(tokio::time::sleep(BEFORE_BREAK)));
    }

    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hudsucker::Error>>> {
        if let Some(alarm) = &mut self.alarm {
            ready!(alarm.as_mut().poll(cx));
        }
        Poll::Ready(self.broken.take().map(Err))
    }

    /// Ready when upstream has been silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = Instant::now() + self.silence;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if !self.alarm_is_set {
            alarm.as_mut().reset(due);
            self.alarm_is_set = true;
        }
        alarm.as_mut().poll(cx)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hudsucker::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.broken.is_some() {
            return this.poll_broken(cx);
        }
        let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) else {
            ready!(this.poll_silence(cx));
            this.metrics.upstream_errors.inc(UpstreamFailure::IdleTimeout);
            let error = io::Error::new(io::ErrorKind::TimedOut, "upstream was silent for `upstream.idle_timeout`");
            return Poll::Ready(Some(Err(error.into())));
        };
        this.alarm_is_set = false;
        if frame.is_none() || this.incoming.is_end_stream() {
            this.give_back();
        }
        match frame {
            Some(Err(error)) => {
                this.break_off(error.into());
                this.poll_broken(cx)
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
