//! One side of a WebSocket whose bytes pass unchanged while its messages are read.
//!
//! The bytes of the server's message that ends an answer wait for the commit, as the end of every answer does; see
//! `proxy/tap.rs`. All bytes before them have passed then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::exchanges::{Exchanges, Held};
use super::messages::{Event, Messages, Side};

/// Read at a time. A streamed event has some 300 bytes.
const CHUNK: usize = 8 * 1024;

/// A connection whose reads are tapped.
pub(crate) struct Tapped<S> {
    stream: S,
    side: Side,
    messages: Messages,
    exchanges: Arc<Exchanges>,
    /// What was read and has not passed.
    chunk: BytesMut,
    /// How much of `chunk`, from its beginning, was looked at.
    seen: usize,
    /// How much of that may pass.
    free: usize,
    held: Option<Held>,
}

impl<S> Tapped<S> {
    pub(crate) fn new(stream: S, side: Side, messages: Messages, exchanges: Arc<Exchanges>) -> Self {
        Self { stream, side, messages, exchanges, chunk: BytesMut::new(), seen: 0, free: 0, held: None }
    }

    /// Looks at what was read, as far as to a message that must wait.
    fn look(&mut self) {
        while self.held.is_none() && self.seen < self.chunk.len() {
            self.free = self.seen;
            match self.next_event() {
                Some(event) => self.held = self.exchanges.take(self.side, event),
                None => self.seen = self.chunk.len(),
            }
        }
        if self.held.is_none() {
            self.free = self.seen;
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        if self.exchanges.is_lost() {
            return None;
        }
        let mut rest = self.chunk.get(self.seen..).unwrap_or_default();
        let event = self.messages.next(&mut rest);
        self.seen = self.chunk.len() - rest.len();
        event.unwrap_or_else(|fault| {
            self.exchanges.lose(fault);
            None
        })
    }

    fn pass(&mut self, to: &mut ReadBuf<'_>) {
        let length = self.free.min(to.remaining());
        to.put_slice(self.chunk.get(..length).unwrap_or_default());
        self.chunk.advance(length);
        self.free -= length;
        self.seen -= length;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.free > 0 {
                this.pass(buf);
                return Poll::Ready(Ok(()));
            }
            if let Some(held) = &mut this.held {
                ready!(Pin::new(&mut held.commit).poll(cx));
                this.held = None;
                this.free = this.seen;
            } else if this.chunk.is_empty() {
                this.chunk.reserve(CHUNK);
                match ready!(poll_read_buf(Pin::new(&mut this.stream), cx, &mut this.chunk)) {
                    Ok(1..) => {}
                    ended => {
                        this.exchanges.end(this.side);
                        return Poll::Ready(ended.map(drop));
                    }
                }
            } else {
                this.look();
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
