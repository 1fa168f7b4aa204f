//! Big bodies stream through: memory does not grow with them, and the copy stops at its limit.

use std::collections::VecDeque;

use bytes::Bytes;
use copilens::sim::client::{Reply, RequestBody};
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Frame;

use super::{Frames, Pair, chat, chat_body};
use crate::support::{Copilens, Site};

const MIB: usize = 1024 * 1024;
const BIG: usize = 64 * MIB;
/// What may be added to memory while a big body passes: some buffers and the copy, far from the body.
const ROOM: usize = 24 * MIB;

fn small_copy(site: Site) -> Site {
    site.set("capture.max_body", "\"1MiB\"")
}

async fn pair(alpn: Alpn) -> Pair {
    let pair = Pair::with(FakeOptions::default(), alpn, small_copy).await;
    // Connections, buffers and code pages that any exchange needs.
    let mut reply = pair.through(alpn).await.send(chat().body(chat_body(false)).unwrap()).await.unwrap();
    reply.bytes().await.unwrap();
    pair
}

/// The most memory that the process has had so far, in bytes.
fn peak_memory(copilens: &Copilens) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", copilens.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn upload() -> Request<RequestBody> {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let frames: VecDeque<_> = (0..BIG / piece.len()).map(|_| Frame::data(piece.clone())).collect();
    chat().body(Frames(frames).boxed_unsync()).unwrap()
}

async fn size_of(reply: &mut Reply) -> usize {
    let mut size = 0;
    while let Some(piece) = reply.chunk().await.unwrap() {
        size += piece.len();
    }
    size
}

async fn big_answer(alpn: Alpn) {
    let pair = pair(alpn).await;
    let before = peak_memory(&pair.copilens);
    let request = chat().header(control::BODY_SIZE, BIG).body(chat_body(false)).unwrap();
    let mut reply = pair.through(alpn).await.send(request).await.unwrap();
    assert_eq!(size_of(&mut reply).await, BIG);
    let grown = peak_memory(&pair.copilens) - before;
    assert!(grown < ROOM, "{} MiB", grown / MIB);
    assert_is_cut(&pair.copilens, "response");
}

async fn big_request(alpn: Alpn) {
    let pair = pair(alpn).await;
    let before = peak_memory(&pair.copilens);
    let mut reply = pair.through(alpn).await.send_streaming(upload()).await.unwrap();
    reply.bytes().await.unwrap();
    assert_eq!(pair.last_request().body.len(), BIG);
    let grown = peak_memory(&pair.copilens) - before;
    assert!(grown < ROOM, "{} MiB", grown / MIB);
    assert_is_cut(&pair.copilens, "request");
}

/// The second record says that one of its bodies is not whole, and how long it was.
fn assert_is_cut(copilens: &Copilens, side: &str) {
    let records = copilens.wait_for_records("alice", "chat", 2);
    let record = records.iter().find(|record| record["bytes"][side] == BIG).unwrap();
    let problems = record["problems"].as_array().unwrap();
    assert!(problems.contains(&format!("{side}_truncated").into()), "{problems:?}");
    assert!(serde_json::to_string(record).unwrap().len() < 4 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn big_answers_stream_through_and_their_copy_is_cut() {
    big_answer(Alpn::Http1).await;
    big_answer(Alpn::Http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn big_requests_stream_through_and_their_copy_is_cut() {
    big_request(Alpn::Http1).await;
    big_request(Alpn::Http2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_upstream_down_instead_of_filling_memory() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let pair = pair(alpn).await;
        let before = peak_memory(&pair.copilens);
        let request = chat().header(control::BODY_SIZE, BIG).body(chat_body(false)).unwrap();
        let tunnel = pair.through(alpn).await;
        let mut reply = tunnel.send(request).await.unwrap();
        assert!(reply.chunk().await.unwrap().is_some());
        // Another exchange is served meanwhile, so there was time for the big one to come in.
        let other = pair.through(alpn).await;
        for _ in 0..20 {
            let request = Request::get("/models").header(control::EVENT_DELAY_MS, 20).body(Bytes::new()).unwrap();
            other.send(request).await.unwrap().bytes().await.unwrap();
        }
        assert!(!pair.upstream.fake.requests()[1].finished, "upstream was not slowed down");
        let grown = peak_memory(&pair.copilens) - before;
        assert!(grown < ROOM, "{} MiB", grown / MIB);
        assert!(size_of(&mut reply).await > BIG / 2);
    }
}
