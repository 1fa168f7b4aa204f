//! The load generator: tunnels that send one request after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use copilens::sim::client::{Connection, Credentials, ProxyClient, direct};
use copilens::sim::tls::Alpn;
use http::Request;
use rustls::RootCertStore;

pub const COMPLETIONS_HOST: &str = "proxy.enterprise.githubcopilot.com";
pub const CHAT_HOST: &str = "api.enterprise.githubcopilot.com";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub host: &'static str,
    pub path: &'static str,
    pub events: usize,
    pub tunnels: usize,
    pub requests: usize,
}

impl Shape {
    pub const COMPLETION: Self = Self {
        host: COMPLETIONS_HOST,
        path: "/v1/engines/gpt-41-copilot/completions",
        events: 10,
        tunnels: 50,
        requests: 400,
    };
    pub const CHAT: Self = Self { host: CHAT_HOST, path: "/chat/completions", events: 40, tunnels: 50, requests: 150 };
}

/// Where the load goes.
pub struct Load {
    direct: Option<SocketAddr>,
    client: Option<ProxyClient>,
    roots: RootCertStore,
}

impl Load {
    pub fn direct(address: SocketAddr, roots: RootCertStore) -> Self {
        Self { direct: Some(address), client: None, roots }
    }

    pub fn through(proxy: SocketAddr, roots: RootCertStore, credentials: Option<Credentials>) -> Self {
        let credentials = credentials.unwrap_or(Credentials::Absent);
        Self { direct: None, client: Some(ProxyClient::new(proxy, credentials, roots.clone())), roots }
    }

    async fn open(&self, host: &str) -> Connection {
        match (&self.client, self.direct) {
            (Some(client), _) => client.tunnel(host, 443, Alpn::Http1).await.unwrap(),
            (None, Some(address)) => direct(address, host, Alpn::Http1, self.roots.clone()).await.unwrap(),
            (None, None) => unreachable!(),
        }
    }

    /// Every tunnel sends `requests` requests, all tunnels at once.
    pub async fn burst(&self, shape: Shape, requests: usize) {
        let mut tunnels = tokio::task::JoinSet::new();
        for _ in 0..shape.tunnels {
            let tunnel = self.open(shape.host).await;
            tunnels.spawn(async move {
                for _ in 0..requests {
                    exchange(&tunnel, shape).await;
                }
            });
        }
        while let Some(done) = tunnels.join_next().await {
            done.unwrap();
        }
    }

    /// One tunnel alone: medians of the time to the first event, and from there to the end.
    pub async fn latency(&self, shape: Shape) -> (Duration, Duration) {
        let tunnel = self.open(shape.host).await;
        let mut times = Vec::new();
        for _ in 0..300 {
            times.push(exchange(&tunnel, shape).await);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let middle = |pick: fn(&(Duration, Duration)) -> Duration| {
            let mut picked: Vec<_> = times.iter().map(pick).collect();
            picked.sort();
            picked[picked.len() / 2]
        };
        (middle(|time| time.0), middle(|time| time.1))
    }
}

/// The time to the first event, and from there to the end.
async fn exchange(tunnel: &Connection, shape: Shape) -> (Duration, Duration) {
    let begun = Instant::now();
    let mut reply = tunnel.send(request(shape)).await.unwrap();
    assert_eq!(reply.status(), 200, "{:?}", reply.bytes().await);
    let first = reply.chunk().await.unwrap().unwrap();
    let (first_at, mut size) = (Instant::now(), first.len());
    while let Some(chunk) = reply.chunk().await.unwrap() {
        size += chunk.len();
    }
    assert!(size > shape.events * 100);
    (first_at - begun, first_at.elapsed())
}

fn request(shape: Shape) -> Request<Bytes> {
    let prompt = "x".repeat(1700);
    let body = format!(
        r#"{{"prompt":"{prompt}","messages":[{{"role":"user","content":"hello"}}],"stream":true,"extra":{{"language":"python"}}}}"#
    );
    Request::post(shape.path)
        .header("x-bench-events", shape.events)
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
