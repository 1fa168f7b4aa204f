//! What HTTP/2 can carry and HTTP/1.1 would read as the end of a line, a message or a request (RFC 9113 section 8.2).

use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};

use crate::frames::{DATA, END_HEADERS, END_STREAM, Frames, HEADERS, STATUS_200, Seen, block, frame};
use crate::support::{CHAT_HOST, Site};

const SMUGGLED: &str = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: y";

type Fields = Vec<(&'static str, &'static str)>;

/// A right request, with fields put in the place of its own or behind them.
fn with(fields: &[(&'static str, &'static str)]) -> Fields {
    let right = [(":method", "POST"), (":scheme", "https"), (":authority", CHAT_HOST), (":path", "/first")];
    let kept = right.into_iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
    let (pseudo, others): (Fields, Fields) = fields.iter().copied().partition(|(name, _)| name.starts_with(':'));
    kept.chain(pseudo).chain(others).collect()
}

fn cases() -> Vec<Fields> {
    let mut cases: Vec<Fields> = [
        ("transfer-encoding", "chunked"),
        ("connection", "transfer-encoding"),
        ("keep-alive", "1"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "websocket"),
        ("te", "chunked"),
        ("x", SMUGGLED),
        ("x", "a\nTransfer-Encoding: chunked"),
        ("x", "a\0b"),
        ("X-Upper", "a"),
        ("x: y\r\nz", "a"),
        ("x y", "a"),
        ("", "a"),
        (":path", "/ HTTP/1.1\r\nX: y"),
        (":path", "/first smuggled"),
        (":path", ""),
        (":method", "GET /smuggled HTTP/1.1\r\nX:"),
        (":scheme", "https\r\n"),
        (":authority", "api.enterprise.githubcopilot.com\r\nx: y"),
        (":unknown", "a"),
        (":status", "200"),
    ]
    .iter()
    .map(|field| with(&[*field]))
    .collect();
    cases.push(with(&[("content-length", "1"), ("content-length", "2")]));
    cases.push(with(&[("content-length", "+5")]));
    let mut late = with(&[("x", "a")]);
    late.push((":path", "/smuggled"));
    cases.push(late);
    cases
}

async fn origin(authority: &TestAuthority) -> RawOrigin {
    let server = authority.server(&[CHAT_HOST], Alpn::Http1).unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    RawOrigin::start(Some(server), vec![vec![Step::read_head(), Step::write(answer), Step::Hold]]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn c2_nothing_that_http1_would_misread_passes_from_http2() {
    let authority = TestAuthority::new().unwrap();
    let origin = origin(&authority).await;
    let copilens = Site::to(origin.address(), &authority).start();
    for fields in cases() {
        let mut frames = Frames::open(&copilens, CHAT_HOST, &[]).await;
        assert!(frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))).await);
        let seen = frames.seen().await;
        assert!(!matches!(seen, Seen::Answer(_, STATUS_200)), "{fields:?}: {seen:?}");
    }
    assert_eq!(origin.received().len(), 0, "connections to upstream");

    let mut frames = Frames::open(&copilens, CHAT_HOST, &[]).await;
    frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&with(&[("x", "a")])))).await;
    assert_eq!(frames.seen().await, Seen::Answer(1, STATUS_200), "a right one passes");
}

/// The length that was announced is the one that HTTP/1.1 goes by; bytes beyond it would be the next request's.
#[tokio::test(flavor = "multi_thread")]
async fn c2_bytes_beyond_the_announced_length_never_arrive() {
    let authority = TestAuthority::new().unwrap();
    let origin = origin(&authority).await;
    let copilens = Site::to(origin.address(), &authority).start();
    let mut frames = Frames::open(&copilens, CHAT_HOST, &[]).await;
    let head = frame(HEADERS, END_HEADERS, 1, &block(&with(&[("content-length", "1")])));
    let body = frame(DATA, END_STREAM, 1, b"aGET /smuggled HTTP/1.1\r\n\r\n");
    assert!(frames.send(&[head, body].concat()).await);
    assert_eq!(frames.seen().await, Seen::Reset(1));
    assert!(origin.received().iter().all(|bytes| !bytes.windows(9).any(|part| part == b"/smuggled")));
}
