//! Names that nobody can resolve.

use std::time::{Duration, Instant};

use bytes::Bytes;
use copilens::sim::tls::{Alpn, TestAuthority};
use http::Request;

use crate::support::wire::Wire;
use crate::support::{Site, wait_until};
use crate::watching::{metrics, sum};

/// Never a host (RFC 6761 section 6.4).
const NOWHERE: &str = "no-such-host.invalid";

#[tokio::test(flavor = "multi_thread")]
async fn d1_a_name_without_an_address_is_a_502_in_time_and_the_log_says_why() {
    let site = Site::to(([127, 0, 0, 1], 1).into(), &TestAuthority::new().unwrap()).set("upstream.resolve", "{}");
    let site = site.set("upstream.connect_timeout", "\"5s\"").set("intercept.hosts", "[\"chat.invalid\"]");
    let copilens = site.start();
    let begun = Instant::now();
    let mut wire = Wire::to(copilens.proxy).await;
    let answer = wire.connect(&format!("{NOWHERE}:443"), &copilens.credentials("alice")).await;
    // A resolver that is away is silent instead.
    assert!([502, 504].contains(&answer.status), "{}", answer.head);
    assert!(!answer.body.contains(NOWHERE), "{}", answer.body);
    let tunnel = copilens.tunnel("alice", "chat.invalid", Alpn::Http2).await;
    let reply = tunnel.send(Request::get("/").body(Bytes::new()).unwrap()).await.unwrap();
    assert!([502, 504].contains(&reply.status().as_u16()), "{}", reply.status());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(sum(&metrics(&copilens).await, "copilens_upstream_errors_total"), 2.0);
    wait_until("the cause", || copilens.log().contains(&format!("{NOWHERE} c")).then_some(()));
}
