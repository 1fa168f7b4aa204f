//! What people did with suggestions, from the telemetry that their clients send through the same tunnel.

use std::fs;

use copilens::sim::copilot::control;
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::{Ask, fresh_id};
use crate::metrics::scrape_until;
use crate::support::{Copilens, Site, Upstream, files_below, files_in, wait_until};

const STANDARD: &str = "7d7048df-6dd0-4048-bb23-b716c1461f8f";
const ENHANCED: &str = "3fdd7f28-937a-48c8-9a21-ba337db23bd1";

/// A suggestion that a request brought, and what is told of it.
pub(crate) struct Suggestion {
    request_id: String,
    id: String,
}

impl Suggestion {
    pub(crate) fn of(ask: &Ask) -> Self {
        Self { request_id: ask.request_id().to_owned(), id: fresh_id() }
    }

    fn told(&self, event: &str, more: &Value, characters: u64, lines: u64) -> Value {
        let mut properties = json!({
            "headerRequestId": self.request_id, "clientCompletionId": self.id, "choiceIndex": "0", "languageId": "python",
            "engineName": "gpt-41-copilot", "editor_version": "vscode/1.96.2"
        });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        envelope(
            STANDARD,
            &format!("agent/{event}"),
            &properties,
            &json!({"compCharLen": characters, "numLines": lines}),
        )
    }

    pub(crate) fn shown(&self) -> Value {
        self.told("ghostText.shown", &json!({}), 40, 3)
    }

    pub(crate) fn accepted(&self, part: &str, characters: u64, lines: u64) -> Value {
        self.told("ghostText.accepted", &json!({"compType": part}), characters, lines)
    }
}

fn envelope(key: &str, name: &str, properties: &Value, measurements: &Value) -> Value {
    json!({
        "name": "Microsoft.ApplicationInsights.x.Event", "time": "2026-11-20T10:00:01.250Z", "iKey": key,
        "tags": {"ai.user.id": "t-01"},
        "data": {"baseType": "EventData", "baseData": {"name": name, "properties": properties, "measurements": measurements}}
    })
}

async fn send(copilens: &Copilens, user: &str, ask: &Ask) {
    let (status, _) = ask.finish(&copilens.tunnel(user, ask.host, Alpn::Http1).await).await;
    assert_eq!(status, 200);
}

fn of_user<'a>(day: &'a Value, user: &str) -> &'a Value {
    &day["usage"][user]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_and_accepted_is_in_the_day_file_once_and_absent_where_nobody_tells() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let (first, second) = (Ask::completion(), Ask::completion());
    for ask in [&first, &second] {
        send(&copilens, "alice", ask).await;
    }
    send(&copilens, "bob", &Ask::completion()).await;
    let (full, part) = (Suggestion::of(&first), Suggestion::of(&second));
    let batch = Ask::telemetry(&[
        full.shown(),
        full.accepted("full", 40, 3),
        part.shown(),
        part.accepted("partial", 10, 1),
        part.accepted("partial", 25, 2),
        part.told("ghostText.rejected", &json!({"compType": "partial"}), 15, 1),
    ]);
    // The client was not sure that the first batch had arrived.
    send(&copilens, "alice", &batch).await;
    send(&copilens, "alice", &batch).await;
    let day = copilens.wait_for_day(|day| of_user(day, "alice")["accepted"] == 2);
    let alice = of_user(&day, "alice");
    assert_eq!(
        (&alice["shown"], &alice["lines_accepted"], &alice["completions_count"]),
        (&json!(2), &json!(5), &json!(2))
    );
    for key in ["shown", "accepted", "lines_accepted"] {
        assert_eq!(of_user(&day, "bob").get(key), None, "{day}");
    }
    // Nothing is told twice after a restart either.
    let (_, site) = copilens.stop();
    let copilens = site.start();
    send(&copilens, "alice", &batch).await;
    send(&copilens, "alice", &Ask::completion()).await;
    let day = copilens.wait_for_day(|day| of_user(day, "alice")["completions_count"] == 3);
    assert_eq!((&of_user(&day, "alice")["shown"], &of_user(&day, "alice")["accepted"]), (&json!(2), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_may_come_before_its_exchange_and_belongs_to_the_tunnels_user() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let ask = Ask::completion();
    let suggestion = Suggestion::of(&ask);
    send(&copilens, "alice", &Ask::telemetry(&[suggestion.shown(), suggestion.accepted("full", 40, 3)])).await;
    // The same ids from another user's tunnel are that user's own.
    send(&copilens, "bob", &Ask::telemetry(&[suggestion.shown()])).await;
    send(&copilens, "alice", &ask).await;
    let day = copilens
        .wait_for_day(|day| of_user(day, "alice")["completions_count"] == 1 && of_user(day, "bob")["shown"] == 1);
    assert_eq!((&of_user(&day, "alice")["shown"], &of_user(&day, "alice")["accepted"]), (&json!(1), &json!(1)));
    assert_eq!((&of_user(&day, "bob")["accepted"], &of_user(&day, "bob")["completions_count"]), (&json!(0), &json!(0)));
}

fn speculative() -> Ask {
    Ask::completion().with("x-copilot-speculative", "true")
}

fn noise(site: &Site) -> Value {
    serde_json::from_str::<Value>(&site.stdout(&["report", "--json"])).unwrap()["noise"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_that_was_fetched_ahead_is_a_turn_when_it_is_shown() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let (shown, unseen, early) = (speculative(), speculative(), speculative());
    send(&copilens, "alice", &Ask::telemetry(&[Suggestion::of(&early).shown()])).await;
    for ask in [&shown, &unseen, &early] {
        send(&copilens, "alice", ask).await;
    }
    wait_until("the noise", || (noise(&copilens.site)["speculative"] == 2).then_some(()));
    copilens.wait_for_records("alice", "completions", 1);
    // It may be shown long after, also by another run of the proxy.
    let (_, site) = copilens.stop();
    let copilens = site.start();
    send(&copilens, "alice", &Ask::telemetry(&[Suggestion::of(&shown).shown()])).await;
    let records = copilens.wait_for_records("alice", "completions", 2);
    for (record, ask) in records.iter().zip([&shown, &early]) {
        assert_eq!(record["request"]["headers"]["x-request-id"], ask.request_id());
        assert_eq!((&record["class"], record.get("reason")), (&json!("turn"), None));
    }
    copilens.wait_for_day(|day| of_user(day, "alice")["completions_count"] == 2);
    assert_eq!(noise(&copilens.site), json!({"speculative": 1}));
    let waiting = files_in(&copilens.site.path("logs/pending/alice"));
    assert_eq!(waiting.len(), 1, "{waiting:?}");

    let (_, site) = copilens.stop();
    assert!(site.output(&["rebuild"]).status.success());
    let day = files_in(&site.path("logs/metrics")).remove(0);
    let day: Value = serde_json::from_str(&fs::read_to_string(day).unwrap()).unwrap();
    assert_eq!(
        (&of_user(&day, "alice")["completions_count"], &of_user(&day, "alice")["shown"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shown_completion_is_marked_anew_where_noise_is_recorded() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.noise", "\"record\"").start();
    let ask = speculative();
    send(&copilens, "alice", &ask).await;
    assert_eq!(copilens.wait_for_records("alice", "completions", 1)[0]["class"], "noise");
    send(&copilens, "alice", &Ask::telemetry(&[Suggestion::of(&ask).shown()])).await;
    copilens.wait_for_day(|day| of_user(day, "alice")["completions_count"] == 1);
    assert_eq!(copilens.wait_for_records("alice", "completions", 1)[0]["class"], "turn");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_telemetrys_text_touches_the_disk() {
    let upstream = Upstream::start().await;
    let copilens = Copilens::start_with(Site::new(&upstream), |command| {
        command.env("RUST_LOG", "trace");
    });
    let ask = Ask::completion();
    send(&copilens, "alice", &ask).await;
    let suggestion = Suggestion::of(&ask);
    let canary = format!("canary-{}", fresh_id());
    let code = json!({"completionTextJson": canary, "prompt": canary, "clientCompletionId": suggestion.id});
    let mut shown = suggestion.shown();
    shown["data"]["baseData"]["properties"]["completionText"] = json!(canary);
    let events = [shown, envelope(ENHANCED, "agent/ghostText.shown", &code, &json!({})), json!({"odd": canary})];
    send(&copilens, "alice", &Ask::telemetry(&events)).await;
    copilens.wait_for_day(|day| of_user(day, "alice")["shown"] == 1);
    let (_, site) = copilens.stop();
    for file in files_below(&site.path("logs")) {
        let found = memchr::memmem::find(&fs::read(&file).unwrap(), canary.as_bytes());
        assert_eq!(found, None, "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_can_be_left_alone() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.telemetry", "false").start();
    let ask = Ask::completion();
    send(&copilens, "alice", &Ask::telemetry(&[Suggestion::of(&ask).shown()])).await;
    send(&copilens, "alice", &ask).await;
    let day = copilens.wait_for_day(|day| of_user(day, "alice")["completions_count"] == 1);
    assert_eq!(of_user(&day, "alice").get("shown"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_edit_suggestion_has_the_editor_of_the_request_before_and_its_verdict() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    send(&copilens, "alice", &Ask::completion().in_jetbrains()).await;
    // The CLI is no editor, and asks for no suggestions.
    let command_line = Ask::chat().with("editor-version", "copilot/1.0.102").with("user-agent", "copilot/1.0.102");
    send(&copilens, "alice", &command_line).await;
    let (first, second) = (Ask::next_edit(), Ask::next_edit());
    send(&copilens, "alice", &first).await;
    copilens.wait_for_records("alice", "completions", 2);
    // The recorder does not know the user's editor from this run.
    let (_, site) = copilens.stop();
    let copilens = site.start();
    send(&copilens, "alice", &second).await;
    // A user of whom nothing is known.
    send(&copilens, "bob", &Ask::next_edit()).await;
    let verdict = json!({"opportunityId": fresh_id(), "headerRequestId": first.request_id(), "acceptance": "accepted",
                         "activeDocumentLanguageId": "python"});
    let told = envelope(STANDARD, "agent/copilot-nes/provideInlineEdit", &verdict, &json!({"isShown": 1}));
    send(&copilens, "alice", &Ask::telemetry(&[told])).await;
    let records = copilens.wait_for_records("alice", "completions", 3);
    for record in records.iter().filter(|record| record["action"] == "nes") {
        assert_eq!(record["editor"], "intellij", "{record}");
        assert_eq!((&record["class"], &record["feature"]), (&json!("turn"), &json!("code_completion")));
    }
    assert_eq!(records.iter().filter(|record| record["action"] == "nes").count(), 2);
    let day = copilens
        .wait_for_day(|day| of_user(day, "alice")["accepted"] == 1 && of_user(day, "bob")["completions_count"] == 1);
    assert_eq!(
        of_user(&day, "alice")["completions"]["JetBrains-PC-243.22562.220"].as_object().unwrap().len(),
        2,
        "{day}"
    );
    assert_eq!(of_user(&day, "bob")["completions"], json!({"unknown": {"unknown": 1}}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_recognised_is_counted_and_one_sample_of_it_kept() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    for _ in 0..2 {
        send(&copilens, "alice", &Ask::telemetry(&[]).body("SECRET function that is no telemetry")).await;
    }
    let folder = copilens.site.path("logs/unrecognised");
    let samples = wait_until("a sample", || Some(files_in(&folder)).filter(|samples| !samples.is_empty()));
    assert_eq!(samples.len(), 1, "{samples:?}");
    let place = samples[0].file_stem().unwrap().to_str().unwrap();
    scrape_until(&copilens, &format!("copilens_unrecognised_total{{place=\"{place}\"}}"), 2.0).await;
    let sample = fs::read_to_string(&samples[0]).unwrap();
    assert!(!sample.contains("SECRET") && !sample.contains("function"), "{sample}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_request_to_a_models_host_is_counted_by_the_shape_of_its_path() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).start();
    let unknown = |path: String| Ask::new(crate::support::CHAT_HOST, &path, &json!({})).with(control::STATUS, "404");
    for _ in 0..3 {
        let ask = unknown(format!("/v9/inventions/{}", fresh_id()));
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    }
    let socket = copilens.client("alice").websocket(crate::support::CHAT_HOST, "/v9/inventions/0123", &[]).await;
    assert!(socket.is_err());
    scrape_until(&copilens, "copilens_unknown_requests_total{path=\"/v9/inventions/*\"}", 4.0).await;
}
