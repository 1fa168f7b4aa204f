//! Frames that cost their sender nothing. The process keeps its size, the connection ends, and others are served.

use std::time::Duration;

use copilens::sim::client::Connection;
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PING, RST_STREAM, SETTINGS, STATUS_200, Seen, block,
    frame, request,
};
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream};
use crate::watching::{MIB, assert_serves, peak_memory};

/// What a flood may add to memory: far less than is sent, far more than noise.
const ROOM: usize = 16 * MIB;

struct Scene {
    upstream: Upstream,
    copilens: Copilens,
    bystander: Connection,
    before: usize,
}

impl Scene {
    async fn new() -> Self {
        let upstream = Upstream::with(FakeOptions::default(), Alpn::Both).await;
        let copilens = Site::new(&upstream).start();
        let bystander = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await;
        assert_serves(&bystander).await;
        let before = peak_memory(&copilens);
        Self { upstream, copilens, bystander, before }
    }

    async fn attacker(&self, settings: &[u8]) -> Frames {
        Frames::open(&self.copilens, CHAT_HOST, settings).await
    }

    async fn assert_unhurt(&self) {
        assert_serves(&self.bystander).await;
        assert_serves(&self.copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http1).await).await;
        let grown = peak_memory(&self.copilens) - self.before;
        assert!(grown < ROOM, "{} MiB", grown / MIB);
    }
}

/// Sends until the other side takes no more, `most` times at most; false where it took all of it.
async fn flood(frames: &mut Frames, most: usize, mut piece: impl FnMut(usize) -> Vec<u8>) -> bool {
    for number in 0..most {
        if !frames.send(&piece(number)).await {
            return true;
        }
    }
    false
}

/// CVE-2023-44487.
#[tokio::test(flavor = "multi_thread")]
async fn c4_rapid_reset_ends_the_connection() {
    let scene = Scene::new().await;
    let mut frames = scene.attacker(&[]).await;
    let head = request("GET", CHAT_HOST, &[(control::NEVER_ANSWER, "1")]);
    let before = scene.upstream.fake.seen().request_count;
    flood(&mut frames, 20_000, |number| {
        let stream = u32::try_from(number).unwrap() * 2 + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
        [open, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    })
    .await;
    assert!(frames.is_sent_away().await);
    let reached = scene.upstream.fake.seen().request_count - before;
    assert!(reached < 2_000, "{reached} requests reached upstream");
    scene.assert_unhurt().await;
}

/// RUSTSEC-2024-0332: a header block without an end.
#[tokio::test(flavor = "multi_thread")]
async fn c4_endless_continuation_ends_the_connection() {
    let scene = Scene::new().await;
    let mut frames = scene.attacker(&[]).await;
    assert!(frames.send(&frame(HEADERS, END_STREAM, 1, &request("GET", CHAT_HOST, &[]))).await);
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-more", &"a".repeat(16_000))]));
    assert!(flood(&mut frames, 8_000, |_| more.clone()).await, "128 MB of header fields were taken");
    assert!(frames.is_sent_away().await);
    scene.assert_unhurt().await;
}

/// Frames that ask for an answer, from a client that does not read: it is not read from either, once the answers wait.
#[tokio::test(flavor = "multi_thread")]
async fn c4_pings_and_settings_without_end_fill_no_memory() {
    let scene = Scene::new().await;
    for one in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])] {
        let mut frames = scene.attacker(&[]).await;
        let many = one.repeat(10_000);
        assert!(flood(&mut frames, 2_000, |_| many.clone()).await, "20 million frames were taken");
    }
    scene.assert_unhurt().await;
}

/// RUSTSEC-2026-0258: DATA without data, which no window holds back.
#[tokio::test(flavor = "multi_thread")]
async fn c4_empty_data_without_end_ends_the_connection() {
    let scene = Scene::new().await;
    let mut frames = scene.attacker(&[]).await;
    let head = request("POST", CHAT_HOST, &[(control::NEVER_ANSWER, "1")]);
    assert!(frames.send(&frame(HEADERS, END_HEADERS, 1, &head)).await);
    let many = frame(DATA, 0, 1, &[]).repeat(10_000);
    assert!(flood(&mut frames, 1_000, |_| many.clone()).await, "10 million frames were taken");
    assert!(frames.is_sent_away().await);
    scene.assert_unhurt().await;
}

/// A client that asks for much and gives no window for the answers.
#[tokio::test(flavor = "multi_thread")]
async fn c4_answers_without_a_window_wait_upstream_and_not_in_memory() {
    let scene = Scene::new().await;
    // SETTINGS_INITIAL_WINDOW_SIZE (4) is 0.
    let mut frames = scene.attacker(&[0, 4, 0, 0, 0, 0]).await;
    let size = (16 * MIB).to_string();
    let head = request("GET", CHAT_HOST, &[(control::BODY_SIZE, &size)]);
    for stream in (1..80).step_by(2) {
        assert!(frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)).await);
    }
    for _ in 0..40 {
        assert!(matches!(frames.seen().await, Seen::Answer(_, STATUS_200)));
    }
    // Time for what would be read on behalf of nobody.
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.assert_unhurt().await;
}
