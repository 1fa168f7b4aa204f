//! Requests whose end is a matter of opinion. Whatever copilens makes of one, its origin must not see a second.

use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::io::AsyncWriteExt;

use crate::support::wire::{self, Wire};
use crate::support::{CHAT_HOST, Copilens, PATIENCE, Site};

/// What an attacker wants to be taken for a request of its own.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: api.enterprise.githubcopilot.com\r\n\r\n";

/// How many requests may reach the origin.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Reaches {
    Nobody,
    AtMostOnce,
}
use Reaches::{AtMostOnce, Nobody};

struct Case {
    what: &'static str,
    /// Header lines after `Host`, each with its line end.
    fields: &'static str,
    body: String,
    reaches: Reaches,
}

fn case(what: &'static str, fields: &'static str, body: impl Into<String>, reaches: Reaches) -> Case {
    Case { what, fields, body: body.into(), reaches }
}

/// Where the two lengths contradict each other, the chunked one holds (RFC 9112 section 6.3).
fn two_lengths() -> Vec<Case> {
    let ended = || format!("0\r\n\r\n{SMUGGLED}");
    vec![
        case("CL and TE", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", ended(), AtMostOnce),
        case("TE and CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", ended(), AtMostOnce),
        case("two CL", "Content-Length: 0\r\nContent-Length: 4\r\n", SMUGGLED, Nobody),
        case("CL list", "Content-Length: 0, 4\r\n", SMUGGLED, Nobody),
        case("CL plus", "Content-Length: +0\r\n", SMUGGLED, Nobody),
        case("CL minus", "Content-Length: -0\r\n", SMUGGLED, Nobody),
        case("CL hex", "Content-Length: 0x0\r\n", SMUGGLED, Nobody),
        case("CL empty", "Content-Length: \r\n", SMUGGLED, Nobody),
        case("CL overflow", "Content-Length: 18446744073709551616\r\n", SMUGGLED, Nobody),
        case("CL inner space", "Content-Length: 0 0\r\n", SMUGGLED, Nobody),
    ]
}

/// Codings of which the last is not `chunked`, or that others may read as none.
fn odd_codings() -> Vec<Case> {
    let ended = || format!("0\r\n\r\n{SMUGGLED}");
    vec![
        case("TE identity last", "Transfer-Encoding: chunked, identity\r\n", ended(), Nobody),
        case("TE unknown", "Transfer-Encoding: xchunked\r\n", ended(), Nobody),
        case("TE identity and CL", "Transfer-Encoding: identity\r\nContent-Length: 0\r\n", ended(), Nobody),
        case("TE twice, last unknown", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", ended(), Nobody),
        case("TE quoted", "Transfer-Encoding: \"chunked\"\r\n", ended(), Nobody),
        case("TE empty", "Transfer-Encoding: \r\n", ended(), Nobody),
        case("TE vertical tab", "Transfer-Encoding: \u{b}chunked\r\n", ended(), Nobody),
    ]
}

/// Heads that break the grammar of RFC 9112 sections 2.2 and 5.
fn broken_heads() -> Vec<Case> {
    let ended = || format!("0\r\n\r\n{SMUGGLED}");
    vec![
        case("space before colon", "Transfer-Encoding : chunked\r\n", ended(), Nobody),
        case("CL space before colon", "Content-Length : 0\r\n", SMUGGLED, Nobody),
        case("folded field", "X: a\r\n Transfer-Encoding: chunked\r\n", ended(), Nobody),
        case("folded TE", "Transfer-Encoding:\r\n chunked\r\n", ended(), Nobody),
        case("bare CR", "X: a\rTransfer-Encoding: chunked\r\n", ended(), Nobody),
        case("NUL", "X: a\0b\r\n", SMUGGLED, Nobody),
        case("no colon", "Transfer-Encoding chunked\r\n", ended(), Nobody),
        case("empty name", ": chunked\r\n", ended(), Nobody),
    ]
}

/// Chunks whose end two parsers may see in different places (RFC 9112 section 7.1). Heads are passed on before bodies
/// are read, so the head may arrive, without its body's end.
fn broken_chunks() -> Vec<Case> {
    let chunked = |what, body: String| case(what, "Transfer-Encoding: chunked\r\n", body, AtMostOnce);
    vec![
        chunked("size overflow", format!("10000000000000000\r\n{SMUGGLED}")),
        chunked("negative size", format!("-1\r\n{SMUGGLED}")),
        chunked("hex prefix", format!("0x0\r\n\r\n{SMUGGLED}")),
        chunked("longer than its size", format!("1\r\nab\r\n0\r\n\r\n{SMUGGLED}")),
        chunked("no size", format!("\r\n\r\n{SMUGGLED}")),
        chunked("bare LF after size", format!("1\na\r\n0\r\n\r\n{SMUGGLED}")),
        chunked("endless extension", format!("0;{}\r\n\r\n{SMUGGLED}", "x".repeat(1024 * 1024))),
    ]
}

fn corpus() -> Vec<Case> {
    [two_lengths(), odd_codings(), broken_heads(), broken_chunks()].into_iter().flatten().collect()
}

/// An origin that answers each connection's first request, and notes whatever else comes.
async fn origin(tls: Option<&TestAuthority>) -> RawOrigin {
    let server = tls.map(|authority| authority.server(&[CHAT_HOST], Alpn::Http1).unwrap());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let script = vec![Step::read_head(), Step::write(answer), Step::Hold];
    RawOrigin::start(server, vec![script]).await.unwrap()
}

/// Everything that the origin has received, of all connections.
fn received(origin: &RawOrigin) -> String {
    origin.received().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
}

fn assert_seen(origin: &RawOrigin, number: usize, case: &Case) {
    let all = received(origin);
    assert!(!all.contains("/smuggled"), "{}: {all}", case.what);
    let seen = all.matches(&format!("/first/{number} ")).count();
    match case.reaches {
        Nobody => assert_eq!(seen, 0, "{}: {all}", case.what),
        AtMostOnce => assert!(seen <= 1, "{}: {all}", case.what),
    }
}

/// Sends, and reads until copilens ends the connection, as it must after every one of these.
async fn in_a_tunnel(copilens: &Copilens, request: &str) -> Vec<u8> {
    let mut stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    Wire::over(stream).rest().await
}

async fn in_clear_text(copilens: &Copilens, request: &str) -> Vec<u8> {
    let mut stream = Wire::to(copilens.proxy).await.into_stream();
    let _ = stream.write_all(request.as_bytes()).await;
    Wire::over(stream).rest().await
}

/// Refused before a dial, or passed on as one request: in no case with a success for the smuggled one.
fn assert_answered(answer: &[u8], case: &Case) {
    let text = String::from_utf8_lossy(answer);
    if case.reaches == Nobody {
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{}: {text}", case.what);
    }
    assert!(text.matches("HTTP/1.1 200").count() <= 1, "{}: {text}", case.what);
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_no_request_is_smuggled_through_a_tunnel() {
    let authority = TestAuthority::new().unwrap();
    let origin = origin(Some(&authority)).await;
    let copilens = Site::to(origin.address(), &authority).start();
    for (number, case) in corpus().iter().enumerate() {
        let head = format!("POST /first/{number} HTTP/1.1\r\nHost: {CHAT_HOST}\r\n{}\r\n", case.fields);
        let answer = in_a_tunnel(&copilens, &(head + &case.body)).await;
        assert_answered(&answer, case);
        assert_seen(&origin, number, case);
    }
    let right = format!("GET /first/right HTTP/1.1\r\nHost: {CHAT_HOST}\r\nConnection: close\r\n\r\n");
    assert!(in_a_tunnel(&copilens, &right).await.starts_with(b"HTTP/1.1 200"), "a right one passes");
    assert!(origin.wait_for(|got| got.iter().any(|bytes| bytes.starts_with(b"GET /first/right ")), PATIENCE).await);
    assert!(!received(&origin).contains("/smuggled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn c1_no_request_is_smuggled_in_clear_text() {
    let origin = origin(None).await;
    let site = Site::to(origin.address(), &TestAuthority::new().unwrap()).set("intercept.ports", "[80, 443]");
    let copilens = site.start();
    let credentials = copilens.credentials("alice");
    let url = |path: &str| format!("http://{CHAT_HOST}/first/{path}");
    for (number, case) in corpus().iter().enumerate() {
        let head = wire::get(&url(&number.to_string()), &credentials, case.fields).replacen("GET", "POST", 1);
        let answer = in_clear_text(&copilens, &(head + &case.body)).await;
        assert_answered(&answer, case);
        assert_seen(&origin, number, case);
    }
    let right = wire::get(&url("right"), &credentials, "Connection: close\r\n");
    assert!(in_clear_text(&copilens, &right).await.starts_with(b"HTTP/1.1 200"), "a right one passes");
}
