//! What is recorded of a WebSocket: each request with its answer, however it is cut into frames.

use copilens::sim::client::ClientError;
use copilens::sim::copilot::{FakeOptions, control};
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use super::asking::{answer, ask, next, open, prompt, send, step, with};
use crate::support::{CHAT_HOST, Copilens, Site, Upstream, files_in};

fn header<'a>(record: &'a Value, name: &str) -> &'a Value {
    &record["request"]["headers"][name]
}

/// The records, in the order in which they were asked for.
fn records(copilens: &Copilens, count: usize) -> Vec<Value> {
    let mut records = copilens.wait_for_records("alice", "chat", count);
    records.sort_by_key(|record| record["id"].as_str().unwrap().to_owned());
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_on_a_connection_is_an_exchange_of_its_own() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let mut socket = open(&copilens.client("alice"), &[]).await;
    let (first, second) = (prompt("How do I read a file in Rust?"), prompt("And line by line?"));
    let asked = [first.clone(), step(&first), second.clone()];
    let mut answers = Vec::new();
    for message in &asked {
        answers.push(ask(&mut socket, message).await);
    }
    let records = records(&copilens, 3);
    for ((record, asked), answer) in records.iter().zip(&asked).zip(&answers) {
        assert_eq!(record["request"]["content"], *asked);
        assert_eq!(record["response"]["content"], Value::Array(answer.clone()));
        assert_eq!((&record["request"]["method"], &record["response"]["status_code"]), (&json!("GET"), &json!(101)));
        assert_eq!(record["request"]["url"], "https://api.enterprise.githubcopilot.com/responses");
        assert_eq!((&record["outcome"], &record["model"]), (&json!("completed"), &json!("gpt-5.4")));
        assert_eq!(*header(record, "x-initiator"), asked["initiator"]);
        assert_eq!(*header(record, "x-interaction-id"), asked["headers"]["X-Interaction-Id"]);
        assert_eq!(header(record, "authorization"), "Bearer [redacted]");
        assert!(record["tokens"]["output"].as_u64().unwrap() > 0, "{record}");
    }
    assert_eq!(["turn", "step", "turn"], [0, 1, 2].map(|index| records[index]["class"].as_str().unwrap()));
    assert_eq!(*header(&records[1], "x-interaction-type"), Value::Null, "the upgrade's is the first prompt's");
    copilens.wait_for_day(|day| day["usage"]["alice"]["chat_turns"] == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_and_in_fragments_it_is_recorded_all_the_same() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let mut count = 0;
    for agreed in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_no_context_takeover; server_max_window_bits=15",
    ] {
        let offer = [
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
            (control::WEBSOCKET_EXTENSIONS, agreed),
            (control::FRAGMENTS, "3"),
        ];
        let mut socket = open(&copilens.client("alice"), &offer).await;
        for text in ["How do I read a file in Rust?".to_owned(), "long and longer ".repeat(20_000)] {
            let message = prompt(&text);
            socket.send_in(&message.to_string(), 5, true).await.unwrap();
            let answered = answer(&mut socket).await;
            count += 1;
            let record = records(&copilens, count).pop().unwrap();
            assert_eq!(record["request"]["content"], message, "{agreed}");
            assert_eq!(record["response"]["content"], Value::Array(answered), "{agreed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_reaches_the_client_before_the_next_is_sent() {
    let options = FakeOptions { gated: true, ..FakeOptions::default() };
    let upstream = Upstream::with(options, Alpn::Both).await;
    let copilens = Site::new(&upstream).start();
    for deflate in [&[][..], &[("sec-websocket-extensions", "permessage-deflate")]] {
        let agreed = [(control::WEBSOCKET_EXTENSIONS, "permessage-deflate"), (control::EVENTS, "5")];
        let mut socket = open(&copilens.client("alice"), &[&agreed[..], deflate].concat()).await;
        send(&mut socket, &prompt("Count.")).await;
        let mut kinds = Vec::new();
        while kinds.last() != Some(&json!("response.completed")) {
            upstream.fake.release(1);
            kinds.push(next(&mut socket).await.unwrap()["type"].clone());
        }
        assert!(kinds.len() > 6, "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_ends_an_answer_and_the_connection_lives_on() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.noise", "\"record\"").start();
    let mut socket = open(&copilens.client("alice"), &[]).await;
    let failed = ask(&mut socket, &with(prompt("Too much."), control::STATUS, "429")).await;
    assert_eq!((failed.len(), &failed[0]["type"]), (1, &json!("error")));
    let answered = ask(&mut socket, &prompt("Better?")).await;
    let records = records(&copilens, 2);
    assert_eq!(records[0]["response"]["content"], Value::Array(failed));
    assert_eq!((&records[0]["class"], &records[0]["outcome"]), (&json!("noise"), &json!("failed")));
    assert_eq!(records[1]["response"]["content"], Value::Array(answered));
    assert_eq!(records[1]["class"], "turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_as_much_as_the_limit_is_kept() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.max_body", "\"4KiB\"").start();
    let mut socket = open(&copilens.client("alice"), &[(control::EVENTS, "100")]).await;
    let long = prompt(&"long and longer ".repeat(1000));
    let answer = ask(&mut socket, &long).await;
    assert_eq!(answer.len(), 107, "all of it reaches the client");
    let again = prompt("short");
    ask(&mut socket, &with(again.clone(), control::EVENTS, "2")).await;
    let records = records(&copilens, 2);
    let kept = records[0]["request"]["content"].as_str().unwrap();
    assert!(kept.len() == 4096 && long.to_string().starts_with(kept));
    let problems = records[0]["problems"].to_string();
    assert!(problems.contains("request_truncated") && problems.contains("response_truncated"), "{problems}");
    assert_eq!(records[1]["request"]["content"]["input"], again["input"]);
    assert_eq!(records[1]["problems"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_metadata_alone_no_text_touches_the_disk() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.content", "\"metadata\"").start();
    let mut socket = open(&copilens.client("alice"), &[]).await;
    ask(&mut socket, &prompt("canary-of-a-prompt")).await;
    let record = records(&copilens, 1).remove(0);
    assert_eq!((&record["class"], &record["model"]), (&json!("turn"), &json!("gpt-5.4")));
    assert!(!record.to_string().contains("canary"), "{record}");
    let spool = files_in(&copilens.site.path("logs/spool"));
    let texts = spool.iter().filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap());
    assert!(texts.into_iter().all(|text| memchr::memmem::find(&text, b"canary").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_are_not_read() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let refused = copilens.client("alice").websocket(CHAT_HOST, "/elsewhere", &[]).await;
    assert!(matches!(refused, Err(ClientError::Refused { answer, .. }) if answer.status == 404));
    assert_eq!(upstream.fake.requests().len(), 1);
}
