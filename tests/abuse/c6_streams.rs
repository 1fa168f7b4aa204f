//! Bodies without measure or end, and others who do not read: memory keeps its size, and the record says what is missing.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use copilens::sim::client::{Reply, RequestBody};
use copilens::sim::tls::{Alpn, TestAuthority};
use http::Request;
use http::request::Builder;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{CHAT_HOST, Copilens, Site};
use crate::torrent::{Script, Torrent};
use crate::watching::{MIB, peak_memory};

/// Not intercepted.
const OTHER_HOST: &str = "pages.example.com";
/// What may be added to memory: some buffers and the copy.
const ROOM: usize = 24 * MIB;
const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const EVENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"and so on \"}}]}\n\n";

fn chat() -> Builder {
    Request::post("/chat/completions").header("content-type", "application/json").header("x-initiator", "user")
}

fn small(text: &'static str) -> RequestBody {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

const BODY: &str = r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Go on."}]}"#;

fn start(torrent: &Torrent, authority: &TestAuthority) -> Copilens {
    let resolve = format!("{{ \"{OTHER_HOST}\" = \"{0}\", \"{CHAT_HOST}\" = \"{0}\" }}", torrent.address);
    let site = Site::to(torrent.address, authority).set("upstream.resolve", &resolve);
    site.set("capture.max_body", "\"1MiB\"").set("capture.noise", "\"record\"").start()
}

async fn read(reply: &mut Reply, least: u64) -> u64 {
    let mut size = 0;
    while size < least {
        let Some(piece) = reply.chunk().await.unwrap() else { break };
        size += piece.len() as u64;
    }
    size
}

fn assert_small(copilens: &Copilens, before: usize, what: &str) {
    let grown = peak_memory(copilens) - before;
    assert!(grown < ROOM, "{what}: {} MiB", grown / MIB);
}

/// The newest record, which is of an answer of which the copy is not whole.
fn truncated_record(copilens: &Copilens, count: usize) -> Value {
    let record = copilens.wait_for_records("alice", "chat", count).pop().unwrap();
    let problems = record["problems"].as_array().unwrap();
    assert!(problems.contains(&"response_truncated".into()), "{problems:?}");
    assert!(record.to_string().len() < 4 * MIB);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn c8_a_stream_without_end_is_kept_to_its_limit_and_recorded_when_the_client_leaves() {
    const ENOUGH: u64 = 40 << 20;
    let line = "x".repeat(64 * 1024);
    for (piece, what, alpn) in [(EVENT.repeat(500), "events", Alpn::Http1), (line, "one line", Alpn::Http2)] {
        let authority = TestAuthority::new().unwrap();
        let head = format!("{STREAM}data: ");
        let script = Script { read_to: b"Go on.\"}]}", head: head.into(), piece: piece.into(), most: u64::MAX };
        let torrent = Torrent::start(Some(&authority), script).await;
        let copilens = start(&torrent, &authority);
        let tunnel = copilens.tunnel("alice", CHAT_HOST, alpn).await;
        let before = peak_memory(&copilens);
        let mut reply = tunnel.send_streaming(chat().body(small(BODY)).unwrap()).await.unwrap();
        assert!(read(&mut reply, ENOUGH).await >= ENOUGH);
        assert_small(&copilens, before, what);
        drop(reply);
        torrent.wait_until_left();
        let record = truncated_record(&copilens, 1);
        assert_eq!(record["outcome"], "canceled", "{what}");
        assert!(record["bytes"]["response"].as_u64().unwrap() >= ENOUGH, "{what}");
    }
}

/// A body of so many bytes, made as it is read.
struct Pieces(u64);

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];
        let size = self.0.min(PIECE.len() as u64);
        self.0 -= size;
        let piece = &PIECE[..usize::try_from(size).unwrap()];
        Poll::Ready((size > 0).then(|| Ok(Frame::data(Bytes::from_static(piece)))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c6_a_gibibyte_each_way_streams_through() {
    const GIB: u64 = 1 << 30;
    if std::env::var_os("LONG_TESTS").is_none() {
        // Past cargo's capture, which hides what a passing test prints.
        let _ = writeln!(std::io::stderr(), "skipped: a gibibyte each way: heavy; `./tests/run --long` has it");
        return;
    }
    let authority = TestAuthority::new().unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {GIB}\r\nconnection: close\r\n\r\n");
    let script = Script { read_to: b"0\r\n\r\n", head: head.into(), piece: vec![b'y'; 64 * 1024].into(), most: GIB };
    let torrent = Torrent::start(Some(&authority), script).await;
    let copilens = start(&torrent, &authority);
    for (number, alpn) in [(1, Alpn::Http1), (2, Alpn::Http2)] {
        let tunnel = copilens.tunnel("alice", CHAT_HOST, alpn).await;
        let (before, begun) = (peak_memory(&copilens), std::time::Instant::now());
        let request = chat().body(Pieces(GIB).boxed_unsync()).unwrap();
        let mut reply = tunnel.send_streaming(request).await.unwrap();
        assert_eq!(read(&mut reply, u64::MAX).await, GIB);
        assert!(torrent.read() >= number * GIB);
        let grown = (peak_memory(&copilens) - before) / 1024;
        let _ = writeln!(std::io::stderr(), "1 GiB each way, {alpn:?}: {grown} KiB more, {:?}", begun.elapsed());
        assert_small(&copilens, before, "1 GiB each way");
        let record = truncated_record(&copilens, usize::try_from(number).unwrap());
        assert_eq!((&record["bytes"]["request"], &record["bytes"]["response"]), (&GIB.into(), &GIB.into()));
    }
}

/// Writes until nobody takes more for a while; the bytes that went.
async fn write_until_held_back(stream: &mut (impl AsyncWrite + Unpin)) -> usize {
    let (piece, mut sent) = (vec![b'x'; 64 * 1024], 0);
    let pause = std::time::Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(pause, stream.write(&piece)).await {
        sent += written.unwrap();
        assert!(sent < 200 * MIB, "there is no end to what is taken");
    }
    sent
}

/// Whoever does not read holds up the other side, and not memory: in a tunnel that is carried unseen, to both sides, and
/// in a request to a server that does not read it. An answer to a client that does not read it: e2e `transparency`.
#[tokio::test(flavor = "multi_thread")]
async fn d5_who_does_not_read_holds_up_who_sends() {
    const TAKEN: usize = 32 * MIB;
    let authority = TestAuthority::new().unwrap();
    let endless = Script { read_to: b"", head: Bytes::new(), piece: vec![b'y'; 64 * 1024].into(), most: u64::MAX };
    let torrent = Torrent::start(None, endless.clone()).await;
    let copilens = start(&torrent, &authority);
    let before = peak_memory(&copilens);
    let mut stream = copilens.client("alice").connect(&format!("{OTHER_HOST}:443")).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'y');
    assert!(torrent.sent_until_held_back().await < TAKEN as u64);
    assert!(write_until_held_back(&mut stream).await < TAKEN, "the server of a tunnel does not read");
    assert_small(&copilens, before, "a tunnel");

    let silent = Script { read_to: b"\r\n\r\n", most: 0, ..endless };
    let torrent = Torrent::start(Some(&authority), silent).await;
    let copilens = start(&torrent, &authority);
    let mut stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    let before = peak_memory(&copilens);
    let head = format!("POST /x HTTP/1.1\r\nHost: {CHAT_HOST}\r\nContent-Length: {}\r\n\r\n", 1u64 << 30);
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(write_until_held_back(&mut stream).await < TAKEN, "the server of a request does not read");
    assert_small(&copilens, before, "a request");
}
