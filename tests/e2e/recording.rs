//! The seed shapes: a completion's record, a chat's record and the day's file, key by key as the legacy add-on's scripts
//! read them.

use std::fs;
use std::path::Path;

use copilens::sim::tls::Alpn;
use serde::Serialize as _;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, files_in};

fn in_4_spaces(value: &Value) -> String {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "))).unwrap();
    String::from_utf8(text).unwrap()
}

/// A file's JSON, after a look at its bytes: indented by four, and nothing after the last brace.
fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    assert_eq!(text, in_4_spaces(&value), "{}", path.display());
    value
}

/// Puts a word in place of a value that is another one in each run.
fn redact(value: &mut Value, pointer: &str, form: fn(&Value) -> bool) {
    let found = value.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}"));
    assert!(form(found), "{pointer}: {found}");
    *found = json!(format!("[{}]", pointer.rsplit('/').next().unwrap()));
}

fn is_duration(value: &Value) -> bool {
    let number = value.as_str().and_then(|text| text.strip_suffix("ms"));
    number.and_then(|text| text.split_once('.')).is_some_and(|(_, decimals)| decimals.len() == 2)
}

fn is_timestamp(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 26 && chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.6f").is_ok()
}

fn redacted(mut record: Value) -> String {
    redact(&mut record, "/timestamp", is_timestamp);
    redact(&mut record, "/proxy-time-consumed", is_duration);
    redact(&mut record, "/id", Value::is_string);
    redact(&mut record, "/account", Value::is_string);
    redact(&mut record, "/response/headers/date", Value::is_string);
    redact(&mut record, "/timings/started_at", Value::is_string);
    redact(&mut record, "/timings/first_byte_ms", Value::is_f64);
    redact(&mut record, "/timings/duration_ms", Value::is_f64);
    for event in record["response"]["content"].as_array_mut().unwrap() {
        redact(event, "/created", Value::is_u64);
    }
    in_4_spaces(&record)
}

/// Sends it over HTTP/1.1, whose upstream answers over HTTP/1.1 as well, and gives the record as its file has it.
async fn record(copilens: &Copilens, ask: Ask, kind: &str) -> Value {
    let ask = ask.with("x-request-id", "2e177ccd-029e-46f1-bf59-3d366bdb5e55");
    ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    copilens.wait_for_records("alice", kind, 1);
    read(&files_in(&copilens.site.path(&format!("logs/usage/alice/{kind}")))[0])
}

async fn copilens() -> (Upstream, Copilens) {
    let upstream = Upstream::with(Default::default(), Alpn::Http1).await;
    let copilens = Site::new(&upstream).start();
    (upstream, copilens)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completions_record_has_the_seed_shape() {
    let (_upstream, copilens) = copilens().await;
    let ask = Ask::completion().with("x-sim-events", "2");
    insta::assert_snapshot!("completion_record", redacted(record(&copilens, ask, "completions").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chats_record_has_the_seed_shape() {
    let (_upstream, copilens) = copilens().await;
    let ask = Ask::chat().in_jetbrains().with("x-interaction-id", "i-1").with("x-sim-events", "3");
    insta::assert_snapshot!("chat_record", redacted(record(&copilens, ask, "chat").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_streamed_is_one_element_of_the_record() {
    let (_upstream, copilens) = copilens().await;
    let record = record(&copilens, Ask::chat().whole(), "chat").await;
    let content = record["response"]["content"].as_array().unwrap();
    assert_eq!((content.len(), &record["streamed"]), (1, &json!(false)));
    assert_eq!(content[0]["choices"][0]["message"]["role"], "assistant");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_days_file_has_the_seed_shape() {
    let (_upstream, copilens) = copilens().await;
    let asks = [
        ("alice", Ask::completion()),
        ("alice", Ask::completion().field("extra", json!({"language": "javascript"}))),
        ("alice", Ask::completion().in_jetbrains()),
        ("alice", Ask::chat()),
        ("bob", Ask::chat().in_jetbrains()),
        ("bob", Ask::completion().without("editor-version").field("extra", json!({}))),
    ];
    for (number, (user, ask)) in asks.into_iter().enumerate() {
        let ask = ask.with("x-request-id", &number.to_string());
        ask.finish(&copilens.tunnel(user, ask.host, Alpn::Http1).await).await;
    }
    copilens.wait_for_day(|day| day["total_completions_count"] == 4 && day["total_chat_turns"] == 2);
    let mut day = read(&files_in(&copilens.site.path("logs/metrics"))[0]);
    assert_eq!(day["day"], chrono::Utc::now().date_naive().to_string());
    redact(&mut day, "/day", Value::is_string);
    insta::assert_snapshot!("day_file", in_4_spaces(&day));
}
