//! What is asked of every client: the whole stream, event by event, booked on the right user; and a clear no.

use std::io::Write;

use copilens::sim::copilot::{FakeOptions, SeenRequest};
use copilens::sim::tls::Alpn;
use serde_json::Value;

use crate::job::{Job, Outcome, Running};
use crate::programs::Program;
use crate::support::{Copilens, PATIENCE, Site, Upstream, wait_until};

/// One user's completion and another's chat.
pub(crate) async fn served(client: &str, program: Program, version: &'static str) {
    let upstream = gated_upstream().await;
    let copilens = start(&upstream);
    let completion = Job::completion(&copilens, "alice", version);
    if is_skipped(client, program, &completion) {
        return;
    }
    let sent = stream(&upstream, program, &completion).await;
    assert_recorded(&copilens, &completion, "completions", &sent);
    let chat = Job::chat(&copilens, "bob", version);
    let sent = stream(&upstream, program, &chat).await;
    assert_recorded(&copilens, &chat, "chat", &sent);
    assert_counted(&copilens);
}

/// Nothing but a 407, and nobody else hears of it.
pub(crate) async fn refused(client: &str, program: Program, version: &'static str) {
    let upstream = gated_upstream().await;
    let copilens = start(&upstream);
    let mut job = Job::completion(&copilens, "alice", version);
    job.password = "wrong".to_owned();
    if is_skipped(client, program, &job) {
        return;
    }
    let outcome = Running::start(program(&job).unwrap()).outcome();
    assert!(outcome.complaints.contains("407"), "{outcome:?}");
    assert!(outcome.code != Some(0) && outcome.body.is_empty(), "{outcome:?}");
    assert_eq!(upstream.fake.seen().connections, 0);
    assert_eq!(copilens.records("alice", "completions"), Vec::<Value>::new());
    wait_until("the warning", || copilens.log().contains("wrong proxy credentials").then_some(()));
}

/// Events leave one by one, on the test's word.
async fn gated_upstream() -> Upstream {
    Upstream::with(FakeOptions { gated: true, ..FakeOptions::default() }, Alpn::Both).await
}

/// Browsers call home; that must lead nowhere.
pub(crate) fn start(upstream: &Upstream) -> Copilens {
    Site::new(upstream).set("intercept.other_hosts", "\"deny\"").start()
}

/// Says so where a client is missing. Past the test harness, which would swallow the words of a test that passes.
pub(crate) fn is_skipped(client: &str, program: Program, job: &Job) -> bool {
    let missing = program(job).err();
    if let Some(missing) = &missing {
        skip(client, missing);
    }
    missing.is_some()
}

/// The line that `tests/run` repeats at its end.
pub(crate) fn skip(client: &str, missing: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {client}: {missing}");
}

/// Runs a job, letting each event go only when the client has handed back the one before it.
async fn stream(upstream: &Upstream, program: Program, job: &Job) -> SeenRequest {
    let mut client = Running::start(program(job).unwrap());
    let request = arrived(upstream, job).await;
    let events = request.answer.windows(2).filter(|pair| pair == b"\n\n").count();
    assert!(events > 4, "{request:?}");
    for event in 1..=events {
        upstream.fake.release(1);
        client.wait_for_events(event);
    }
    let outcome = client.outcome();
    assert_eq!(outcome.body, request.answer, "{}", outcome.complaints);
    assert_served(&outcome, job);
    assert_unchanged(&request, job);
    request
}

fn assert_served(outcome: &Outcome, job: &Job) {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let last = outcome.complaints.lines().last().unwrap_or_default();
    assert_eq!(last, format!("HTTP/{} 200", job.version), "{outcome:?}");
}

/// The request that the fake got for a job, once its answer is under way.
async fn arrived(upstream: &Upstream, job: &Job) -> SeenRequest {
    let of_job = |request: &&SeenRequest| request.path() == job.path && !request.answer.is_empty();
    let seen = upstream.fake.wait_for(|seen| seen.requests.iter().any(|request| of_job(&request)), 3 * PATIENCE).await;
    seen.unwrap();
    upstream.fake.requests().iter().find(of_job).cloned().unwrap()
}

fn assert_unchanged(request: &SeenRequest, job: &Job) {
    assert_eq!(request.body, job.body.to_string());
    for (name, value) in &job.headers {
        assert_eq!(request.header(name), Some(&**value), "{name}");
    }
    let of_proxy = request.headers.iter().find(|(name, _)| name.to_ascii_lowercase().starts_with("proxy-"));
    assert_eq!(of_proxy, None);
}

/// The record has what was said both ways, under the user's name.
fn assert_recorded(copilens: &Copilens, job: &Job, kind: &str, sent: &SeenRequest) {
    let records = copilens.wait_for_records(&job.user, kind, 1);
    let record = &records[0];
    assert_eq!(record["proxy-authorization"], *job.user);
    assert_eq!(record["request"]["url"], job.url());
    assert_eq!(record["request"]["content"], job.body);
    assert_eq!(record["response"]["content"], Value::Array(events(&sent.answer)));
    assert_eq!((&record["class"], &record["outcome"]), (&"turn".into(), &"completed".into()));
}

fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn assert_counted(copilens: &Copilens) {
    let day = copilens.wait_for_day(|day| day["total_chat_turns"] == 1 && day["total_completions_count"] == 1);
    let count =
        |user: &str| (day["usage"][user]["completions_count"].clone(), day["usage"][user]["chat_turns"].clone());
    assert_eq!(count("alice"), (1.into(), 0.into()), "{day}");
    assert_eq!(count("bob"), (0.into(), 1.into()), "{day}");
}
