//! Heads without measure are refused while they are read, at every door.

use copilens::sim::tls::Alpn;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};

use crate::frames::{CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, STATUS_200, Seen, block, frame, request};
use crate::support::wire::Wire;
use crate::support::{CHAT_HOST, Copilens, Site, Upstream};

const MIB: usize = 1024 * 1024;

/// Many fields, a long field, a long target: with the status that says so (RFC 6585 section 5, RFC 9110 section 15.5.15).
fn oversized(target: &str, fields: &str) -> [(&'static str, String, u16); 3] {
    let head = |target: &str, more: &str| format!("GET {target} HTTP/1.1\r\nHost: {CHAT_HOST}\r\n{fields}{more}\r\n");
    [
        ("10,000 fields", head(target, &"x: y\r\n".repeat(10_000)), 431),
        ("a field of 1 MiB", head(target, &format!("x: {}\r\n", "y".repeat(MIB))), 431),
        ("a target of 1 MiB", head(&format!("{target}{}", "y".repeat(MIB)), ""), 414),
    ]
}

/// The answer, read while the request is still being sent.
async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, request: String) -> u16 {
    let (read, mut write) = split(stream);
    // Refused before its end, so writing may fail.
    let writing = tokio::spawn(async move { write.write_all(request.as_bytes()).await });
    let answer = Wire::over(tokio::io::join(read, tokio::io::sink())).answer().await;
    writing.abort();
    answer.status
}

async fn start() -> (Upstream, Copilens) {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    (upstream, copilens)
}

fn assert_refused(what: &str, status: u16, expected: u16) {
    // hyper stops reading at its buffer's size, before it can tell which part of the head is too long.
    assert!(status == expected || status == 431, "{what}: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_oversized_heads_are_refused_at_the_front_door() {
    let (upstream, copilens) = start().await;
    let credentials = format!("Proxy-Authorization: {}\r\n", copilens.credentials("alice").header().unwrap());
    for (what, request, expected) in oversized(&format!("http://{CHAT_HOST}/"), &credentials) {
        let stream = Wire::to(copilens.proxy).await.into_stream();
        assert_refused(what, ask(stream, request).await, expected);
    }
    assert_eq!(upstream.fake.seen().connections, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_oversized_heads_are_refused_in_a_tunnel() {
    let (upstream, copilens) = start().await;
    for (what, request, expected) in oversized("/", "") {
        let stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
        assert_refused(what, ask(stream, request).await, expected);
    }
    assert_eq!(upstream.fake.seen().connections, 0);
}

/// A header block in as many frames as it needs.
fn frames_of(head: &[u8]) -> Vec<u8> {
    const MOST: usize = 16 * 1024;
    let last = head.chunks(MOST).count() - 1;
    let pieces = head.chunks(MOST).enumerate().map(|(number, piece)| {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let end = if number == last { END_HEADERS } else { 0 };
        let stream = if number == 0 { END_STREAM } else { 0 };
        frame(kind, end | stream, 1, piece)
    });
    pieces.collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_oversized_header_lists_are_refused_over_http2() {
    let (upstream, copilens) = start().await;
    let many = [request("GET", CHAT_HOST, &[]), block(&vec![("x", "y"); 10_000])].concat();
    let long = request("GET", CHAT_HOST, &[("x", &"y".repeat(MIB))]);
    for head in [many, long] {
        let mut frames = Frames::open(&copilens, CHAT_HOST, &[]).await;
        frames.send(&frames_of(&head)).await;
        let seen = frames.seen().await;
        assert!(!matches!(seen, Seen::Answer(_, STATUS_200)), "{seen:?}");
    }
    assert_eq!(upstream.fake.seen().connections, 0);
}
