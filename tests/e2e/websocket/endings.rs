//! How an exchange on a WebSocket ends: before its end is safe, in the middle, at a shutdown, with the user's admission.

use std::time::Duration;

use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use rustix::process::Signal;
use serde_json::Value;
use tungstenite::protocol::frame::coding::Control;

use super::asking::{Socket, answer, ask, next, open, prompt, send};
use crate::asking::fresh_id;
use crate::metrics::{scrape, value};
use crate::support::{Copilens, PATIENCE, Site, Upstream};

async fn gated() -> Upstream {
    Upstream::with(FakeOptions { gated: true, ..FakeOptions::default() }, Alpn::Both).await
}

/// The messages of an answer up to its first text.
const TO_THE_FIRST_TEXT: [&str; 4] =
    ["response.created", "response.output_item.added", "response.content_part.added", "response.output_text.delta"];

/// A socket in the middle of an answer: its first text has come.
async fn halfway(upstream: &Upstream, copilens: &Copilens, text: &str) -> Socket {
    let mut socket = open(&copilens.client("alice"), &[(control::EVENTS, "5")]).await;
    send(&mut socket, &prompt(text)).await;
    upstream.fake.release(TO_THE_FIRST_TEXT.len());
    for _ in TO_THE_FIRST_TEXT {
        next(&mut socket).await.unwrap();
    }
    socket
}

/// The one record of an answer that broke off.
fn broken_off(copilens: &Copilens, outcome: &str) {
    let record = copilens.wait_for_records("alice", "chat", 1).remove(0);
    assert_eq!(record["outcome"], outcome, "{record}");
    let kinds: Vec<_> = record["response"]["content"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, TO_THE_FIRST_TEXT);
}

async fn unread(copilens: &Copilens) -> f64 {
    value(&scrape(copilens).await, "copilens_unread_websockets_total")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_answer_waits_until_its_copy_is_safe() {
    let upstream = Upstream::start().await;
    let mut site = Site::new(&upstream).set("capture.commit_timeout_ms", "60000");
    let offer = [
        ("sec-websocket-extensions", "permessage-deflate"),
        (control::WEBSOCKET_EXTENSIONS, "permessage-deflate"),
        (control::FRAGMENTS, "2"),
    ];
    let mut finished = 0;
    // So long that it takes the disk longer than the client to have it.
    let long = format!("canary-{} {}", fresh_id(), "x".repeat(2 << 20));
    for further in [&[][..], &offer] {
        let copilens = site.start();
        let mut socket = open(&copilens.client("alice"), further).await;
        for text in ["short", &long] {
            ask(&mut socket, &prompt(text)).await;
            finished += 1;
        }
        site = copilens.kill();
        let copilens = site.start();
        copilens.wait_for_records("alice", "chat", finished);
        site = copilens.stop().1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_has_canceled() {
    let upstream = gated().await;
    for closes in [false, true] {
        let copilens = Site::new(&upstream).start();
        let mut socket = halfway(&upstream, &copilens, "How?").await;
        if closes {
            // The connection stays open: the close frame alone tells.
            socket.send_control(Control::Close, &[]).await.unwrap();
            broken_off(&copilens, "canceled");
        }
        drop(socket);
        broken_off(&copilens, "canceled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_leaves_in_the_middle_has_failed() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let mut socket = open(&copilens.client("alice"), &[(control::EVENTS, "5"), (control::BREAK_OFF, "4")]).await;
    send(&mut socket, &prompt("How?")).await;
    while next(&mut socket).await.is_some() {}
    broken_off(&copilens, "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_again_has_given_up_on_the_answer() {
    let upstream = gated().await;
    let copilens = Site::new(&upstream).start();
    let mut socket = halfway(&upstream, &copilens, "How?").await;
    send(&mut socket, &prompt("Or rather?")).await;
    broken_off(&copilens, "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_an_answer_finish_however_long_it_is_silent() {
    let upstream = gated().await;
    let mut copilens = Site::new(&upstream).start();
    let mut socket = halfway(&upstream, &copilens, "How?").await;
    copilens.signal(Signal::TERM);
    // Longer than the silence after which an idle connection is ended.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    upstream.fake.release(100);
    answer(&mut socket).await;
    assert_eq!(next(&mut socket).await, None, "it goes on after the answer");
    assert_eq!(copilens.exit_code(), Some(0));
    let records = copilens.wait_for_records("alice", "chat", 1);
    assert_eq!(records[0]["outcome"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_grace_cuts_an_answer_off_and_keeps_what_came() {
    let upstream = gated().await;
    let mut copilens = Site::new(&upstream).set("shutdown_grace", "\"300ms\"").start();
    let _socket = halfway(&upstream, &copilens, "How?").await;
    copilens.signal(Signal::TERM);
    copilens.exit_code();
    broken_off(&copilens, "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_removed_is_cut_off_in_the_middle() {
    let upstream = gated().await;
    let mut copilens = Site::new(&upstream).start();
    let mut socket = halfway(&upstream, &copilens, "How?").await;
    copilens.reload(|site| site.write_users(&["bob"]));
    assert_eq!(next(&mut socket).await, None);
    broken_off(&copilens, "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_websocket_passes_and_is_counted_once() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let mut socket = open(&copilens.client("alice"), &[]).await;
    ask(&mut socket, &prompt("Before.")).await;
    // RSV2 and an opcode that does not exist; the fake closes on it.
    socket.write(b"\xA3\x80\x00\x00\x00\x00").await.unwrap();
    socket.write(b"\xA3\x80\x00\x00\x00\x00").await.unwrap();
    while next(&mut socket).await.is_some() {}
    copilens.wait_for_records("alice", "chat", 1);
    assert_eq!(unread(&copilens).await, 1.0);
    let mut again = open(&copilens.client("alice"), &[]).await;
    ask(&mut again, &prompt("After.")).await;
    copilens.wait_for_records("alice", "chat", 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_that_is_not_known_passes_unrecorded() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let offer = [("sec-websocket-extensions", "permessage-deflate, x-sim"), (control::WEBSOCKET_EXTENSIONS, "x-sim")];
    let mut socket = open(&copilens.client("alice"), &offer).await;
    ask(&mut socket, &prompt("How?")).await;
    drop(socket);
    let seen = upstream.fake.wait_for(|seen| seen.open_streams == 0, PATIENCE).await;
    seen.unwrap();
    assert_eq!(copilens.records("alice", "chat"), Vec::<Value>::new());
    assert_eq!(unread(&copilens).await, 1.0);
    assert_eq!(copilens.log().matches("passes unrecorded").count(), 1);
}
