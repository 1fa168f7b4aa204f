//! Servers that cannot be reached, and servers that are silent.

use std::net::{Ipv4Addr, TcpListener};

use copilens::sim::copilot::control;
use copilens::sim::raw::{RawOrigin, Step};
use copilens::sim::tls::{Alpn, TestAuthority};

use super::{ask, assert_fails, chat, chat_body};
use crate::support::{CHAT_HOST, HOSTS, PATIENCE, Site, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_port_is_a_502() {
    let refused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let copilens = Site::to(refused, &TestAuthority::new().unwrap()).start();
    assert_fails(&copilens, 502, "bad_gateway", "refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_a_504() {
    // The system accepts for it; nobody speaks TLS.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let site = Site::to(silent.local_addr().unwrap(), &TestAuthority::new().unwrap());
    let copilens = site.set("upstream.connect_timeout", "\"1s\"").start();
    assert_fails(&copilens, 504, "gateway_timeout", "connect_timeout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_at_once_is_a_502_and_dialled_a_few_times_only() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let authority = TestAuthority::new().unwrap();
        let tls = authority.server(&HOSTS, alpn).unwrap();
        let origin = RawOrigin::start(Some(tls), vec![vec![Step::Close]]).await.unwrap();
        let copilens = Site::to(origin.address(), &authority).start();
        assert_fails(&copilens, 502, "bad_gateway", "got no answer from upstream").await;
        let dialled = origin.received().len();
        assert!((1..=3).contains(&dialled), "{dialled} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_a_504() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let upstream = Upstream::with(Default::default(), alpn).await;
        let copilens = Site::new(&upstream).set("upstream.first_byte_timeout", "\"1s\"").start();
        let tunnel = copilens.tunnel("alice", CHAT_HOST, alpn).await;
        let request = chat().header(control::NEVER_ANSWER, "1").body(chat_body()).unwrap();
        let reply = tokio::time::timeout(PATIENCE, tunnel.send(request)).await.unwrap().unwrap();
        assert_eq!(reply.status(), 504);
        drop(reply);
        upstream.fake.wait_for(|seen| seen.requests[0].aborted, PATIENCE).await.unwrap();
        let again = copilens.tunnel("alice", CHAT_HOST, alpn).await;
        assert_eq!(again.send(chat().body(chat_body()).unwrap()).await.unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_a_reset() {
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let upstream = Upstream::with(Default::default(), alpn).await;
        let copilens = Site::new(&upstream).set("upstream.idle_timeout", "\"1s\"").start();
        let tunnel = copilens.tunnel("alice", CHAT_HOST, alpn).await;
        let request = chat().header(control::STALL, "2").body(chat_body()).unwrap();
        let mut reply = tunnel.send(request).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, reply.bytes()).await.unwrap();
        assert!(ended.is_err(), "the answer seems whole: {ended:?}");
        upstream.fake.wait_for(|seen| seen.requests[0].aborted, PATIENCE).await.unwrap();
        let records = copilens.wait_for_records("alice", "chat", 1);
        assert_eq!(records[0]["outcome"], "failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_can_be_switched_off() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("upstream.http2", "false").start();
    assert_eq!(ask(&copilens).await.unwrap().status(), 200);
    assert_eq!(upstream.fake.requests()[0].version, http::Version::HTTP_11);
}
