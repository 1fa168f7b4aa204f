//! Telemetry that means harm, and what a client can make the recorder keep.

use std::time::Instant;

use bytes::Bytes;
use copilens::sim::client::Connection;
use copilens::sim::tls::Alpn;
use http::Request;
use serde_json::{Value, json};

use crate::c7_bombs::bombs;
use crate::support::{
    CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, TELEMETRY_HOST, Upstream, completion, files_below, files_in,
    wait_until,
};
use crate::watching::{MIB, assert_serves, metrics, peak_memory, sum, wait_for_sum};

const STANDARD: &str = "7d7048df-6dd0-4048-bb23-b716c1461f8f";
/// Of a body; what is behind it is not looked at.
const KEPT: usize = 2 * MIB;
/// Events in one body.
const EVENTS: u64 = 6000;
/// What all of it may add to memory.
const ROOM: usize = 96 * MIB;

fn event(name: &str, properties: &Value, measurements: &Value) -> Value {
    json!({"name": "x.Event", "iKey": STANDARD, "data": {"baseType": "EventData", "baseData": {
        "name": format!("agent/{name}"), "properties": properties, "measurements": measurements}}})
}

fn shown(request_id: &str, id: &str) -> Value {
    let properties = json!({"headerRequestId": request_id, "clientCompletionId": id, "choiceIndex": "0"});
    event("ghostText.shown", &properties, &json!({"compCharLen": 10, "numLines": 1}))
}

fn post(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

async fn send(tunnel: &Connection, request: Request<Bytes>) {
    let mut reply = tunnel.send(request).await.unwrap();
    assert_eq!(reply.status(), 200);
    reply.bytes().await.unwrap();
}

fn speculative(request_id: &str) -> Request<Bytes> {
    let mut request = completion("def ahead():");
    request.headers_mut().insert("x-request-id", request_id.parse().unwrap());
    request.headers_mut().insert("x-copilot-speculative", "true".parse().unwrap());
    request
}

async fn start(adjust: impl FnOnce(Site) -> Site) -> (Upstream, Copilens) {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream).set("capture.max_body", &format!("{KEPT}"));
    let copilens = adjust(site).start();
    (upstream, copilens)
}

/// Bodies without end, sense or measure, with their name.
fn hostile_bodies() -> Vec<(&'static str, String)> {
    let long = "x".repeat(MIB);
    let odd_ids = ["../../etc/passwd", "a\0b", "/", "..", "C:\\con", "\u{202e}", "'; DROP TABLE suggestion; --", ""];
    let odd: Vec<Value> = odd_ids.iter().map(|id| shown(id, id)).collect();
    let numbers = ["-1", "1e400", "1e308", "18446744073709551616", "-9223372036854775809", "0.5", "\"NaN\"", "[]"];
    let counted = numbers.map(|number| {
        let text = shown("n", &format!("n{number}")).to_string();
        text.replace("\"numLines\":1", &format!("\"numLines\":{number}"))
    });
    vec![
        (
            "events without end",
            json!((0..EVENTS).map(|n| shown(&n.to_string(), &n.to_string())).collect::<Vec<_>>()).to_string(),
        ),
        ("a million nothings", format!("[{}{{}}]", "{},".repeat(1_000_000))),
        ("empty lines", "\n".repeat(KEPT)),
        ("lines that are none", "{\n".repeat(KEPT / 2)),
        ("deep arrays", "[".repeat(KEPT)),
        ("deep objects", "{\"a\":".repeat(KEPT / 5)),
        (
            "a deep event",
            shown("d", "d").to_string().replace("\"0\"", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ),
        ("long ids", json!([shown(&long, "i"), shown("i", &long)]).to_string()),
        ("a long name", json!([event(&long, &json!({}), &json!({}))]).to_string()),
        ("odd ids", json!(odd).to_string()),
        ("odd numbers", format!("[{}]", counted.join(","))),
        ("keys without end", format!("[{{{}\"a\":1}}]", "\"k\":1,".repeat(KEPT / 8))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_telemetry_without_measure_is_bounded_and_of_its_user_alone() {
    let (_upstream, copilens) = start(|site| site).await;
    let bob = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await;
    assert_serves(&bob).await;
    let alice = copilens.tunnel("alice", TELEMETRY_HOST, Alpn::Http2).await;
    let before = peak_memory(&copilens);
    for (name, body) in hostile_bodies() {
        let begun = Instant::now();
        send(&alice, post("/telemetry", body)).await;
        assert_serves(&bob).await;
        assert!(begun.elapsed().as_secs() < 10, "{name}: {:?}", begun.elapsed());
    }
    for (coding, bomb) in bombs() {
        let mut request = post("/telemetry", bomb);
        request.headers_mut().insert("content-encoding", coding.parse().unwrap());
        send(&alice, request).await;
        assert_serves(&bob).await;
    }
    let last = shown("last", "last");
    let accepted = last.to_string().replace("ghostText.shown", "ghostText.accepted");
    send(&alice, post("/telemetry", format!("[{last},{accepted}]"))).await;
    let day = copilens.wait_for_day(|day| day["usage"]["alice"]["accepted"] == 1);
    let grown = peak_memory(&copilens) - before;
    assert!(grown < ROOM, "{} MiB", grown / MIB);
    // All at once, the last, and what of the odd ones has an id.
    let counted = day["usage"]["alice"]["shown"].as_u64();
    assert!(counted > Some(EVENTS) && counted < Some(EVENTS + 20), "{counted:?}");
    assert_eq!(day["usage"]["bob"].get("shown"), None);
    assert_eq!(sum(&metrics(&copilens).await, "copilens_panics_total"), 0.0);
    assert_eq!(sum(&metrics(&copilens).await, "copilens_unrecorded_exchanges_total"), 0.0);
    assert!(files_in(&copilens.site.path("logs/unrecognised")).len() < 10);
}

/// JSON counts as far as it was copied: the events before the cut.
#[tokio::test(flavor = "multi_thread")]
async fn i1_of_telemetry_that_is_cut_the_events_before_the_cut_count() {
    let (_upstream, copilens) = start(|site| site.set("capture.max_body", "65536")).await;
    let alice = copilens.tunnel("alice", TELEMETRY_HOST, Alpn::Http1).await;
    let events: Vec<String> = (0..1000).map(|n| shown(&n.to_string(), &n.to_string()).to_string()).collect();
    let whole = format!("[{}]", events.join(","));
    let mut end = 0;
    // A comma or bracket stands before each.
    let counted = events.iter().take_while(|event| (end += 1 + event.len(), end <= 65536).1).count();
    assert!((100..900).contains(&counted), "{counted}");
    send(&alice, post("/telemetry", whole)).await;
    let day = copilens.wait_for_day(|day| day["usage"]["alice"]["shown"].is_u64());
    assert_eq!(day["usage"]["alice"]["shown"], counted);
    wait_for_sum(&copilens, "copilens_unrecognised_total", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_completions_that_wait_are_of_one_user_and_one_folder_whatever_their_ids() {
    let (_upstream, copilens) = start(|site| site).await;
    let models = copilens.tunnel("alice", COMPLETIONS_HOST, Alpn::Http2).await;
    let ids: Vec<String> = (0..150).map(|n| format!("../../bob/{n}/{}", "y".repeat(300))).collect();
    for id in &ids {
        send(&models, speculative(id)).await;
    }
    let folder = copilens.site.path("logs/pending");
    wait_until("what waits", || (files_below(&folder).len() == ids.len()).then_some(()));
    assert_eq!(files_in(&folder), [folder.join("alice")]);
    assert!(files_in(&folder.join("alice")).iter().all(|file| file.file_name().unwrap().len() == 32 + ".json".len()));
    // Another user tells of them all.
    let bob = copilens.tunnel("bob", TELEMETRY_HOST, Alpn::Http2).await;
    let told: Vec<Value> = ids.iter().map(|id| shown(id, id)).collect();
    send(&bob, post("/telemetry", json!(told).to_string())).await;
    copilens.wait_for_day(|day| day["usage"]["bob"]["shown"].is_u64());
    assert_eq!((files_below(&folder).len(), copilens.records("alice", "completions").len()), (ids.len(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn i3_new_places_paths_and_agents_without_end_give_few_series_files_and_lines() {
    let (_upstream, copilens) = start(|site| site).await;
    let letters = |n: u32| -> String { n.to_string().bytes().map(|digit| char::from(b'g' + digit - b'0')).collect() };
    let models = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    let telling = copilens.tunnel("alice", TELEMETRY_HOST, Alpn::Http2).await;
    let before = peak_memory(&copilens);
    for n in 0..300 {
        let word = letters(n);
        let mut request = post(&format!("/{word}/{word}{word}?{word}"), "{}");
        request.headers_mut().insert("user-agent", format!("agent-{word}/{}", "z".repeat(8000)).parse().unwrap());
        models.send(request).await.unwrap().bytes().await.unwrap();
        let mut chat = post("/chat/completions", format!(r#"{{"model":"{word}","messages":[]}}"#));
        for (name, value) in
            [("user-agent", format!("agent-{word}/{}", "z".repeat(8000))), ("editor-version", format!("{word}/1"))]
        {
            chat.headers_mut().insert(name, value.parse().unwrap());
        }
        models.send(chat).await.unwrap().bytes().await.unwrap();
        // A known kind of event that lacks what it must have, and an envelope of no known kind.
        let odd = [
            event("ghostText.shown", &json!({ word.clone(): word }), &json!({})),
            json!({ word.clone(): {"data": word} }),
        ];
        send(&telling, post("/telemetry", json!(odd).to_string())).await;
    }
    wait_for_sum(&copilens, "copilens_unknown_requests_total", 300.0).await;
    let text = metrics(&copilens).await;
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert!(series("copilens_unknown_requests_total{") <= 65, "{text}");
    wait_until("what was not recognised", || {
        (files_in(&copilens.site.path("logs/unrecognised")).len() >= 2).then_some(())
    });
    assert!(series("copilens_unrecognised_total{") <= 10, "{text}");
    assert!(files_in(&copilens.site.path("logs/unrecognised")).len() <= 10);
    assert!(copilens.log().matches("that this version does not know").count() <= 64);
    let grown = peak_memory(&copilens) - before;
    assert!(grown < 48 * MIB, "{} MiB", grown / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_answers_about_accounts_that_are_huge_or_lie_say_nothing_of_others() {
    use copilens::sim::copilot::control;
    let (_upstream, copilens) = start(|site| site).await;
    let bob = copilens.tunnel("bob", COMPLETIONS_HOST, Alpn::Http2).await;
    let alice = copilens.tunnel("alice", crate::support::ACCOUNT_HOST, Alpn::Http1).await;
    let before = peak_memory(&copilens);
    for path in ["/user", "/copilot_internal/user", "/copilot_internal/v2/token"] {
        for (name, value) in [(control::BODY_SIZE, "8388608"), (control::STATUS, "500"), (control::ENCODING, "gzip")] {
            let request = Request::get(path).header("host", crate::support::ACCOUNT_HOST).header(name, value);
            alice.send(request.body(Bytes::new()).unwrap()).await.unwrap().bytes().await.unwrap();
            assert_serves(&bob).await;
        }
    }
    assert!(peak_memory(&copilens) - before < ROOM);
    // A refused token tells of no account, whatever it says of itself.
    let models = copilens.tunnel("alice", CHAT_HOST, Alpn::Http2).await;
    for n in 0..50 {
        let mut request = post("/chat/completions", r#"{"model":"m","messages":[{"role":"user","content":"u"}]}"#);
        let token = format!("Bearer tid={n:032x};exp=1893456000;sku=business_seat:5f5e");
        request.headers_mut().insert("authorization", token.parse().unwrap());
        request.headers_mut().insert(control::STATUS, "401".parse().unwrap());
        models.send(request).await.unwrap().bytes().await.unwrap();
    }
    wait_for_sum(&copilens, "copilens_noise_exchanges_total", 50.0).await;
    let report: Value = serde_json::from_str(&copilens.site.stdout(&["report", "--json"])).unwrap();
    assert!(!report.to_string().contains("with_several"), "{report}");
}
