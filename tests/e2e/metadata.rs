//! `capture.content = "metadata"`: everything is recorded and counted, and no prompt or answer touches the disk.

use std::fs;
use std::path::{Path, PathBuf};

use copilens::sim::copilot::control;
use copilens::sim::tls::Alpn;
use serde_json::{Value, json};

use crate::asking::{Ask, fresh_id};
use crate::support::{CHAT_HOST, COMPLETIONS_HOST, Copilens, Site, Upstream, files_below, files_in, wait_until};

/// Files below that hold the text.
pub(crate) fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let holds = |path: &PathBuf| memchr::memmem::find(&fs::read(path).unwrap(), text.as_bytes()).is_some();
    files_below(folder).into_iter().filter(holds).map(|path| path.display().to_string()).collect()
}

/// A copilens that keeps no texts, and whose recorder cannot write: what is spooled stays there to be looked at.
fn held_up(upstream: &Upstream) -> Copilens {
    let site = Site::new(upstream).set("capture.content", "\"metadata\"");
    fs::create_dir(site.path("logs")).unwrap();
    fs::write(site.path("logs/usage"), "in the way").unwrap();
    Copilens::start_with(site, |command| {
        command.env("RUST_LOG", "trace");
    })
}

/// What the model says, to be found in an answer.
fn said(body: &[u8]) -> String {
    let text = std::str::from_utf8(body).unwrap();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: {")).map(|json| format!("{{{json}"));
    let texts = events.filter_map(|event| {
        let event: Value = serde_json::from_str(&event).unwrap();
        let choice = &event["choices"][0];
        Some(choice["text"].as_str().or(choice["delta"]["content"].as_str())?.to_owned())
    });
    texts.max_by_key(String::len).unwrap()
}

/// Sends a completion and a chat; gives the texts that must not be found anywhere.
async fn talk(copilens: &Copilens, adjust: impl Fn(Ask) -> Ask) -> Vec<String> {
    talk_as(copilens, "alice", adjust).await
}

pub(crate) async fn talk_as(copilens: &Copilens, user: &str, adjust: impl Fn(Ask) -> Ask) -> Vec<String> {
    let mut secret = Vec::new();
    for ask in [Ask::completion(), Ask::chat()] {
        let canary = format!("canary-{}", fresh_id());
        // One event of text, so that the answer is found whole.
        let ask = adjust(ask.prompt(&canary).with(control::EVENTS, "1"));
        let (status, body) = ask.finish(&copilens.tunnel(user, ask.host, Alpn::Http2).await).await;
        assert_eq!(status, 200);
        secret.push(canary);
        if std::str::from_utf8(&body).is_ok() {
            let said = said(&body);
            assert!(said.len() > 15, "{said:?} could be anywhere");
            secret.push(serde_json::to_string(&said).unwrap().trim_matches('"').to_owned());
        }
    }
    secret
}

fn spooled(copilens: &Copilens) -> u64 {
    let files = files_in(&copilens.site.path("logs/spool"));
    files.iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_prompt_and_no_answer_touches_the_disk() {
    let upstream = Upstream::start().await;
    let copilens = held_up(&upstream);
    let mut secret = talk(&copilens, |ask| ask).await;
    secret.extend(talk(&copilens, |ask| ask.with(control::ENCODING, "gzip")).await);
    wait_until("the recorder's complaint", || copilens.log().contains("the recorder is held up").then_some(()));
    assert!(spooled(&copilens) > 4000, "everything waits in the spool");
    let nowhere = |copilens: &Copilens| {
        for text in &secret {
            assert_eq!(files_with(&copilens.site.path(""), text), Vec::<String>::new(), "{text}");
            assert!(!copilens.log().contains(text.as_str()), "{text} is in the log");
        }
    };
    nowhere(&copilens);

    fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    let records = [copilens.wait_for_records("alice", "completions", 2), copilens.wait_for_records("alice", "chat", 2)];
    for record in records.concat() {
        assert_eq!((&record["request"]["content"], &record["response"]["content"]), (&Value::Null, &json!([])));
        assert_eq!(
            (&record["class"], &record["streamed"], &record["outcome"]),
            (&json!("turn"), &json!(true), &json!("completed"))
        );
        assert!(record["tokens"]["output"].as_u64().unwrap() > 0, "{record}");
        assert!(record["bytes"]["response"].as_u64().unwrap() > 100, "{record}");
        assert_eq!(record["request"]["headers"]["editor-version"], "vscode/1.96.2");
    }
    let day = copilens.wait_for_day(|day| day["total_completions_count"] == 2 && day["total_chat_turns"] == 2);
    assert_eq!(day["usage"]["alice"]["completions"], json!({"vscode-1.96.2": {"python": 2}}));
    nowhere(&copilens);
}

/// Sends what waits to be seen, telemetry, what nobody recognises, a question about the account and a prompt on a WebSocket;
/// gives the texts that must not be found anywhere.
pub(crate) async fn tell(copilens: &Copilens) -> Vec<String> {
    let canary = |what: &str| format!("canary-{what}-{}", fresh_id());
    let [prompt, code, odd, asked] = ["ahead", "code", "odd", "socket"].map(canary);
    let ahead = Ask::completion().with("x-copilot-speculative", "true").prompt(&prompt);
    let event = json!({
        "name": "x.Event", "iKey": "7d7048df-6dd0-4048-bb23-b716c1461f8f",
        "data": {"baseType": "EventData", "baseData": {"name": "agent/ghostText.shown", "properties": {
            "headerRequestId": fresh_id(), "clientCompletionId": fresh_id(), "completionTextJson": code, "prompt": code}}}
    });
    let nameless = json!({"iKey": "7d7048df-6dd0-4048-bb23-b716c1461f8f",
        "data": {"baseType": "EventData", "baseData": {"name": "agent/ghostText.shown", "properties": {"text": odd}}}});
    let asks = [
        ahead,
        Ask::telemetry(&[event, nameless, json!({ odd.clone(): odd })]),
        Ask::telemetry(&[]).body(format!("({odd}")),
        Ask::chat().body(format!("{{\"messages\": [\"{odd}")),
        Ask::account("/copilot_internal/user").with("authorization", &format!("Bearer gho_{odd}")),
        Ask::account("/copilot_internal/v2/token").with("authorization", &format!("Bearer gho_{odd}")),
    ];
    let mut secret = vec![prompt, code, odd, asked.clone()];
    for ask in asks {
        let (_, body) = ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
        if let Ok(Value::Object(told)) = serde_json::from_slice(&body) {
            let tokens = ["token", "analytics_tracking_id"].iter().filter_map(|key| told.get(*key)?.as_str());
            secret.extend(tokens.map(str::to_owned));
        }
    }
    let mut socket = crate::websocket::asking::open(&copilens.client("alice"), &[]).await;
    crate::websocket::asking::ask(&mut socket, &crate::websocket::asking::prompt(&asked)).await;
    secret
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_what_waits_is_told_or_asked_on_a_websocket_touches_the_disk() {
    let upstream = Upstream::start().await;
    let copilens = held_up(&upstream);
    talk(&copilens, |ask| ask).await;
    wait_until("the recorder's complaint", || copilens.log().contains("the recorder is held up").then_some(()));
    let secret = tell(&copilens).await;
    assert!(secret.len() > 4, "{secret:?}");
    let nowhere = |copilens: &Copilens| {
        for text in &secret {
            assert_eq!(files_with(&copilens.site.path(""), text), Vec::<String>::new(), "{text}");
            assert!(!copilens.log().contains(text.as_str()), "{text} is in the log");
        }
    };
    wait_until("a full spool", || (spooled(&copilens) > 6000).then_some(()));
    nowhere(&copilens);
    let copilens = copilens.kill();
    fs::remove_file(copilens.path("logs/usage")).unwrap();
    let copilens = copilens.start();
    wait_until("what waits", || (files_in(&copilens.site.path("logs/pending/alice")).len() == 1).then_some(()));
    wait_until("samples", || (files_in(&copilens.site.path("logs/unrecognised")).len() >= 2).then_some(()));
    wait_until("an empty spool", || files_in(&copilens.site.path("logs/spool")).is_empty().then_some(()));
    for folder in ["", "logs/pending/alice", "logs/unrecognised"] {
        assert!(!files_in(&copilens.site.path(folder)).is_empty());
    }
    nowhere(&copilens);
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_known_as_noise_without_its_texts() {
    let upstream = Upstream::start().await;
    let copilens =
        Site::new(&upstream).set("capture.content", "\"metadata\"").set("capture.noise", "\"record\"").start();
    for ask in [Ask::chat().field("stop", json!([";"])), Ask::completion().with(control::EVENTS, "0")] {
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    }
    assert_eq!(copilens.wait_for_records("alice", "chat", 1)[0]["reason"], "stop_field");
    assert_eq!(copilens.wait_for_records("alice", "completions", 1)[0]["reason"], "empty_completion");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_record_is_rebuilt_like_any_other() {
    let upstream = Upstream::start().await;
    let copilens = Site::new(&upstream).set("capture.content", "\"metadata\"").start();
    talk(&copilens, |ask| ask).await;
    copilens.wait_for_day(|day| day["total_completions_count"] == 1 && day["total_chat_turns"] == 1);
    let (_, site) = copilens.stop();
    let day = files_in(&site.path("logs/metrics")).remove(0);
    let before = fs::read_to_string(&day).unwrap();
    fs::remove_file(site.path("logs/usage.sqlite3")).unwrap();
    site.stdout(&["rebuild"]);
    assert_eq!(fs::read_to_string(&day).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setting_follows_a_reload_and_binds_what_still_waits() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream);
    fs::create_dir(site.path("logs")).unwrap();
    fs::write(site.path("logs/usage"), "in the way").unwrap();
    let mut copilens = site.start();
    talk(&copilens, |ask| ask).await;
    copilens.reload(|site| site.change("capture.content", "\"metadata\""));
    fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    let record = copilens.wait_for_records("alice", "completions", 1).remove(0);
    assert_eq!(record["request"]["content"], Value::Null);
}

/// Texts of `alice` are nowhere, those of `bob` are in his records alone.
async fn only_bobs_texts_are_kept(copilens: &Copilens) {
    let mut secret = talk_as(copilens, "alice", |ask| ask).await;
    secret.extend(talk_as(copilens, "alice", |ask| ask.with(control::ENCODING, "gzip")).await);
    secret.extend(tell(copilens).await);
    let kept = talk_as(copilens, "bob", |ask| ask).await;
    // The model may have told both the same.
    secret.retain(|text| !kept.contains(text));
    wait_until("bob's records", || (records_of(copilens, "bob") == 2).then_some(()));
    wait_until("an empty spool", || files_in(&copilens.site.path("logs/spool")).is_empty().then_some(()));
    wait_until("what waits", || (!files_in(&copilens.site.path("logs/pending/alice")).is_empty()).then_some(()));
    for text in &secret {
        assert_eq!(files_with(&copilens.site.path(""), text), Vec::<String>::new(), "{text}");
    }
    for text in &kept {
        assert!(!files_with(&copilens.site.path("logs/usage/bob"), text).is_empty(), "{text}");
    }
    assert!(records_of(copilens, "alice") >= 4);
}

fn records_of(copilens: &Copilens, user: &str) -> usize {
    files_below(&copilens.site.path(&format!("logs/usage/{user}"))).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_or_a_teams_own_setting_holds_for_their_texts_alone() {
    let upstream = Upstream::start().await;
    let site = Site::new(&upstream).set("capture.noise", "\"record\"");
    let users = "[[user]]\nname = \"alice\"\nteams = [\"core\"]\n[[user]]\nname = \"bob\"\nteams = [\"web\"]\n\
                 [[team]]\nname = \"core\"\ncontent = \"metadata\"\n";
    fs::write(site.path("config/allowlist.toml"), users).unwrap();
    let copilens = site.start();
    only_bobs_texts_are_kept(&copilens).await;
    let (_, page) = copilens.admin("/install").await;
    assert!(page.contains("and the text of prompts and answers") && page.contains("ask yours whether"), "{page}");

    let users = "[[user]]\nname = \"alice\"\n[[user]]\nname = \"bob\"\ncontent = \"full\"\n";
    let mut copilens = Site::new(&upstream).set("capture.content", "\"full\"").start();
    copilens.reload(|site| {
        fs::write(site.path("config/allowlist.toml"), users).unwrap();
        site.change("capture.content", "\"metadata\"");
    });
    only_bobs_texts_are_kept(&copilens).await;
}

/// A marker in what each interface is asked and answers.
#[tokio::test(flavor = "multi_thread")]
async fn no_interface_of_the_models_leaves_a_text_on_the_disk() {
    let upstream = Upstream::start().await;
    let copilens = held_up(&upstream);
    let mut secret = Vec::new();
    let mut marker = |what: &str| {
        let marker = format!("canary-{what}-{}", fresh_id());
        secret.push(marker.clone());
        marker
    };
    let list = |path: &str, list: &str, text: String| {
        let body = json!({"model": "demo-large", "stream": true, list: [{"role": "user", "content": text}]});
        Ask::chat().at(CHAT_HOST, path).json(&body)
    };
    let called = |text: String| {
        let file = json!({"path": format!("/work/{text}.py"), "file_text": text});
        format!("Make a file: {}create {file}", control::CALL)
    };
    let apply = json!({"model": "demo-instant-apply-short", "stream": true,
        "prediction": {"type": "content", "content": marker("prediction")},
        "messages": [{"role": "user", "content": marker("apply")}]});
    let asks = [
        Ask::completion().field("suffix", marker("suffix")).prompt(&marker("panel")).field("n", 3),
        Ask::next_edit().prompt(&marker("edit")),
        Ask::chat().at(COMPLETIONS_HOST, "/chat/completions").json(&apply),
        Ask::chat().whole().prompt(&marker("whole")),
        list("/chat/completions", "messages", called(marker("chat-call"))),
        list("/responses", "input", called(marker("responses-call"))),
        list("/v1/messages", "messages", called(marker("messages-call"))),
        list("/agents/demo-docs?chat", "messages", marker("agent")),
        Ask::chat().field("stop", json!([";"])).field("user", marker("noise")),
        Ask::chat().body(format!("{{\"messages\": \"{}", marker("broken"))),
        Ask::new(CHAT_HOST, "/embeddings", &json!({"input": [marker("embeddings")], "model": "demo-embedding"})),
    ];
    for ask in &asks {
        ask.finish(&copilens.tunnel("alice", ask.host, Alpn::Http1).await).await;
    }
    wait_until("the recorder's complaint", || copilens.log().contains("the recorder is held up").then_some(()));
    let nowhere = |copilens: &Copilens| {
        for text in &secret {
            assert_eq!(files_with(&copilens.site.path(""), text), Vec::<String>::new(), "{text}");
            assert!(!copilens.log().contains(text.as_str()), "{text} is in the log");
        }
    };
    nowhere(&copilens);
    fs::remove_file(copilens.site.path("logs/usage")).unwrap();
    wait_until("an empty spool", || files_in(&copilens.site.path("logs/spool")).is_empty().then_some(()));
    assert!(records_of(&copilens, "alice") >= 8, "{}", records_of(&copilens, "alice"));
    nowhere(&copilens);
}
