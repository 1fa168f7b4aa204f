//! Requests that change the protocol: the client gets upstream's own answer, and then its bytes.

pub(crate) mod asking;
mod endings;
mod exchanges;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::client::ProxyClient;
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{CHAT_HOST, Copilens, HOSTS, PATIENCE, Site};

const REQUEST: &str = "GET /responses?stream=1 HTTP/1.1\r\n\
    Host: api.enterprise.githubcopilot.com\r\n\
    Upgrade: websocket\r\n\
    Connection: keep-alive, Upgrade\r\n\
    Authorization: Bearer tid=1\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n\
    upgrade: WebSocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\
    X-Origin: 1\r\n\r\n";
/// A compressed text message (RSV1 set), masked as clients do.
const UP: &[u8] = b"\xc1\x87\x01\x02\x03\x04\xf3\x4a\xca\xcd\xc9\x05\x04";
/// The same from a server.
const DOWN: &[u8] = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00";
/// Close, 1000, from either side.
const CLOSE_UP: &[u8] = b"\x88\x82\x01\x02\x03\x04\x02\xea";
const CLOSE_DOWN: &[u8] = b"\x88\x02\x03\xe8";

type Tunnel = TlsStream<TcpStream>;

fn bytes(bytes: &'static [u8]) -> Bytes {
    Bytes::from_static(bytes)
}

async fn origin(script: Vec<Step>) -> (RawOrigin, Copilens) {
    let authority = TestAuthority::new().unwrap();
    let tls = authority.server(&HOSTS, Alpn::Both).unwrap();
    let script = [vec![Step::read_head()], script].concat();
    let origin = RawOrigin::start(Some(tls), vec![script]).await.unwrap();
    let copilens = Site::to(origin.address(), &authority).start();
    (origin, copilens)
}

async fn tunnel(alice: &ProxyClient) -> Tunnel {
    alice.tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap()
}

/// Reads until all of `expected` has come, and nothing else.
async fn expect(stream: &mut Tunnel, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut got)).await;
    assert!(read.is_ok_and(|read| read.is_ok()), "instead: {}", got.escape_ascii());
    assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

async fn expect_end(stream: &mut Tunnel) {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection stays open");
    assert_eq!(rest.escape_ascii().to_string(), "");
}

/// A WebSocket that is open through the proxy.
async fn open(script: Vec<Step>) -> (RawOrigin, Copilens, Tunnel) {
    let (origin, copilens) = origin([vec![Step::write(SWITCH)], script].concat()).await;
    let mut stream = tunnel(&copilens.client("alice")).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    expect(&mut stream, SWITCH.as_bytes()).await;
    (origin, copilens, stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_frames_and_close_pass_unchanged_both_ways() {
    let script = vec![
        Step::Read(UP.len()),
        Step::Write(bytes(DOWN)),
        Step::Read(CLOSE_UP.len()),
        Step::Write(bytes(CLOSE_DOWN)),
        Step::Close,
    ];
    let (origin, _copilens, mut stream) = open(script).await;
    stream.write_all(UP).await.unwrap();
    expect(&mut stream, DOWN).await;
    stream.write_all(CLOSE_UP).await.unwrap();
    expect(&mut stream, CLOSE_DOWN).await;
    expect_end(&mut stream).await;
    let received = origin.received().remove(0);
    let sent = [REQUEST.as_bytes(), UP, CLOSE_UP].concat();
    assert_eq!(received.escape_ascii().to_string(), sent.escape_ascii().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_comes_together_with_the_101_is_not_lost() {
    let both = [SWITCH.as_bytes(), DOWN].concat();
    let (_origin, copilens) = origin(vec![Step::write(both.clone()), Step::Hold]).await;
    let mut stream = tunnel(&copilens.client("alice")).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    expect(&mut stream, &both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_101_waits_for_upstreams() {
    let (origin, copilens) = origin(vec![Step::AwaitRelease, Step::write(SWITCH), Step::Hold]).await;
    let mut stream = tunnel(&copilens.client("alice")).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    assert!(origin.wait_for(|got| got.iter().any(|bytes| bytes.ends_with(b"\r\n\r\n")), PATIENCE).await);
    let early = tokio::time::timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(early.is_err(), "something comes before upstream's answer");
    origin.release(1);
    expect(&mut stream, SWITCH.as_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_passes_as_it_is_and_the_tunnel_lives_on() {
    let refusal = "HTTP/1.1 403 No Sockets\r\nX-Reason: plan\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{\"error\":\"plan\"}";
    let refusal = refusal.replace("15", "16");
    let script = vec![Step::write(refusal.clone()), Step::Hold];
    let (origin, copilens) = origin(script).await;
    let mut stream = tunnel(&copilens.client("alice")).await;
    for round in 1..=2 {
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        expect(&mut stream, refusal.as_bytes()).await;
        assert_eq!(origin.received().len(), round, "each upgrade has a connection of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_that_leaves_ends_the_other() {
    let (origin, _copilens, stream) = open(vec![Step::Read(UP.len()), Step::Write(bytes(DOWN))]).await;
    let mut stream = stream;
    stream.write_all(UP).await.unwrap();
    expect(&mut stream, DOWN).await;
    expect_end(&mut stream).await;
    drop(origin);

    let (closed, address) = ends_with_the_client().await;
    let copilens = Site::to(address.0, &address.1).start();
    let mut stream = tunnel(&copilens.client("alice")).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    expect(&mut stream, SWITCH.as_bytes()).await;
    drop(stream);
    tokio::time::timeout(PATIENCE, closed).await.expect("upstream's connection stays open").unwrap();
}

/// A server whose future is done when the WebSocket's other side has left.
async fn ends_with_the_client() -> (tokio::task::JoinHandle<()>, (SocketAddr, TestAuthority)) {
    let authority = TestAuthority::new().unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(authority.server(&HOSTS, Alpn::Both).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let mut stream = tls.accept(listener.accept().await.unwrap().0).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut head).await.unwrap();
        }
        stream.write_all(SWITCH.as_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0);
    });
    (served, (address, authority))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_an_idle_websocket_and_not_a_busy_one() {
    let (_origin, mut copilens, mut stream) =
        open(vec![Step::Read(UP.len()), Step::Write(bytes(DOWN)), Step::Hold]).await;
    copilens.signal(Signal::TERM);
    stream.write_all(UP).await.unwrap();
    expect(&mut stream, DOWN).await;
    expect_end(&mut stream).await;
    assert_eq!(copilens.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_without_an_answer_is_the_proxys_own_error() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let copilens = Site::to(refused, &TestAuthority::new().unwrap()).start();
    let mut stream = tunnel(&copilens.client("alice")).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    expect(&mut stream, b"HTTP/1.1 502 Bad Gateway\r\n").await;
}
