//! What clients make up, where it is shown and counted: in a terminal, and in `/metrics`.

use std::sync::Arc;

use bytes::Bytes;
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use http::Request;
use serde_json::{Value, json};

use crate::support::{COMPLETIONS_HOST, Site, Upstream};
use crate::watching::{metrics, sum, wait_for_sum};

/// A completion with an editor, a language and a model of the client's own invention.
fn invented(editor: &[u8], language: &str, engine: &str) -> Request<Bytes> {
    let body = json!({"prompt": "def f():", "suffix": "", "stream": true, "n": 1, "extra": {"language": language}});
    let mut request = Request::post(format!("/v1/engines/{engine}/completions"))
        .header("x-request-id", uuid::Uuid::now_v7().to_string())
        .header("content-type", "application/json")
        .header(control::EVENTS, 1)
        .body(Bytes::from(body.to_string()))
        .unwrap();
    request.headers_mut().insert("editor-version", http::HeaderValue::from_bytes(editor).unwrap());
    request
}

/// Controls of both kinds, and those of Unicode that turn what follows around.
fn obeyed(shown: char) -> bool {
    let turns = matches!(shown, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    shown != '\n' && (shown.is_control() || turns || matches!(shown, '\u{2028}' | '\u{2029}'))
}

#[tokio::test(flavor = "multi_thread")]
async fn f7_a_report_says_nothing_that_a_terminal_obeys() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let hostile = [
        ("vscode/\u{9b}31m\u{85}", "\u{1b}[2J\r\n\u{7f}", "a%1b%5b2J"),
        ("vscode/\u{202e}1.0", "py\u{202e}nohtyp\u{2066}", "%c2%9b31m"),
        ("<script>/1", "=cmd()|' /C calc'!A0", "%e2%80%ae"),
        ("vscode/\u{2028}x", "{\u{2029}\"user\":\"bob\"}", "x%0ay"),
    ];
    let tunnel = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http2).await;
    for (number, (editor, language, engine)) in hostile.into_iter().enumerate() {
        // The top of each column is what most requests had, so every one of them comes to be shown.
        for _ in 0..=number {
            let mut reply = tunnel.send(invented(editor.as_bytes(), language, engine)).await.unwrap();
            reply.bytes().await.unwrap();
        }
        let done = (number + 1) * (number + 2) / 2;
        copilens.wait_for_day(|day| day["total_completions_count"] == done);
        for arguments in [["report"].as_slice(), &["report", "--json"], &["report", "--user", "alice"]] {
            let shown = copilens.site.stdout(arguments);
            assert!(shown.contains("alice") && !shown.chars().any(obeyed), "{arguments:?}: {shown:?}");
        }
        let report: Value = serde_json::from_str(&copilens.site.stdout(&["report", "--json"])).unwrap();
        assert_eq!(report["users"][0]["top_language"], language.to_lowercase(), "the JSON says what was sent");
    }
}

const AT_ONCE: usize = 50;

/// Distinct values in each of three places that a client chooses: more than ten thousand in all with `LONG_TESTS`.
fn invented_values() -> usize {
    if std::env::var_os("LONG_TESTS").is_some() { 3_400 } else { 1_000 }
}

#[tokio::test(flavor = "multi_thread")]
async fn e13_thousands_of_invented_labels_make_no_series() {
    let upstream = Upstream::with(FakeOptions { keep_requests: 0, ..FakeOptions::default() }, Alpn::Both).await;
    let copilens = Site::new(&upstream).set("capture.noise", "\"record\"").start();
    let (count, before) = (invented_values(), metrics(&copilens).await.lines().count());
    let tunnel = Arc::new(copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http2).await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..AT_ONCE {
        let tunnel = Arc::clone(&tunnel);
        clients.spawn(async move {
            for number in (client..count).step_by(AT_ONCE) {
                let (editor, name) = (format!("invented/{number}"), format!("invented-{number}"));
                let mut reply = tunnel.send(invented(editor.as_bytes(), &name, &name)).await.unwrap();
                reply.bytes().await.unwrap();
            }
        });
    }
    clients.join_all().await;
    wait_for_sum(&copilens, "copilens_exchanges_total", count as f64).await;
    let text = metrics(&copilens).await;
    assert_eq!(text.lines().count(), before);
    assert!(!text.contains("invented"), "{text}");
    assert_eq!(sum(&text, "copilens_late_exchanges_total") + sum(&text, "copilens_unrecorded_exchanges_total"), 0.0);
}
