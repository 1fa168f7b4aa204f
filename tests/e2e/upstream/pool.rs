//! The connections that all users share: enough for a crowd, not more, and no request sent twice over a dead one.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use copilens::sim::client::{ClientError, ProxyClient, Reply};
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::{ask, chat, chat_body};
use crate::support::{CHAT_HOST, Copilens, HOSTS, PATIENCE, Site, Upstream};

/// Requests that one client connection may carry at once.
const STREAMS: usize = 200;
/// As [`PATIENCE`], for a crowd on a machine that has much else to do.
const CROWDED: Duration = Duration::from_secs(120);
/// Enough permits for every event of every answer.
const ALL: usize = 1_000_000;

fn request() -> Request<Bytes> {
    chat().header(control::EVENTS, 2).body(chat_body()).unwrap()
}

fn numbered(id: &str) -> Request<Bytes> {
    chat().header("x-request-id", id).header(control::EVENTS, 2).body(chat_body()).unwrap()
}

/// Sends `count` requests at once and gives their answers, whose heads have come.
async fn crowd(alice: &ProxyClient, count: usize, request: fn() -> Request<Bytes>) -> Vec<Reply> {
    let mut sent = Vec::new();
    for begin in (0..count).step_by(STREAMS) {
        let tunnel = Arc::new(alice.tunnel(CHAT_HOST, 443, Alpn::Http2).await.unwrap());
        for _ in begin..count.min(begin + STREAMS) {
            let tunnel = Arc::clone(&tunnel);
            sent.push(tokio::spawn(async move { tunnel.send(request()).await }));
        }
    }
    let mut replies = Vec::new();
    for reply in sent {
        let reply = reply.await.unwrap().unwrap();
        assert_eq!(reply.status(), 200);
        replies.push(reply);
    }
    replies
}

async fn read_all(replies: Vec<Reply>) {
    for mut reply in replies {
        let body = tokio::time::timeout(CROWDED, reply.bytes()).await.unwrap().unwrap();
        assert!(body.ends_with(b"data: [DONE]\n\n"));
    }
}

/// All answers are under way at once, over a given number of connections, and a second crowd finds those.
async fn all_at_once(alpn: Alpn, limit: u32, count: usize, connections: u64) {
    let options = FakeOptions { gated: true, max_concurrent_streams: limit, ..FakeOptions::default() };
    let upstream = Upstream::with(options, alpn).await;
    let copilens = Site::new(&upstream).start();
    let alice = copilens.client("alice");
    let replies = crowd(&alice, count, request).await;
    let seen = upstream.fake.seen();
    assert_eq!((seen.open_streams, seen.connections), (count as u64, connections), "{alpn:?} {limit}");
    upstream.fake.release(ALL);
    read_all(replies).await;
    read_all(crowd(&alice, count, request).await).await;
    assert_eq!(upstream.fake.seen().connections, connections, "connections are not used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_served_at_once_over_the_fewest_http2_connections_that_upstream_allows() {
    all_at_once(Alpn::Http2, 100, 400, 4).await;
    all_at_once(Alpn::Http2, 7, 100, 15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_served_at_once_over_http1() {
    all_at_once(Alpn::Http1, 100, 150, 150).await;
}

/// A server that lets nobody in is not dialled again and again for those who wait, and they hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allows_no_stream_is_a_502_for_all_who_wait() {
    let options = FakeOptions { max_concurrent_streams: 0, ..FakeOptions::default() };
    let upstream = Upstream::with(options, Alpn::Http2).await;
    let copilens = Site::new(&upstream).start();
    let tunnel = Arc::new(copilens.client("alice").tunnel(CHAT_HOST, 443, Alpn::Http2).await.unwrap());
    for _ in 0..3 {
        let sent = (0..50).map(|_| {
            let tunnel = Arc::clone(&tunnel);
            tokio::spawn(async move { tunnel.send(request()).await.unwrap().status().as_u16() })
        });
        for status in sent.collect::<Vec<_>>() {
            assert_eq!(tokio::time::timeout(PATIENCE, status).await.unwrap().unwrap(), 502);
        }
        let seen = upstream.fake.seen();
        assert_eq!((seen.request_count, seen.connections), (0, 1));
    }
}

/// The size that the design promises. It takes half a minute of a machine that does nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_answers_of_five_seconds_come_at_once() {
    if std::env::var_os("LONG_TESTS").is_none() {
        // Past cargo's capture, which hides what a passing test prints.
        let _ = writeln!(std::io::stderr(), "skipped: a thousand answers: heavy; `./tests/run --long` has them");
        return;
    }
    for (alpn, limit, most) in [(Alpn::Http2, 100, 15), (Alpn::Http2, 7, 180), (Alpn::Http1, 100, 1050)] {
        let options = FakeOptions { max_concurrent_streams: limit, ..FakeOptions::default() };
        let upstream = Upstream::with(options, alpn).await;
        let copilens = Site::new(&upstream).start();
        let begun = std::time::Instant::now();
        let slow =
            || chat().header(control::EVENTS, 48).header(control::EVENT_DELAY_MS, 100).body(chat_body()).unwrap();
        read_all(crowd(&copilens.client("alice"), 1000, slow).await).await;
        let seen = upstream.fake.seen();
        println!(
            "{alpn:?} {limit}: {:?}, {} connections, peak {}",
            begun.elapsed(),
            seen.connections,
            seen.peak_streams
        );
        assert_eq!(seen.peak_streams, 1000);
        assert!(seen.connections <= most, "{}", seen.connections);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_connection_finishes_its_answers_and_gets_no_new_ones() {
    let options = FakeOptions { gated: true, ..FakeOptions::default() };
    let upstream = Upstream::with(options, Alpn::Http2).await;
    let copilens = Site::new(&upstream).start();
    let under_way = ask(&copilens).await.unwrap();
    upstream.fake.retire_connections();
    let meanwhile = ask(&copilens).await.unwrap();
    upstream.fake.release(ALL);
    read_all(vec![under_way, meanwhile]).await;
    upstream.fake.wait_for(|seen| seen.requests[0].finished && seen.open_connections < 2, PATIENCE).await.unwrap();
    read_all(vec![ask(&copilens).await.unwrap()]).await;
    let requests = upstream.fake.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!((requests[0].connection, requests[2].connection), (1, 2));
}

/// Upstream hangs up on idle connections at the very moment of their use: sent once at most, and answered where sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_never_sent_twice_when_connections_die() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let upstream = Upstream::with(FakeOptions::default(), alpn).await;
        let copilens = Site::new(&upstream).start();
        let tunnel = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
        let mut answered = 0;
        for round in 0..40 {
            upstream.fake.hang_up();
            let id = format!("00000000-0000-4000-8000-{round:012}");
            let status = tunnel.send(numbered(&id)).await.unwrap().status().as_u16();
            let requests = upstream.fake.requests();
            let arrived = requests.iter().filter(|request| request.header("x-request-id") == Some(&id)).count();
            assert!(matches!((status, arrived), (200, 1) | (502, 0 | 1)), "{alpn:?} {status} {arrived}");
            answered += u32::from(status == 200);
        }
        assert!(answered > 0, "{alpn:?}");
    }
}

/// A server that closes each connection in order after one answer, and tells when the proxy has closed its side too.
async fn one_answer_a_connection(authority: &TestAuthority) -> (std::net::SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = TlsAcceptor::from(authority.server(&HOSTS, Alpn::Http1).unwrap());
    let (closed, closings) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let mut stream = tls.accept(socket).await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(&chat_body()) {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            stream.shutdown().await.unwrap();
            assert_eq!(stream.read(&mut [0]).await.unwrap_or_default(), 0);
            closed.send(()).await.unwrap();
        }
    });
    (address, closings)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_upstream_has_closed_is_not_used_again() {
    let authority = TestAuthority::new().unwrap();
    let (address, mut closings) = one_answer_a_connection(&authority).await;
    let copilens = Site::to(address, &authority).start();
    for _ in 0..3 {
        let mut reply = ask(&copilens).await.unwrap();
        assert_eq!(reply.status(), 200);
        reply.bytes().await.unwrap();
        tokio::time::timeout(PATIENCE, closings.recv()).await.unwrap();
    }
}

async fn assert_not_sent_again(copilens: &Copilens) {
    let reply: Result<Reply, ClientError> = ask(copilens).await;
    assert_eq!(reply.unwrap().status(), 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_was_sent_and_not_answered_is_not_sent_again() {
    let authority = TestAuthority::new().unwrap();
    let tls = authority.server(&HOSTS, Alpn::Http1).unwrap();
    let origin = RawOrigin::start(Some(tls), vec![vec![Step::read_head(), Step::Cut]]).await.unwrap();
    assert_not_sent_again(&Site::to(origin.address(), &authority).start()).await;
    assert_eq!(origin.received().len(), 1);

    let upstream =
        Upstream::with(FakeOptions { head_delay: Duration::from_secs(600), ..FakeOptions::default() }, Alpn::Http2)
            .await;
    let copilens = Site::new(&upstream).start();
    let hang_up = async {
        upstream.fake.wait_for(|seen| seen.request_count == 1, PATIENCE).await.unwrap();
        upstream.fake.hang_up();
    };
    tokio::join!(assert_not_sent_again(&copilens), hang_up);
    assert_eq!(upstream.fake.seen().request_count, 1);
}
