//! Streamed answers: each event reaches the client before the next one is sent, and the end only with the record safe.

use std::io::Write;

use copilens::sim::client::Reply;
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use flate2::write::GzDecoder;

use super::{Pair, chat, chat_body};
use crate::support::{Copilens, PATIENCE};

/// Text events of an answer; its closing events come on top.
const EVENTS: usize = 4;

/// Upstream sends an event only when it is told to; so an event that is held back anywhere would never come.
async fn gated(client: Alpn, upstream: Alpn, coding: Option<&str>) -> String {
    let options = FakeOptions { gated: true, ..FakeOptions::default() };
    let pair = Pair::with(options, upstream, |site| site).await;
    let tunnel = pair.through(client).await;
    let mut request = chat().header(control::EVENTS, EVENTS);
    if let Some(coding) = coding {
        request = request.header(control::ENCODING, coding);
    }
    let mut reply = tunnel.send(request.body(chat_body(true)).unwrap()).await.unwrap();
    assert_eq!(reply.header("content-encoding"), coding);
    let mut decoder = GzDecoder::new(Vec::new());
    while let Some(piece) = next_event(&pair, &mut reply).await {
        let before = decoder.get_ref().len();
        match coding {
            Some(_) => decoder.write_all(&piece).and_then(|()| decoder.flush()).unwrap(),
            None => decoder.get_mut().extend_from_slice(&piece),
        }
        let event = &decoder.get_ref()[before..];
        assert_eq!(event.windows(6).filter(|part| part == b"data: ").count(), 1, "{}", event.escape_ascii());
        assert!(event.ends_with(b"\n\n"), "{}", event.escape_ascii());
    }
    String::from_utf8(decoder.get_ref().clone()).unwrap()
}

async fn next_event(pair: &Pair, reply: &mut Reply) -> Option<bytes::Bytes> {
    pair.upstream.fake.release(1);
    tokio::time::timeout(PATIENCE, reply.chunk()).await.expect("the event does not arrive").unwrap()
}

fn assert_is_whole(text: &str) {
    assert!(text.matches("data: ").count() > EVENTS, "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_not_held_back_over_http1() {
    assert_is_whole(&gated(Alpn::Http1, Alpn::Http1, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_not_held_back_over_http2() {
    assert_is_whole(&gated(Alpn::Http2, Alpn::Http2, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_not_held_back_between_versions() {
    assert_is_whole(&gated(Alpn::Http1, Alpn::Http2, None).await);
    assert_is_whole(&gated(Alpn::Http2, Alpn::Http1, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_events_are_not_held_back() {
    assert_is_whole(&gated(Alpn::Http1, Alpn::Http1, Some("gzip")).await);
    assert_is_whole(&gated(Alpn::Http2, Alpn::Http2, Some("gzip")).await);
}

/// An exchange whose end the client has seen survives `kill -9` in that moment.
async fn survives(client: Alpn, upstream: Alpn, framing: &str, streamed: bool, trailer: bool) {
    let pair = Pair::new(upstream).await;
    let tunnel = pair.through(client).await;
    let mut request = chat().header(control::FRAMING, framing).header("te", "trailers");
    if trailer {
        request = request.header(control::TRAILER, "x-checksum: 1");
    }
    let mut reply = tunnel.send(request.body(chat_body(streamed)).unwrap()).await.unwrap();
    reply.bytes().await.unwrap();
    let site = pair.copilens.kill();
    let records = Copilens::start(site).wait_for_records("alice", "chat", 1);
    assert_eq!((&records[0]["response"]["status_code"], &records[0]["outcome"]), (&200.into(), &"completed".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_seen_to_end_survives_a_kill_over_http1() {
    for (framing, streamed, trailer) in
        [("chunked", true, false), ("length", false, false), ("close", true, false), ("chunked", false, true)]
    {
        survives(Alpn::Http1, Alpn::Http1, framing, streamed, trailer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_seen_to_end_survives_a_kill_over_http2() {
    for (framing, streamed, trailer) in [("chunked", true, false), ("length", false, false), ("chunked", false, true)] {
        survives(Alpn::Http2, Alpn::Http2, framing, streamed, trailer).await;
    }
}
