//! Every way in which HTTP/1.1 delimits a message, past the proxy and through it.

use copilens::sim::copilot::SeenRequest;
use copilens::sim::tls::{Alpn, client};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Pair;
use crate::support::{CHAT_HOST, PATIENCE};

/// Heads of requests, without `Host`, and their bodies.
const CASES: &[(&str, &str)] = &[
    ("HEAD /_ping HTTP/1.1\r\nConnection: close", ""),
    ("GET /_ping HTTP/1.0", ""),
    ("OPTIONS * HTTP/1.1\r\nConnection: close", ""),
    ("GET /models HTTP/1.1\r\nx-sim-encoding: zstd\r\nConnection: close", ""),
    ("GET /models HTTP/1.1\r\nx-sim-body-size: 100000\r\nConnection: close", ""),
    ("GET /models HTTP/1.1\r\nx-sim-body-size: 100000\r\nx-sim-framing: chunked\r\nConnection: close", ""),
    ("GET /models HTTP/1.1\r\nx-sim-body-size: 100000\r\nx-sim-framing: close\r\nConnection: close", ""),
    ("GET /models HTTP/1.1\r\nx-sim-body-size: 0\r\nx-sim-framing: chunked\r\nConnection: close", ""),
    ("GET /models HTTP/1.1\r\nx-sim-interim: 103\r\nConnection: close", ""),
    ("POST /telemetry HTTP/1.1\r\nContent-Length: 0\r\nConnection: close", ""),
    (
        "POST /telemetry HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close",
        "4\r\n{}\n{\r\n1\r\n}\r\n0\r\n\r\n",
    ),
    ("POST /telemetry HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close", "{}"),
    ("POST /chat/completions HTTP/1.1\r\nx-sim-status: 204\r\nContent-Length: 2\r\nConnection: close", "{}"),
    (
        "POST /chat/completions HTTP/1.1\r\nx-sim-status: 304\r\nx-sim-framing: chunked\r\nContent-Length: 2\r\nConnection: close",
        "{}",
    ),
    ("POST /chat/completions HTTP/1.1\r\nx-sim-status: 503\r\nContent-Length: 2\r\nConnection: close", "{}"),
    ("POST /chat/completions HTTP/1.0\r\nx-sim-body-size: 40000\r\nx-sim-framing: chunked\r\nContent-Length: 2", "{}"),
    ("POST /chat/completions HTTP/1.1\r\nx-sim-body-size: 0\r\nContent-Length: 2\r\nConnection: close", "{}"),
];

/// How a request comes over one connection is that connection's affair.
const HOP_BY_HOP: [&str; 2] = ["Connection", "Transfer-Encoding"];

/// An answer without what belongs to its connection alone.
#[derive(Debug, PartialEq)]
struct Answer {
    status: String,
    fields: Vec<String>,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Self {
        let end =
            bytes.windows(4).position(|part| part == b"\r\n\r\n").unwrap_or_else(|| panic!("{}", bytes.escape_ascii()));
        let (head, body) = (std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end + 4..]);
        let (status, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let (_, status) = status.split_once(' ').unwrap();
        // Interim answers are the sender's own affair.
        if status.starts_with('1') {
            return Self::of(body);
        }
        let chunked = fields.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { dechunked(body) } else { body.to_vec() };
        Self { status: status.to_owned(), fields: fields.split("\r\n").filter_map(kept).collect(), body }
    }
}

fn kept(field: &str) -> Option<String> {
    let name = field.split(':').next().unwrap().to_lowercase();
    match name.as_str() {
        "connection" | "transfer-encoding" => None,
        "date" => Some("date".to_owned()),
        _ => Some(field.to_owned()),
    }
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|pair| pair == b"\r\n").expect("the chunks end early");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 2 + size + 2..];
        if size == 0 {
            return body;
        }
    }
}

async fn past(pair: &Pair) -> TlsStream<TcpStream> {
    let connector = TlsConnector::from(client(pair.upstream.authority.roots(), Alpn::Http1).unwrap());
    let socket = TcpStream::connect(pair.address()).await.unwrap();
    connector.connect(ServerName::try_from(CHAT_HOST).unwrap(), socket).await.unwrap()
}

async fn through(pair: &Pair) -> TlsStream<TcpStream> {
    pair.alice.tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap()
}

/// All that comes back, until the other side closes as it should.
async fn ask(mut stream: TlsStream<TcpStream>, head: &str, body: &str) -> Answer {
    stream.write_all(format!("{head}\r\nHost: {CHAT_HOST}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("no end comes").unwrap();
    Answer::of(&bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_framing_passes_as_without_the_proxy() {
    let pair = Pair::new(Alpn::Http1).await;
    for (head, body) in CASES {
        let expected = ask(past(&pair).await, head, body).await;
        let arrives = pair.last_request();
        let answer = ask(through(&pair).await, head, body).await;
        let arrived = pair.last_request();
        assert_eq!(answer, expected, "{head}");
        let end = |request: &SeenRequest| {
            let fields: Vec<_> =
                request.headers.iter().filter(|(name, _)| !HOP_BY_HOP.contains(&name.as_str())).cloned().collect();
            (request.method.clone(), request.uri.clone(), fields, request.body.clone())
        };
        assert_eq!(end(&arrived), end(&arrives), "{head}");
    }
}
