//! Clients that leave at every stage: nothing of them stays.

use std::collections::HashMap;

use copilens::sim::client::ProxyClient;
use copilens::sim::copilot::control;
use copilens::sim::tls::Alpn;
use tokio::io::AsyncWriteExt;

use crate::support::{CHAT_HOST, COMPLETIONS_HOST, HOSTS, PATIENCE, Site, Upstream, completion, wait_until};
use crate::watching::{assert_serves, metrics, open_descriptors, sum, wait_for_sum};

const OTHER_HOST: &str = "pages.example.com";
/// Clients at each stage.
const EACH: usize = 15;

/// Opens a tunnel, sends this inside, and leaves.
async fn leave_after(client: &ProxyClient, begin: &[u8]) {
    let mut stream = client.tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    stream.write_all(begin).await.unwrap();
    stream.flush().await.unwrap();
}

/// Leaves while a server has not answered yet, and in the middle of its answer.
async fn leave_the_answer(client: &ProxyClient, upstream: &Upstream, alpn: Alpn) {
    let tunnel = client.tunnel(COMPLETIONS_HOST, 443, alpn).await.unwrap();
    let mut request = completion("def never():");
    request.headers_mut().insert(control::STALL, "1".parse().unwrap());
    let mut reply = tunnel.send(request).await.unwrap();
    assert!(reply.chunk().await.unwrap().is_some());
    drop(reply);

    let tunnel = client.tunnel(COMPLETIONS_HOST, 443, alpn).await.unwrap();
    let mut request = completion("def never():");
    request.headers_mut().insert(control::NEVER_ANSWER, "1".parse().unwrap());
    let id = request.headers()["x-request-id"].to_str().unwrap().to_owned();
    let waiting = tokio::spawn(async move { tunnel.send(request).await.is_ok() });
    let came = |seen: &copilens::sim::copilot::Seen| {
        seen.requests.iter().any(|request| request.header("x-request-id") == Some(&id))
    };
    upstream.fake.wait_for(came, PATIENCE).await.unwrap();
    waiting.abort();
}

async fn leave_at_every_stage(client: &ProxyClient, upstream: &Upstream) {
    let half = format!("POST /chat/completions HTTP/1.1\r\nHost: {CHAT_HOST}\r\nContent-Length: 100\r\n\r\n{{");
    for number in 0..EACH {
        drop(client.connect(&format!("{CHAT_HOST}:443")).await.unwrap());
        drop(client.connect(&format!("{OTHER_HOST}:443")).await.unwrap());
        let mut half_hello = client.connect(&format!("{CHAT_HOST}:443")).await.unwrap();
        half_hello.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        drop(half_hello);
        leave_after(client, b"").await;
        leave_after(client, b"POST /chat/comp").await;
        leave_after(client, half.as_bytes()).await;
        let alpn = if number % 2 == 0 { Alpn::Http1 } else { Alpn::Http2 };
        leave_the_answer(client, upstream, alpn).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_clients_that_leave_at_any_stage_leave_nothing_behind() {
    let upstream = Upstream::start().await;
    let mut resolve: HashMap<&str, String> = HOSTS.map(|host| (host, upstream.fake.address().to_string())).into();
    resolve.insert(OTHER_HOST, upstream.fake.address().to_string());
    let entries: Vec<_> = resolve.iter().map(|(host, address)| format!("\"{host}\" = \"{address}\"")).collect();
    let site = Site::new(&upstream).set("upstream.resolve", &format!("{{ {} }}", entries.join(", ")));
    let copilens = site.set("shutdown_grace", "\"1h\"").start();
    let client = copilens.client("alice");
    assert_serves(&copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await).await;
    let before = open_descriptors(&copilens);

    leave_at_every_stage(&client, &upstream).await;
    wait_for_sum(&copilens, "copilens_tunnels_open", 0.0).await;
    upstream.fake.wait_for(|seen| seen.open_streams == 0, PATIENCE).await.unwrap();
    wait_until("the descriptors' return", || (open_descriptors(&copilens) <= before + 4).then_some(()));
    let text = metrics(&copilens).await;
    assert_eq!(sum(&text, "copilens_tunnels_opened_total"), (1 + 8 * EACH) as f64);
    assert_eq!(sum(&text, "copilens_panics_total"), 0.0);
    // Each exchange that a server got is on record, and no task holds up the end.
    wait_for_sum(&copilens, "copilens_exchanges_total", (1 + 3 * EACH) as f64).await;
    // A client that goes away is nothing to call an operator for.
    let log = copilens.log();
    assert!(!log.contains("\"ERROR\""), "{log}");
    let (code, _) = copilens.stop();
    assert_eq!(code, Some(0));
}
