//! The load generator: tunnels that send one request after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use copilens::sim::client::{Connection, Credentials, ProxyClient, direct};
use copilens::sim::tls::Alpn;
use http::Request;
use rustls::RootCertStore;
use tokio::task::JoinSet;

use crate::figures::{milliseconds, percentile};

pub const COMPLETIONS_HOST: &str = "proxy.enterprise.githubcopilot.com";
pub const CHAT_HOST: &str = "api.enterprise.githubcopilot.com";

/// Requests of [`Load::latency`].
pub const LATENCY_REQUESTS: usize = 300;
/// Tunnels that are being opened at the same time.
const OPENING: usize = 50;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub host: &'static str,
    pub path: &'static str,
    /// Folder of its record files.
    pub kind: &'static str,
    pub alpn: Alpn,
    pub events: usize,
    /// Milliseconds from one event to the next; 0 for as fast as can be.
    pub pace: u64,
    pub tunnels: usize,
    /// By each tunnel.
    pub requests: usize,
}

impl Shape {
    pub const COMPLETION: Self = Self {
        host: COMPLETIONS_HOST,
        path: "/v1/engines/gpt-41-copilot/completions",
        kind: "completions",
        alpn: Alpn::Http1,
        events: 10,
        pace: 0,
        tunnels: 50,
        requests: 400,
    };
    pub const CHAT: Self = Self {
        host: CHAT_HOST,
        path: "/chat/completions",
        kind: "chat",
        events: 40,
        requests: 150,
        ..Self::COMPLETION
    };
}

/// When what of an answer came.
pub struct Answer {
    pub asked: Instant,
    /// Of each event; those that came in one piece have one time.
    pub events: Vec<Instant>,
    pub ended: Instant,
}

impl Answer {
    pub fn first_event(&self) -> Duration {
        self.events[0] - self.asked
    }
}

/// Where the load goes.
#[derive(Clone)]
pub struct Load {
    route: Route,
    roots: RootCertStore,
}

#[derive(Clone)]
enum Route {
    Direct(SocketAddr),
    Through(ProxyClient),
}

impl Load {
    pub fn direct(address: SocketAddr, roots: RootCertStore) -> Self {
        Self { route: Route::Direct(address), roots }
    }

    pub fn through(proxy: SocketAddr, roots: RootCertStore, credentials: Credentials) -> Self {
        Self { route: Route::Through(ProxyClient::new(proxy, credentials, roots.clone())), roots }
    }

    pub async fn open(&self, shape: Shape) -> Connection {
        match &self.route {
            Route::Through(client) => client.tunnel(shape.host, 443, shape.alpn).await.unwrap(),
            Route::Direct(address) => direct(*address, shape.host, shape.alpn, self.roots.clone()).await.unwrap(),
        }
    }

    /// Tunnels that have each sent one request and then fallen silent.
    pub async fn open_idle(&self, shape: Shape, count: usize) -> Vec<Connection> {
        let mut tunnels = Vec::with_capacity(count);
        while tunnels.len() < count {
            let mut opening = JoinSet::new();
            for _ in 0..OPENING.min(count - tunnels.len()) {
                let load = self.clone();
                opening.spawn(async move {
                    let tunnel = load.open(shape).await;
                    ask(&tunnel, shape).await;
                    tunnel
                });
            }
            tunnels.extend(opening.join_all().await);
        }
        tunnels
    }

    /// All tunnels at once send `requests` requests each. Gives the time that they took, once the tunnels were open.
    pub async fn burst(&self, shape: Shape, requests: usize) -> Duration {
        let mut tunnels = Vec::new();
        for _ in 0..shape.tunnels {
            tunnels.push(self.open(shape).await);
        }
        let begun = Instant::now();
        let mut at_work = JoinSet::new();
        for tunnel in tunnels {
            at_work.spawn(async move {
                for _ in 0..requests {
                    ask(&tunnel, shape).await;
                }
            });
        }
        at_work.join_all().await;
        begun.elapsed()
    }

    /// As [`Load::burst`], for its answers.
    pub async fn answers(&self, shape: Shape) -> Vec<Answer> {
        let mut at_work = JoinSet::new();
        for _ in 0..shape.tunnels {
            let tunnel = self.open(shape).await;
            at_work.spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..shape.requests {
                    answers.push(ask(&tunnel, shape).await);
                }
                answers
            });
        }
        at_work.join_all().await.into_iter().flatten().collect()
    }

    /// One tunnel alone: medians, in milliseconds, of the time to the first event, and from there to the end.
    pub async fn latency(&self, shape: Shape) -> (f64, f64) {
        let tunnel = self.open(shape).await;
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for _ in 0..LATENCY_REQUESTS {
            let answer = ask(&tunnel, shape).await;
            first.push(milliseconds(answer.first_event()));
            rest.push(milliseconds(answer.ended - answer.events[0]));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        first.sort_by(f64::total_cmp);
        rest.sort_by(f64::total_cmp);
        (percentile(&first, 50), percentile(&rest, 50))
    }
}

/// One request and its whole answer.
pub async fn ask(tunnel: &Connection, shape: Shape) -> Answer {
    let request = request(shape);
    let asked = Instant::now();
    let mut reply = tunnel.send(request).await.unwrap();
    assert_eq!(reply.status(), 200, "{:?}", reply.bytes().await);
    // The end of the stream is an event, too. Each ends with two newlines, which may come apart.
    let (mut events, mut newlines) = (Vec::with_capacity(shape.events + 1), 0);
    while let Some(piece) = reply.chunk().await.unwrap() {
        newlines += memchr::memchr_iter(b'\n', &piece).count();
        events.resize(newlines / 2, Instant::now());
    }
    assert_eq!(events.len(), shape.events + 1);
    Answer { asked, events, ended: Instant::now() }
}

/// One request whose client goes away after the first piece of the answer.
pub async fn leave(tunnel: &Connection, shape: Shape) {
    let mut reply = tunnel.send(request(shape)).await.unwrap();
    assert!(reply.chunk().await.unwrap().is_some());
}

fn request(shape: Shape) -> Request<Bytes> {
    let prompt = "x".repeat(1700);
    let body = format!(
        r#"{{"prompt":"{prompt}","messages":[{{"role":"user","content":"hello"}}],"stream":true,"extra":{{"language":"python"}}}}"#
    );
    Request::post(shape.path)
        .header("x-bench-events", shape.events)
        .header("x-bench-pace", shape.pace)
        .header("content-type", "application/json")
        .header("authorization", "Bearer tid=0123456789abcdef;exp=1893456000;sku=copilot_for_business_seat;chat=1:sig")
        .header("editor-version", "vscode/1.119.0")
        .header("editor-plugin-version", "copilot-chat/0.31.1")
        .header("vscode-machineid", "4ce93ec3b250003c9580aba5d1a71685fe7df281ac090fa58018e5b6a3017bf9")
        .header("x-request-id", copilens::exchange::ExchangeId::now().to_string())
        .header("x-initiator", "user")
        .header("openai-intent", "conversation-panel")
        .body(Bytes::from(body))
        .unwrap()
}
