//! What is left out, what is a step, and where both are counted.

use copilens::sim::copilot::{NOTHING_TO_ADD, control};
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::Ask;
use crate::support::{Copilens, Site, Upstream, wait_until};

async fn send(copilens: &Copilens, ask: Ask) {
    let connection = copilens.tunnel("alice", ask.host, Alpn::Http2).await;
    ask.finish(&connection).await;
}

/// Sends it, reads both pieces of its answer that upstream sends, and goes away before there are more.
async fn cancel(copilens: &Copilens, ask: Ask, alpn: Alpn) {
    let connection = copilens.tunnel("alice", ask.host, alpn).await;
    let mut reply = ask.with(control::STALL, "2").send(&connection).await;
    let mut events = 0;
    while events < 2 {
        let chunk = reply.chunk().await.unwrap().expect("two pieces");
        events += chunk.windows(6).filter(|window| *window == b"data: ").count();
    }
}

fn report(copilens: &Copilens) -> Value {
    serde_json::from_str(&copilens.site.stdout(&["report", "--json"])).unwrap()
}

/// Waits until so many exchanges of all classes are counted, and gives the noise by reason.
fn noise(copilens: &Copilens, count: u64) -> Value {
    wait_until("the noise", || {
        let noise = report(copilens)["noise"].clone();
        let sum: u64 = noise.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert!(sum <= count, "{noise}");
        (sum == count).then_some(noise)
    })
}

/// One exchange for each rule of noise.
async fn make_every_noise(copilens: &Copilens) {
    let last_is_system = json!([{"role": "user", "content": "u"}, {"role": "system", "content": "s"}]);
    let twice = Ask::completion();
    let asks = [
        Ask::completion().with("x-copilot-speculative", "true"),
        Ask::completion().prompt(NOTHING_TO_ADD),
        Ask::completion().in_jetbrains().prompt(NOTHING_TO_ADD),
        Ask::chat().field("stop", json!([";"])),
        Ask::chat().in_jetbrains().field("messages", last_is_system),
        Ask::chat().with(control::STATUS, "429"),
        Ask::completion().with(control::STATUS, "500").with("x-initiator", "agent"),
        twice.clone(),
        twice,
    ];
    for ask in asks {
        send(copilens, ask).await;
    }
    cancel(copilens, Ask::completion(), Alpn::Http1).await;
    cancel(copilens, Ask::completion(), Alpn::Http2).await;
    let broken = Ask::completion().with(control::BREAK_OFF, "1");
    let connection = copilens.tunnel("alice", broken.host, Alpn::Http2).await;
    assert!(broken.send(&connection).await.bytes().await.is_err(), "a break is a break for the client, too");
}

fn every_noise() -> Value {
    json!({
        "broken_off": 1, "canceled": 2, "empty_completion": 2, "last_message_not_user": 1, "repeat": 1, "speculative": 1,
        "status": 2, "stop_field": 1
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_has_no_record_and_is_counted_by_its_reason() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    make_every_noise(&copilens).await;
    assert_eq!(noise(&copilens, 11), every_noise());
    copilens.wait_for_records("alice", "completions", 1);
    assert_eq!(copilens.records("alice", "chat"), Vec::<Value>::new());
    let day = copilens.wait_for_day(|day| day["total_completions_count"] == 1);
    assert_eq!(day["total_chat_turns"], 0);
    assert_eq!(day["usage"]["alice"]["features"], json!({"code_completion": 1}));
    let table = copilens.site.stdout(&["report"]);
    let line = table.lines().find(|line| line.starts_with("Left out as noise: ")).unwrap();
    assert!(line.contains("empty_completion 2") && line.contains("stop_field 1"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_that_is_to_be_recorded_is_marked_and_still_not_counted() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.noise", "\"record\"").start();
    make_every_noise(&copilens).await;
    assert_eq!(noise(&copilens, 11), every_noise());
    let mut records = copilens.wait_for_records("alice", "completions", 9);
    records.extend(copilens.wait_for_records("alice", "chat", 3));
    let mut reasons: Vec<_> = records.iter().filter_map(|record| record["reason"].as_str()).collect();
    reasons.sort_unstable();
    let expected: Vec<&str> = "broken_off canceled canceled empty_completion empty_completion last_message_not_user \
                               repeat speculative status status stop_field"
        .split_whitespace()
        .collect();
    assert_eq!(reasons, expected);
    assert_eq!(records.iter().filter(|record| record["class"] == "noise").count(), 11);
    assert_eq!(copilens.wait_for_day(|day| day["total_completions_count"] == 1)["total_chat_turns"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_attempt_counts_when_the_one_before_failed_and_only_for_its_user() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let attempt = Ask::chat();
    send(&copilens, attempt.clone().with(control::STATUS, "503")).await;
    send(&copilens, attempt.clone()).await;
    let of_another = copilens.tunnel("bob", attempt.host, Alpn::Http1).await;
    attempt.finish(&of_another).await;
    let record = copilens.wait_for_records("alice", "chat", 1).remove(0);
    assert_eq!(record["request"]["headers"]["x-request-id"], attempt.request_id());
    copilens.wait_for_records("bob", "chat", 1);
    assert_eq!(noise(&copilens, 1), json!({"status": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_known_after_a_restart() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let ask = Ask::completion();
    send(&copilens, ask.clone()).await;
    let (_, site) = copilens.stop();
    let copilens = site.start();
    send(&copilens, ask).await;
    assert_eq!(noise(&copilens, 1), json!({"repeat": 1}));
    copilens.wait_for_records("alice", "completions", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_was_read_before_it_was_cancelled_is_a_turn() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    cancel(&copilens, Ask::chat(), Alpn::Http1).await;
    cancel(&copilens, Ask::chat(), Alpn::Http2).await;
    for record in copilens.wait_for_records("alice", "chat", 2) {
        assert_eq!((&record["class"], &record["outcome"]), (&json!("turn"), &json!("canceled")));
        assert_eq!(record["response"]["content"].as_array().unwrap().len(), 2);
    }
    assert_eq!(copilens.wait_for_day(|day| day["total_chat_turns"] == 2)["total_completions_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_steps_are_recorded_and_their_tokens_counted_but_are_no_turns() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let tools = json!([{"type": "function", "function": {"name": "read_file", "parameters": {}}}]);
    let follow_up = json!([
        {"role": "user", "content": "Fix the test."}, {"role": "assistant", "content": null},
        {"role": "tool", "content": "1 failed"}
    ]);
    for ask in [Ask::chat(), Ask::chat().in_jetbrains()] {
        let step = ask.with("x-initiator", "agent").field("tools", tools.clone());
        send(&copilens, step.field("messages", follow_up.clone())).await;
    }
    let records = copilens.wait_for_records("alice", "chat", 2);
    let told: Vec<_> = records.iter().map(|record| (record["class"].as_str(), record["reason"].as_str())).collect();
    assert_eq!(told, [(Some("step"), Some("agent_initiated")), (Some("step"), Some("agent_tools"))]);
    let sum: u64 = records.iter().map(|record| record["tokens"]["input"].as_u64().unwrap()).sum();
    let day = copilens.wait_for_day(|day| day["usage"]["alice"]["tokens"]["input"] == sum);
    assert_eq!((&day["usage"]["alice"]["chat_turns"], &day["total_chat_turns"]), (&json!(0), &json!(0)));
    assert_eq!((&report(&copilens)["users"][0]["steps"], &report(&copilens)["noise"]), (&json!(2), &json!({})));
}
