//! HTTP/1.1 to both sides, byte for byte.

use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{CHAT_HOST, Copilens, HOSTS, PATIENCE, Site};

/// Lines of a head. Those marked with `-` are for one connection only and must not pass.
const REQUEST: &[&str] = &[
    "POST /chat/completions?a=%41&b=%c3%bc&&c HTTP/1.1",
    "hOST: api.enterprise.githubcopilot.com",
    "-Proxy-Authorization: Basic c2VjcmV0",
    "X-Zeta: 1",
    "-Connection: keep-alive, X-Own",
    "X-OWN: 2",
    "Authorization: Bearer tid=1;exp=2:3",
    "-Keep-Alive: timeout=5",
    "x-LOWER-upper: a  b\tc",
    "Cookie: a=1",
    "Cookie: b=2",
    "X-Empty:",
    "-Proxy-Connection: keep-alive",
    "-TE: gzip",
    "X-Latin: \u{fc}",
    "content-LENGTH: 7",
    "X-Alpha: last",
];
const RESPONSE: &[&str] = &[
    "HTTP/1.1 201 Very Well",
    "Zulu: 1",
    "-Connection: keep-alive",
    "-Keep-Alive: timeout=5",
    "Set-Cookie: a=1; Path=/",
    "SET-cookie: b=2",
    "-Proxy-Authenticate: Basic realm=\"inner\"",
    "Date: Thu, 01 Jan 1970 00:00:00 GMT",
    "content-Length: 5",
    "Server: x/1 (y)",
    "ALPHA: \u{fc}",
    "X-Empty: ",
];

/// The head as it is sent, and as it must arrive.
fn head(lines: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let text = |lines: Vec<&str>| {
        let mut bytes: Vec<u8> = lines.join("\r\n").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes
    };
    let whole = lines.iter().map(|line| line.strip_prefix('-').unwrap_or(line)).collect();
    let mut kept: Vec<&str> = lines.iter().filter(|line| !line.starts_with('-')).copied().collect();
    kept.retain(|line| !line.starts_with("X-OWN"));
    (text(whole), text(kept))
}

async fn origin(response: Vec<u8>) -> (RawOrigin, TestAuthority) {
    let authority = TestAuthority::new().unwrap();
    let script = vec![Step::read_head(), Step::Read(7), Step::write(response), Step::Hold];
    let tls = authority.server(&HOSTS, Alpn::Http1).unwrap();
    (RawOrigin::start(Some(tls), vec![script]).await.unwrap(), authority)
}

/// Sends a request and reads until its answer's body, which is `end`.
async fn through(copilens: &Copilens, request: &[u8], end: &[u8]) -> Vec<u8> {
    let mut stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(end) {
        let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        assert!(read.is_ok_and(|read| read.is_ok_and(|count| count > 0)), "{}", answer.escape_ascii());
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_heads_pass_with_the_case_order_and_bytes_of_their_fields() {
    let (mut request, mut arriving) = head(REQUEST);
    let (mut response, mut answered) = head(RESPONSE);
    for bytes in [&mut request, &mut arriving] {
        bytes.extend_from_slice(b"{\"a\":1}");
    }
    for bytes in [&mut response, &mut answered] {
        bytes.extend_from_slice(b"hello");
    }
    let (origin, authority) = origin(response).await;
    let copilens = Site::to(origin.address(), &authority).start();
    let answer = through(&copilens, &request, b"hello").await;
    assert_eq!(answer.escape_ascii().to_string(), answered.escape_ascii().to_string());
    let arrived = origin.received().remove(0);
    assert_eq!(arrived.escape_ascii().to_string(), arriving.escape_ascii().to_string());
}
