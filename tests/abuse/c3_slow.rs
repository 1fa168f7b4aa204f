//! Clients that keep copilens waiting. The limits are those of the product, so these tests take half a minute.

use std::time::Duration;

use bytes::Bytes;
use copilens::sim::tls::{Alpn, TestAuthority};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep, timeout};

use crate::frames::{DATA, END_HEADERS, Frames, HEADERS, Seen, frame, request};
use crate::support::wire::Wire;
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream, wait_until};
use crate::torrent::{Script, Torrent};
use crate::watching::assert_serves;

/// Not intercepted.
const OTHER_HOST: &str = "pages.example.com";
/// Longer than any limit under test (at most 40 s).
const LONG: Duration = Duration::from_secs(90);

/// With limits of a second for upstream, so that a silent tunnel is given up after 31.
async fn start() -> (Upstream, Copilens) {
    let upstream = Upstream::start().await;
    let site = short_limits(Site::new(&upstream));
    (upstream, site.start())
}

fn short_limits(site: Site) -> Site {
    site.set("upstream.idle_timeout", "\"1s\"").set("upstream.first_byte_timeout", "\"1s\"")
}

/// Reads until the other side ends the connection, while `drip` writes a byte each second.
async fn is_ended<S: AsyncRead + AsyncWrite>(stream: S, begin: &str, drip: Option<u8>) {
    let (mut read, mut write) = split(stream);
    write.write_all(begin.as_bytes()).await.unwrap();
    write.flush().await.unwrap();
    let dripping = async {
        while let Some(byte) = drip {
            sleep(Duration::from_secs(1)).await;
            if write.write_all(&[byte]).await.is_err() || write.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut rest = Vec::new();
    tokio::select! {
        ended = timeout(LONG, read.read_to_end(&mut rest)) => assert!(ended.is_ok(), "{begin:?} {drip:?} is held"),
        () = dripping => {}
    }
}

async fn outside(copilens: &Copilens, begin: &str, drip: Option<u8>) {
    is_ended(Wire::to(copilens.proxy).await.into_stream(), begin, drip).await;
}

async fn inside(copilens: &Copilens, begin: &str, drip: Option<u8>) {
    let stream = copilens.client("alice").tls(CHAT_HOST, 443, CHAT_HOST, Alpn::Http1).await.unwrap();
    is_ended(stream, begin, drip).await;
}

/// A handshake that comes a byte a second.
async fn slow_handshake(copilens: &Copilens) {
    let stream = copilens.client("alice").connect(&format!("{CHAT_HOST}:443")).await.unwrap();
    is_ended(stream, "\x16\x03\x01\x02\x00\x01", Some(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_slow_or_silent_head_is_closed_before_and_after_connect() {
    let (upstream, copilens) = start().await;
    tokio::join!(
        outside(&copilens, "GET http://a/ HT", None),
        outside(&copilens, "GET http://a/ HTTP/1.1\r\nX: ", Some(b'x')),
        outside(&copilens, "CONNECT api.github.com:443 HT", None),
        outside(&copilens, "CONNECT api.github.com:443 HTTP/1.1\r\nX: ", Some(b'x')),
        slow_handshake(&copilens),
        outside(&copilens, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", None),
        inside(&copilens, "", None),
        inside(&copilens, "GET / HT", None),
        inside(&copilens, "GET / HTTP/1.1\r\nX: ", Some(b'x')),
    );
    assert_eq!(upstream.fake.seen().connections, 0);
    assert_serves(&copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Both).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c3_a_silent_body_and_a_silent_http2_connection_are_closed() {
    let (_upstream, copilens) = start().await;
    let half = format!("POST /chat/completions HTTP/1.1\r\nHost: {CHAT_HOST}\r\nContent-Length: 100\r\n\r\n{{");
    let half_over_http2 = async {
        let mut frames = Frames::open(&copilens, CHAT_HOST, &[]).await;
        let head = frame(HEADERS, END_HEADERS, 1, &request("POST", CHAT_HOST, &[]));
        assert!(frames.send(&[head, frame(DATA, 0, 1, b"{")].concat()).await);
        ends(frames).await;
    };
    let silent_http2 = async { ends(Frames::open(&copilens, CHAT_HOST, &[]).await).await };
    tokio::join!(inside(&copilens, &half, None), half_over_http2, silent_http2);
    assert_serves(&copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Both).await).await;
}

/// Clients that stop reading in the middle of what they asked for: their connections to upstream end, too.
#[tokio::test(flavor = "multi_thread")]
async fn c3_a_client_that_reads_no_more_is_let_go() {
    let authority = TestAuthority::new().unwrap();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let piece = Bytes::from(vec![b'y'; 64 * 1024]);
    let answer = Script { read_to: b"\r\n\r\n", head: head.into(), piece, most: u64::MAX };
    let carried = Torrent::start(None, Script { read_to: b"", ..answer.clone() }).await;
    let answered = Torrent::start(Some(&authority), answer).await;
    let resolve =
        format!("{{ \"{CHAT_HOST}\" = \"{}\", \"{OTHER_HOST}\" = \"{}\" }}", answered.address, carried.address);
    let copilens = short_limits(Site::to(answered.address, &authority)).set("upstream.resolve", &resolve).start();
    let client = copilens.client("alice");
    let mut unread = client.connect(&format!("{OTHER_HOST}:443")).await.unwrap();
    unread.read_u8().await.unwrap();
    let mut replies = Vec::new();
    for alpn in [Alpn::Http1, Alpn::Http2] {
        let tunnel = client.tunnel(CHAT_HOST, 443, alpn).await.unwrap();
        let request = http::Request::get("/endless").body(Bytes::new()).unwrap();
        let mut reply = tunnel.send(request).await.unwrap();
        assert!(reply.chunk().await.unwrap().is_some());
        replies.push(reply);
    }
    let begun = Instant::now();
    while answered.open() + carried.open() > 0 {
        assert!(begun.elapsed() < LONG, "{} and {} are held", answered.open(), carried.open());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(20), "let go for another reason");
}

async fn ends(mut frames: Frames) {
    while timeout(LONG, frames.next()).await.expect("the connection is held") != Seen::Closed {}
}

/// HTTP/2 in clear text has no header timeout; the ping that goes unanswered stands in for it.
#[tokio::test(flavor = "multi_thread")]
async fn h14_an_http2_preface_without_more_is_closed() {
    let (_upstream, copilens) = start().await;
    let begun = Instant::now();
    outside(&copilens, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", None).await;
    assert!(begun.elapsed() >= Duration::from_secs(10), "closed for another reason");
}

/// Connections of clients that are gone end, although they have said nothing yet: the number before
/// the timer is its kind, and 2 stands for keep-alive (Linux, proc_net_tcp).
#[tokio::test(flavor = "multi_thread")]
async fn h4_a_silent_client_is_asked_by_tcp_whether_it_is_still_there() {
    let (_upstream, copilens) = start().await;
    let stream = Wire::to(copilens.proxy).await.into_stream();
    let ports = [stream.peer_addr().unwrap(), stream.local_addr().unwrap()].map(|address| address.port());
    let [near, far] = ports.map(|port| format!("0100007F:{port:04X}"));
    let timer = wait_until("the accepted connection", || {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", copilens.pid())).unwrap();
        let columns = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        columns.skip(1).find(|columns| columns[1] == near && columns[2] == far).map(|columns| columns[5].clone())
    });
    assert!(timer.starts_with("02:"), "{timer}");
}

/// A crowd of silent clients and half handshakes costs others nothing.
#[tokio::test(flavor = "multi_thread")]
async fn c3_a_thousand_silent_clients_hold_up_nobody() {
    let (_upstream, copilens) = start().await;
    let client = copilens.client("alice");
    let mut silent = Vec::new();
    for number in 0..1_000 {
        let authority = format!("{CHAT_HOST}:443");
        let mut stream = match number % 2 {
            0 => Wire::to(copilens.proxy).await.into_stream(),
            _ => client.connect(&authority).await.unwrap(),
        };
        let begin: &[u8] = if number % 2 == 0 { b"CONNECT api" } else { b"\x16\x03\x01\x02\x00\x01" };
        stream.write_all(begin).await.unwrap();
        silent.push(stream);
    }
    assert_serves(&copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http1).await).await;
    assert_serves(&copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await).await;
}
