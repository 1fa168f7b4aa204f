//! Ends that come too early: upstream's reset is a reset for the client, and a client that leaves is felt upstream.

use std::time::Duration;

use copilens::sim::copilot::control;
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};
use serde_json::Value;

use super::{chat, chat_body};
use crate::support::{CHAT_HOST, Copilens, HOSTS, PATIENCE, Site, Upstream};

/// A client that leaves must be felt upstream in this time.
const FELT: Duration = Duration::from_secs(1);
const MIXES: [(Alpn, Alpn); 4] =
    [(Alpn::Http1, Alpn::Http1), (Alpn::Http1, Alpn::Http2), (Alpn::Http2, Alpn::Http1), (Alpn::Http2, Alpn::Http2)];

const EVENT: &str = "data: {\"id\":\"1\"}\n\n";

fn only(records: &[Value]) -> &Value {
    assert_eq!(records.len(), 1);
    &records[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_reaches_the_client_as_that() {
    for (client, server) in MIXES {
        for framing in ["chunked", "length"] {
            let upstream = Upstream::with(Default::default(), server).await;
            let copilens = Site::new(&upstream).start();
            let tunnel = copilens.tunnel("alice", CHAT_HOST, client).await;
            let request = chat().header(control::BREAK_OFF, 2).header(control::FRAMING, framing);
            let mut reply = tunnel.send(request.body(chat_body()).unwrap()).await.unwrap();
            let mut text = String::new();
            let end = loop {
                match tokio::time::timeout(PATIENCE, reply.chunk()).await.unwrap() {
                    Ok(Some(piece)) => text.push_str(std::str::from_utf8(&piece).unwrap()),
                    end => break end,
                }
            };
            assert!(end.is_err(), "{client:?} {server:?} {framing}: the answer seems whole");
            assert_eq!(
                text.matches("data: ").count(),
                2,
                "{client:?} {server:?} {framing}: what came before the break"
            );
            let records = copilens.wait_for_records("alice", "chat", 1);
            assert_eq!(only(&records)["outcome"], "failed", "{client:?} {server:?} {framing}");
            assert_eq!(only(&records)["response"]["content"].as_array().unwrap().len(), 2);
        }
    }
}

/// An origin that sends one event of a longer answer.
async fn one_event_then(steps: &[Step]) -> (RawOrigin, Copilens) {
    let authority = TestAuthority::new().unwrap();
    let tls = authority.server(&HOSTS, Alpn::Http1).unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let event = Step::write(format!("{head}12\r\n{EVENT}\r\n"));
    let script = [&[Step::read_head(), event], steps].concat();
    let origin = RawOrigin::start(Some(tls), vec![script]).await.unwrap();
    let copilens = Site::to(origin.address(), &authority).start();
    (origin, copilens)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_reset_reaches_the_client_as_a_break() {
    let (origin, copilens) = one_event_then(&[Step::AwaitRelease, Step::Reset]).await;
    let mut reply = super::ask(&copilens).await.unwrap();
    assert_eq!(reply.chunk().await.unwrap().unwrap(), EVENT);
    origin.release(1);
    assert!(tokio::time::timeout(PATIENCE, reply.chunk()).await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_together_with_the_break_reaches_the_client() {
    let (_origin, copilens) = one_event_then(&[Step::Cut]).await;
    let alice = copilens.client("alice");
    for number in 0..40 {
        let client = if number % 2 == 0 { Alpn::Http1 } else { Alpn::Http2 };
        let tunnel = alice.tunnel(CHAT_HOST, 443, client).await.unwrap();
        let mut reply = tunnel.send(chat().body(chat_body()).unwrap()).await.unwrap();
        let event = tokio::time::timeout(PATIENCE, reply.chunk()).await.unwrap();
        assert_eq!(event.unwrap().unwrap(), EVENT, "{client:?} {number}");
        assert!(tokio::time::timeout(PATIENCE, reply.chunk()).await.unwrap().is_err(), "{client:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_the_answer_comes_cancels_upstream() {
    for (client, server) in MIXES {
        let upstream = Upstream::with(Default::default(), server).await;
        let copilens = Site::new(&upstream).start();
        let tunnel = copilens.tunnel("alice", CHAT_HOST, client).await;
        let request = chat().header(control::STALL, 2).body(chat_body()).unwrap();
        let mut reply = tunnel.send(request).await.unwrap();
        assert!(reply.chunk().await.unwrap().is_some());
        drop(reply);
        let aborted = upstream.fake.wait_for(|seen| seen.requests[0].aborted, FELT).await;
        assert!(aborted.is_ok(), "{client:?} {server:?}");
        let records = copilens.wait_for_records("alice", "chat", 1);
        assert_eq!(only(&records)["outcome"], "canceled", "{client:?} {server:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_cancels_upstream() {
    for (client, server) in MIXES {
        let upstream = Upstream::with(Default::default(), server).await;
        let copilens = Site::new(&upstream).start();
        let tunnel = copilens.tunnel("alice", CHAT_HOST, client).await;
        let request = chat().header(control::NEVER_ANSWER, "1").body(chat_body()).unwrap();
        let answer = tokio::spawn(async move { tunnel.send(request).await.is_ok() });
        upstream.fake.wait_for(|seen| seen.request_count == 1, PATIENCE).await.unwrap();
        answer.abort();
        let aborted = upstream.fake.wait_for(|seen| seen.requests[0].aborted, FELT).await;
        assert!(aborted.is_ok(), "{client:?} {server:?}");
    }
}
