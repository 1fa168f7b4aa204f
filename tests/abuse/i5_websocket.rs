//! Floods on a WebSocket whose messages are read.

use std::time::{Duration, Instant};

use copilens::sim::client::Connection;
use copilens::sim::tls::{Alpn, TestAuthority};
use copilens::sim::websocket::WebSocket;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, PATIENCE, Site, Upstream};
use crate::torrent::{Script, Torrent};
use crate::watching::{MIB, assert_serves, metrics, peak_memory, sum};

const KEPT: usize = 2 * MIB;
/// What one flood may add to memory.
const ROOM: usize = 32 * MIB;
const CREATE: &str = r#"{"type":"response.create","model":"m","input":[{"role":"user","content":"u"}]}"#;

type Socket = WebSocket<TlsStream<TcpStream>>;

struct Trial {
    copilens: Copilens,
    _upstream: Upstream,
    bob: Connection,
    before: usize,
}

impl Trial {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        let copilens = Site::new(&upstream).set("capture.max_body", &format!("{KEPT}")).start();
        let bob = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await;
        assert_serves(&bob).await;
        let before = peak_memory(&copilens);
        Self { copilens, _upstream: upstream, bob, before }
    }

    async fn socket(&self) -> Socket {
        self.copilens.client("alice").websocket(CHAT_HOST, "/responses", &[]).await.unwrap().1
    }

    /// Writes until all is taken or nobody takes more; serves the other user meanwhile.
    async fn flood(&self, socket: &mut Socket, piece: &[u8], times: usize) {
        let begun = Instant::now();
        for number in 0..times {
            let written = tokio::time::timeout(Duration::from_millis(500), socket.write(piece)).await;
            if !matches!(written, Ok(Ok(()))) {
                break;
            }
            if number % (times / 4).max(1) == 0 {
                assert_serves(&self.bob).await;
            }
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }

    async fn assert_well(&self, what: &str) {
        assert_serves(&self.bob).await;
        let grown = peak_memory(&self.copilens) - self.before;
        assert!(grown < ROOM, "{what}: {} MiB", grown / MIB);
        let text = metrics(&self.copilens).await;
        assert_eq!(sum(&text, "copilens_panics_total"), 0.0);
        assert_eq!(sum(&text, "copilens_unrecorded_exchanges_total"), 0.0, "{what}");
    }
}

/// A masked frame with the mask 0, so that its payload stands as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_tiny_frames_and_unfinished_messages_cost_no_more_than_is_kept() {
    let trial = Trial::start().await;
    let mut socket = trial.socket().await;
    socket.write(&frame(0x01, b"{")).await.unwrap();
    // 4 million bytes of one message in as many frames: twice what is kept.
    let tiny = frame(0x00, b" ").repeat(10_000);
    trial.flood(&mut socket, &tiny, 400).await;
    trial.assert_well("tiny frames").await;
    let mut socket = trial.socket().await;
    trial.flood(&mut socket, &frame(0x89, b"p").repeat(10_000), 20).await;
    trial.assert_well("pings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_length_without_measure_reserves_nothing() {
    let trial = Trial::start().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = trial.socket().await;
        let header = [&[0x81, 0x80 | 127][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat();
        socket.write(&header).await.unwrap();
        trial.flood(&mut socket, &[b' '; 16 * 1024], 4).await;
        sockets.push(socket);
    }
    trial.assert_well("huge lengths").await;
}

/// An upstream that takes all and answers none of it.
async fn deaf() -> (Torrent, Copilens) {
    let authority = TestAuthority::new().unwrap();
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let script = Script { read_to: b"\r\n\r\n", head: switch.into(), piece: b"\x89\x00"[..].into(), most: 1 };
    let torrent = Torrent::start(Some(&authority), script).await;
    let site = Site::to(torrent.address, &authority);
    (torrent, site.start())
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_requests_without_end_are_recorded_and_counted() {
    const TIMES: usize = 5000;
    let (_torrent, copilens) = deaf().await;
    let before = peak_memory(&copilens);
    // Each request is kept with the head of the upgrade.
    let long = "x".repeat(16 << 10);
    let further = [("x-long", long.as_str())];
    let mut socket: Socket = copilens.client("alice").websocket(CHAT_HOST, "/responses", &further).await.unwrap().1;
    let begun = Instant::now();
    // The buffers on the way take them all.
    socket.write(&frame(0x81, CREATE.as_bytes()).repeat(TIMES)).await.unwrap();
    // The last one is under way.
    let (mut unrecorded, mut recorded) = (0.0, 0.0);
    while recorded + unrecorded < (TIMES - 1) as f64 {
        assert!(begun.elapsed() < PATIENCE, "{recorded} recorded, {unrecorded} not");
        tokio::time::sleep(Duration::from_millis(50)).await;
        let text = metrics(&copilens).await;
        recorded = sum(&text, "copilens_noise_exchanges_total");
        unrecorded = sum(&text, "copilens_unrecorded_exchanges_total");
    }
    let grown = peak_memory(&copilens) - before;
    assert_eq!(unrecorded, 0.0);
    assert!(grown < ROOM, "{} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_compressed_message_grows_to_what_is_kept() {
    let trial = Trial::start().await;
    let further = [
        ("sec-websocket-extensions", "permessage-deflate"),
        (copilens::sim::copilot::control::WEBSOCKET_EXTENSIONS, "permessage-deflate"),
    ];
    let mut socket = trial.copilens.client("alice").websocket(CHAT_HOST, "/responses", &further).await.unwrap().1;
    let bomb = format!("{{\"type\":\"response.create\",\"input\":\"{}\"}}", " ".repeat(40 * MIB));
    let _ = tokio::time::timeout(PATIENCE, socket.send(&bomb)).await;
    trial.assert_well("a compressed message").await;
}
