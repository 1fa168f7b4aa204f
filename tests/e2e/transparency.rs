//! A client's bytes are what they would be without the proxy: most of these tests send the same thing past the proxy and
//! through it, and compare what both ends saw.
//!
//! Not compared, because hyper cannot pass it on: where equal names stand apart, fields of one name come together (in
//! their order); the version in the status line; who sends `100 Continue`; 103; the case of trailer names;
//! `Content-Length` of a 304, and the place of `Content-Length: 0`.

mod differential;
mod framing;
mod raw;
mod sizes;
mod streaming;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use copilens::sim::client::{Connection, ProxyClient, direct};
use copilens::sim::copilot::{FakeOptions, SeenRequest};
use copilens::sim::tls::Alpn;
use http::Request;
use http::request::Builder;
use hyper::body::{Body, Frame};

use crate::support::{CHAT_HOST, Copilens, Site, Upstream};

/// A fake, copilens before it, and the way past copilens.
pub(crate) struct Pair {
    pub(crate) upstream: Upstream,
    pub(crate) copilens: Copilens,
    pub(crate) alice: ProxyClient,
}

impl Pair {
    pub(crate) async fn new(alpn: Alpn) -> Self {
        Self::with(FakeOptions::default(), alpn, |site| site).await
    }

    pub(crate) async fn with(options: FakeOptions, alpn: Alpn, settings: impl FnOnce(Site) -> Site) -> Self {
        let upstream = Upstream::with(options, alpn).await;
        let copilens = settings(Site::new(&upstream)).start();
        let alice = copilens.client("alice");
        Self { upstream, copilens, alice }
    }

    pub(crate) async fn direct(&self, alpn: Alpn) -> Connection {
        direct(self.address(), CHAT_HOST, alpn, self.upstream.authority.roots()).await.unwrap()
    }

    pub(crate) async fn through(&self, alpn: Alpn) -> Connection {
        self.alice.tunnel(CHAT_HOST, 443, alpn).await.unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.upstream.fake.address()
    }

    /// The newest request that the fake has seen.
    pub(crate) fn last_request(&self) -> SeenRequest {
        self.upstream.fake.requests().pop().unwrap()
    }
}

/// A body of given frames, whose length is not known beforehand.
pub(crate) struct Frames(pub(crate) VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// A chat request of one message, which is recorded.
pub(crate) fn chat() -> Builder {
    Request::post("/chat/completions")
        .header("editor-version", "vscode/1.96.2")
        .header("content-type", "application/json")
        .header("x-initiator", "user")
}

/// The body that belongs to [`chat`].
pub(crate) fn chat_body(streamed: bool) -> Bytes {
    let messages = serde_json::json!([{"role": "user", "content": "What does this do?"}]);
    Bytes::from(serde_json::json!({"model": "gpt-4.1", "stream": streamed, "messages": messages}).to_string())
}
