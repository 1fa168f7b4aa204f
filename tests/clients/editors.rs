//! Copilot's language server through copilens: what was asked, shown, accepted and said in an editor.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::language_server::{INTELLIJ, LanguageServer, User, VIM, Way};
use crate::scenario::skip;
use crate::stage::{Event, Stage, body, booked, cost, is_chat, is_ghost_text};
use crate::support::wait_until;

/// Alice in IntelliJ; `None`, with a word, where the language server is not installed.
fn alice(stage: &Stage, way: Way) -> Option<LanguageServer> {
    let password = stage.copilens.site.password("alice");
    start(stage, User { name: "alice", password: &password, way, editor: INTELLIJ, telemetry: "all" })
}

fn start(stage: &Stage, user: User<'_>) -> Option<LanguageServer> {
    LanguageServer::start(stage, user).map_err(|missing| skip("language_server", &missing)).ok()
}

/// The function whose body is asked for. No two files are alike, since the language server remembers its prompts.
fn file(number: usize) -> (String, String) {
    let text =
        format!("# file {number}\ndef total{number}(lines, rate):\n\n\ndef main():\n    print(total{number}([], 1))\n");
    (format!("file{number}.py"), text)
}

/// The standard event of that name about the request with that prompt.
fn told(stage: &Stage, name: &str, request_id: &str) -> Event {
    let events = stage.events();
    let found = events.iter().find(|event| event.name() == name && event.property("headerRequestId") == request_id);
    found.unwrap_or_else(|| panic!("no {name} of {request_id}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn ghost_text_accepted_whole_in_part_and_not_at_all() {
    let stage = Stage::set_with_second_copies().await;
    let Some(server) = alice(&stage, Way::ProxyUrl) else { return };
    assert!(server.is_signed_in());
    let mut lines = 0;
    for number in 1..=3 {
        let (name, text) = file(number);
        let uri = server.open(&name, &text);
        let suggestion = server.ghost_text(&uri, 2);
        server.show(&suggestion);
        match number {
            1 => {
                server.accept(&suggestion);
                lines = suggestion.text().lines().count();
            }
            2 => server.accept_part(&suggestion, 5),
            _ => server.reject(&suggestion),
        }
    }
    server.quit();
    let asked = stage.requests(3, is_ghost_text).await;
    assert_eq!(asked.len(), 3);
    let ids: Vec<_> = asked.iter().map(|request| request.header("x-request-id").unwrap().to_owned()).collect();
    for id in &ids {
        told(&stage, "ghostText.shown", id);
    }
    let whole = told(&stage, "ghostText.accepted", &ids[0]);
    assert_eq!((whole.property("compType"), whole.measurement("numLines")), ("full", Some(lines as f64)));
    let part = told(&stage, "ghostText.accepted", &ids[1]);
    assert_eq!((part.property("compType"), part.measurement("compCharLen")), ("partial", Some(5.0)));
    told(&stage, "ghostText.rejected", &ids[2]);
    // In some runs the client sends Microsoft nothing at all, from its first event on.
    let copies = stage.second_copies();
    assert!(copies.is_empty() || copies.iter().filter(|event| event.name() == "ghostText.accepted").count() == 2);
    assert_eq!(stage.classes("alice", "completions", 3), BTreeMap::from([("turn".to_owned(), 3)]));
    let usage = stage.usage("alice", |usage| usage["completions_count"] == 3);
    assert_eq!(usage["completions"], json!({"JetBrains-IC-2026.1": {"python": 3}}), "{usage}");
    assert_eq!(usage["features"], json!({"code_completion": 3}), "{usage}");
    assert_eq!(usage["models"], json!({"gpt-41-copilot": 3}), "{usage}");
    // An event that came twice, to GitHub and to Microsoft, counts once. Microsoft's copy does not say what was accepted as a
    // whole: until GitHub's is there, too, it is a part.
    let usage = stage.usage("alice", |usage| {
        let fates = &usage["acceptance"]["completions"];
        usage["shown"] == 3 && fates["accepted_partially"] == 1 && fates["rejected"] == 1
    });
    assert_eq!([&usage["accepted"], &usage["lines_accepted"]], [2, lines + 1], "{usage}");
    let line = stage.report("alice");
    assert_eq!([&line["shown"], &line["accepted"], &line["lines_accepted"]], [3, 2, lines + 1], "{line}");
    let accounts = line["accounts"].as_array().unwrap();
    assert!(accounts.len() == 1 && accounts[0]["login"].as_str().unwrap().starts_with("sim-"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_its_follow_up_and_an_agents_step() {
    let stage = Stage::set().await;
    let Some(server) = alice(&stage, Way::ProxyAuthorization) else { return };
    assert!(server.is_signed_in());
    let (name, text) = file(1);
    let uri = server.open(&name, &text);
    let (conversation, first) = server.begin_conversation(&uri, "How can I avoid the clone here?");
    let folder = stage.folder("work");
    let task = format!("Look around: sim:call list_dir {{\"path\": \"{}\"}}", folder.display());
    let (_, second) = server.delegate(&conversation, &uri, &task);
    server.quit();
    let calls = stage.requests(5, is_chat).await;
    let told = calls.iter().map(|call| {
        let field = |name| call.header(name).unwrap().to_owned();
        let forced = body(call)["tool_choice"].is_object();
        (field("x-interaction-id"), field("x-initiator"), field("x-interaction-type"), forced)
    });
    let call = |turn: &str, initiator: &str, kind: &str, forced| {
        (turn.to_owned(), initiator.to_owned(), format!("conversation-{kind}"), forced)
    };
    let expected = [
        call(&first, "user", "panel", false),
        call(&first, "user", "panel", true),
        call(&second, "user", "agent", false),
        call(&second, "agent", "agent", false),
        call(&second, "agent", "agent", true),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let classes = BTreeMap::from([("step".to_owned(), 1), ("turn".to_owned(), 2)]);
    assert_eq!(stage.classes("alice", "chat", 3), classes);
    let usage = stage.usage("alice", |usage| usage["chat_turns"] == 2);
    assert_eq!(usage["chat"], json!({"JetBrains-IC-2026.1": 2}), "{usage}");
    assert_eq!(usage["features"], json!({"chat_panel_agent_mode": 1, "chat_panel_ask_mode": 1}), "{usage}");
    assert_eq!(booked(&usage), cost([&calls[0], &calls[2], &calls[3]]), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_edits_accepted_rejected_and_ignored() {
    let stage = Stage::set().await;
    let password = stage.copilens.site.password("bob");
    let user = User { name: "bob", password: &password, way: Way::Environment, editor: VIM, telemetry: "all" };
    let Some(server) = start(&stage, user) else { return };
    assert!(server.is_signed_in());
    let (name, text) = file(1);
    let suggestion = server.ghost_text(&server.open(&name, &text), 2);
    assert!(!suggestion.text().is_empty());
    let endings = [("Accept", "accepted"), ("Reject", "rejected"), ("Ignore", "notAccepted")];
    for (number, (how, _)) in endings.iter().enumerate() {
        let text = "def add(a, b):\n    retrun a + b\n\n\ndef subtract(a, b):\n    retrun a - b\n";
        let uri = server.open(&format!("edit{number}.py"), text);
        if number == 0 {
            // The first question begins the watch over what is typed; there is nothing to suggest yet.
            assert!(server.next_edit(&uri, 1, 7).is_none());
        }
        server.replace_in_first_line(&uri, 4, 7, "plus");
        let edit = server.next_edit(&uri, 2, 8).unwrap();
        assert_eq!(edit.text(), "    return a + b");
        server.end_edit(&edit, how);
    }
    server.quit();
    let calls = stage.requests(3, is_chat).await;
    assert_eq!(calls.len(), 3);
    for (call, (_, acceptance)) in calls.iter().zip(endings) {
        assert_eq!(body(call)["model"], "copilot-nes-oct");
        assert_eq!(call.header("editor-version"), None);
        let ended = told(&stage, "provideInlineEdit", call.header("x-request-id").unwrap());
        assert_eq!((ended.property("acceptance"), ended.measurement("isShown")), (acceptance, Some(1.0)));
    }
    // Next edits do not say which editor they are for; the ghost text before them did.
    let usage = stage.usage("bob", |usage| usage["completions_count"] == 4);
    assert_eq!(usage["completions"], json!({"vim-9.1.2": {"python": 4}}), "{usage}");
    assert_eq!(usage["models"], json!({"copilot-nes-oct": 3, "gpt-41-copilot": 1}), "{usage}");
    let usage = stage.usage("bob", |usage| usage["acceptance"]["next_edits"]["shown"] == 3);
    let edits = &usage["acceptance"]["next_edits"];
    assert_eq!([&edits["accepted"], &edits["rejected"]], [1, 1], "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_telemetry_nothing_is_known_of_what_was_accepted() {
    let stage = Stage::set().await;
    let password = stage.copilens.site.password("alice");
    let user = User { name: "alice", password: &password, way: Way::ProxyUrl, editor: INTELLIJ, telemetry: "off" };
    let Some(server) = start(&stage, user) else { return };
    assert!(server.is_signed_in());
    let (name, text) = file(1);
    let suggestion = server.ghost_text(&server.open(&name, &text), 2);
    server.show(&suggestion);
    server.accept(&suggestion);
    server.quit();
    assert!(stage.events().iter().all(|event| !event.name().starts_with("ghostText")));
    let usage = stage.usage("alice", |usage| usage["completions_count"] == 1);
    for unknown in ["shown", "accepted", "lines_accepted", "acceptance"] {
        assert_eq!(usage.get(unknown), None, "{usage}");
    }
    assert_eq!(stage.report("alice").get("accepted"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_with_a_wrong_password_reaches_nothing() {
    let stage = Stage::set().await;
    let user = User { name: "alice", password: "wrong", way: Way::ProxyUrl, editor: INTELLIJ, telemetry: "all" };
    let Some(server) = start(&stage, user) else { return };
    assert!(!server.is_signed_in());
    wait_until("the warning", || stage.copilens.log().contains("wrong proxy credentials").then_some(()));
    drop(server);
    assert_eq!(stage.upstream.fake.seen().connections, 0);
    assert_eq!(stage.copilens.records("alice", "completions"), Vec::<Value>::new());
    assert_eq!(stage.copilens.day_file(), Value::Null);
}
