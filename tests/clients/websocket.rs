//! A WebSocket of a library that nobody here wrote, compressed, through the proxy: each message as it is sent, and each
//! request with its answer on record.

use copilens::sim::copilot::{FakeOptions, Seen, control};
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::job::{Job, Running};
use crate::programs;
use crate::scenario::{is_skipped, start};
use crate::support::{PATIENCE, Upstream};

fn prompt(text: &str) -> Value {
    json!({
        "type": "response.create", "model": "gpt-5.4", "initiator": "user", "headers": {"X-Interaction-Id": text},
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text.repeat(500)}]}]
    })
}

/// The messages, one a line, with which the fake answers a request.
async fn answer(upstream: &Upstream, number: usize) -> String {
    let answer = |seen: &Seen| {
        let mut answers = seen.requests.iter().map(|request| &request.answer).filter(|answer| !answer.is_empty());
        answers.nth(number).cloned()
    };
    upstream.fake.wait_for(|seen| answer(seen).is_some(), 3 * PATIENCE).await.unwrap();
    String::from_utf8(answer(&upstream.fake.seen()).unwrap().to_vec()).unwrap()
}

/// `agreed` is what the fake answers to the offer of permessage-deflate.
async fn two_prompts(agreed: &str, window: &str) {
    let upstream = Upstream::with(FakeOptions { gated: true, ..FakeOptions::default() }, Alpn::Both).await;
    let copilens = start(&upstream);
    let asked = [prompt("How can I avoid the clone here?"), prompt("And how can I avoid the clone there?")];
    let mut job = Job::chat(&copilens, "alice", "1.1");
    (job.path, job.body) = ("/responses", json!(asked));
    job.headers.retain(|(name, _)| *name != "X-Request-Id");
    job.headers.push((control::WEBSOCKET_EXTENSIONS, agreed.to_owned()));
    if is_skipped("aiohttp_websocket", programs::python_aiohttp_websocket, &job) {
        return;
    }
    let mut client = Running::start(programs::python_aiohttp_websocket(&job).unwrap());
    let mut answers = Vec::new();
    let mut events = 0;
    for number in 0..asked.len() {
        let answer = answer(&upstream, number).await;
        for _ in answer.lines() {
            upstream.fake.release(1);
            events += 1;
            client.wait_for_events(events);
        }
        answers.push(answer);
    }
    let outcome = client.outcome();
    let last = outcome.complaints.lines().last().unwrap_or_default();
    assert_eq!((outcome.code, last), (Some(0), &*format!("HTTP/1.1 {window} 101")), "{}", outcome.complaints);
    let got = String::from_utf8(outcome.body).unwrap().replace("\n\n", "\n");
    assert_eq!(got, answers.join("\n") + "\n");

    let mut records = copilens.wait_for_records("alice", "chat", 2);
    records.sort_by_key(|record| record["id"].as_str().unwrap().to_owned());
    for ((record, asked), answer) in records.iter().zip(asked).zip(answers) {
        assert_eq!(record["request"]["content"], asked);
        let answer: Vec<Value> = answer.lines().map(|event| serde_json::from_str(event).unwrap()).collect();
        assert_eq!(record["response"]["content"], json!(answer));
        assert_eq!((&record["class"], &record["outcome"]), (&json!("turn"), &json!("completed")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aiohttp_with_a_small_window_that_is_kept() {
    two_prompts("permessage-deflate; client_max_window_bits=10", "10").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aiohttp_with_windows_that_are_forgotten() {
    two_prompts("permessage-deflate; client_no_context_takeover; server_no_context_takeover", "15").await;
}
