//! Copilot's CLI (`@github/copilot`) through copilens: each interface that it speaks with models.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use copilens::sim::copilot::SeenRequest;
use serde_json::{Value, json};

use crate::rpc::{Framing, Rpc};
use crate::scenario::skip;
use crate::stage::{Stage, body, booked, cost, is_chat};
use crate::support::wait_until;

/// The CLI at work for a user, with the proxy in its environment; `None`, with a word, where it is not installed.
fn cli(stage: &Stage, user: &str, password: &str) -> Option<Command> {
    let command = stage.client("@github/copilot", "copilot").map_err(|missing| skip("copilot_cli", &missing)).ok();
    command.map(|mut command| {
        command.env("HTTPS_PROXY", stage.proxy_url(user, password));
        command.args(["--allow-all-tools", "--allow-all-paths", "--no-auto-update"]);
        command
    })
}

fn alices_cli(stage: &Stage) -> Option<Command> {
    cli(stage, "alice", &stage.copilens.site.password("alice"))
}

fn prompt(mut command: Command, model: &str, prompt: &str) -> Output {
    command.args(["--model", model, "--prompt", prompt]).stdin(Stdio::null()).output().unwrap()
}

/// A task that needs one call of a tool, which makes a file of two lines.
fn task(stage: &Stage) -> String {
    let path = stage.folder("work").join("limits.py");
    let input = json!({"path": path, "file_text": "LIMIT = 3\nRETRIES = 2\n"});
    format!("Make a file: sim:call create {input}")
}

/// A prompt with a step goes over `path`: the person's call, then the agent's with what the tool brought.
async fn a_prompt_with_a_step(model: &str, path: &str) {
    let stage = Stage::set().await;
    let Some(command) = alices_cli(&stage) else { return };
    let output = prompt(command, model, &task(&stage));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_to_string(stage.folder("work").join("limits.py")).unwrap(), "LIMIT = 3\nRETRIES = 2\n");
    let calls = stage.requests(2, is_chat).await;
    let told = calls.iter().map(|call| (call.path(), call.header("x-initiator"), call.header("x-interaction-type")));
    let expected = [(path, Some("user"), Some("conversation-user")), (path, Some("agent"), Some("conversation-agent"))];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(calls[0].header("x-interaction-id"), calls[1].header("x-interaction-id"));
    let closed = shutdown(&stage);
    assert_eq!(closed["metrics"]["lines_added"], 2, "{closed}");
    assert_eq!(closed["properties"][format!("model_{model}_request_count")], "2");
    assert_counted(&stage, 1, &calls);
}

/// The user's turns and one step, with what all calls cost.
fn assert_counted(stage: &Stage, turns: usize, calls: &[SeenRequest]) {
    let classes = BTreeMap::from([("step".to_owned(), 1), ("turn".to_owned(), turns)]);
    assert_eq!(stage.classes("alice", "chat", turns + 1), classes);
    let usage = stage.usage("alice", |usage| {
        usage["chat_turns"] == turns && booked(usage) == cost(calls) && usage.get("acceptance").is_some()
    });
    assert_eq!(usage["chat"], json!({"copilot-1.0.102": turns}), "{usage}");
    assert_eq!(usage["features"], json!({"copilot_cli": turns}), "{usage}");
    let session = &usage["acceptance"]["cli_sessions"];
    assert_eq!(session["count"], 1, "{usage}");
    assert_eq!(usage.get("shown"), None, "the CLI tells nothing of suggestions: {usage}");
    assert_eq!((&usage["edits"]["files"], &usage["edits"]["lines_added"]), (&json!(1), &json!(2)), "{usage}");
}

/// What the CLI tells of its session when it ends.
fn shutdown(stage: &Stage) -> Value {
    let payloads = stage.events().into_iter().map(|event| event.payload());
    payloads.into_iter().find(|payload| payload["kind"] == "session_shutdown").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_chat_completions() {
    a_prompt_with_a_step("claude-haiku-4.5", "/chat/completions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_responses() {
    a_prompt_with_a_step("gpt-5-mini", "/responses").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_over_messages() {
    a_prompt_with_a_step("claude-sonnet-4.5", "/v1/messages").await;
}

/// A sub-agent works under an interaction of its own; the person asked once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_sub_agent_is_no_prompt() {
    let stage = Stage::set().await;
    let Some(command) = alices_cli(&stage) else { return };
    let order = json!({"agent_type": "explore", "name": "looker", "description": "Look around",
                       "prompt": "Where are the limits?"});
    let output = prompt(command, "claude-haiku-4.5", &format!("Look around: sim:call task {order}"));
    assert!(output.status.success(), "{output:?}");
    let calls = stage.requests(3, is_chat).await;
    let told = calls.iter().map(|call| (call.header("x-initiator"), call.header("x-interaction-type")));
    let expected = [
        (Some("user"), Some("conversation-user")),
        (Some("agent"), Some("conversation-subagent")),
        (Some("agent"), Some("conversation-agent")),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_ne!(calls[0].header("x-interaction-id"), calls[1].header("x-interaction-id"));
    let usage = stage.usage("alice", |usage| booked(usage) == cost(&calls));
    assert_eq!((&usage["chat_turns"], &usage["interactions"]), (&json!(1), &json!(1)), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_prompts_and_a_step_over_one_websocket() {
    let stage = Stage::set().await;
    let Some(mut command) = alices_cli(&stage) else { return };
    command.args(["--acp", "--model", "gpt-5.1-codex"]);
    let agent = Rpc::start(command, Framing::Line);
    agent.call("initialize", json!({"protocolVersion": 1, "clientCapabilities": {}}));
    let work = stage.folder("work");
    let session = agent.call("session/new", json!({"cwd": work, "mcpServers": []}))["sessionId"].take();
    let patch = format!(
        "*** Begin Patch\n*** Add File: {}/limits.py\n+LIMIT = 3\n+RETRIES = 2\n*** End Patch\n",
        work.display()
    );
    let task = format!("Make a file: sim:call apply_patch {}", Value::from(patch));
    for text in [task, "How can I avoid the clone here?".to_owned()] {
        let said = json!({"sessionId": session, "prompt": [{"type": "text", "text": text}]});
        assert_eq!(agent.call("session/prompt", said)["stopReason"], "end_turn");
    }
    assert!(agent.end().success());
    assert_eq!(std::fs::read_to_string(work.join("limits.py")).unwrap(), "LIMIT = 3\nRETRIES = 2\n");
    let sent =
        |request: &copilens::sim::copilot::SeenRequest| request.path() == "/responses" && !request.body.is_empty();
    let messages = stage.requests(3, sent).await;
    let initiators: Vec<_> = messages.iter().map(|message| body(message)["initiator"].clone()).collect();
    assert_eq!(initiators, ["user", "agent", "user"]);
    assert!(messages.iter().all(|message| message.connection == messages[0].connection), "one WebSocket");
    let turns: Vec<_> = messages.iter().map(|message| body(message)["headers"]["X-Interaction-Id"].clone()).collect();
    assert!(turns[0] == turns[1] && turns[1] != turns[2], "{turns:?}");
    assert_eq!(shutdown(&stage)["properties"]["model_gpt-5.1-codex_request_count"], "3");
    assert_counted(&stage, 2, &messages);
    let records = stage.copilens.wait_for_records("alice", "chat", 3);
    let recorded =
        |name: &str| records.iter().map(|record| record["request"]["headers"][name].clone()).collect::<Vec<_>>();
    assert_eq!((recorded("x-interaction-id"), recorded("x-initiator")), (turns, initiators));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cli_with_a_wrong_password_reaches_nothing() {
    let stage = Stage::set().await;
    let Some(command) = cli(&stage, "alice", "wrong") else { return };
    let output = prompt(command, "gpt-5-mini", "How can I avoid the clone here?");
    assert!(!output.status.success(), "{output:?}");
    wait_until("the warning", || stage.copilens.log().contains("wrong proxy credentials").then_some(()));
    assert_eq!(stage.upstream.fake.seen().connections, 0);
    assert_eq!(stage.copilens.records("alice", "chat"), Vec::<Value>::new());
    assert_eq!(stage.copilens.day_file(), Value::Null);
}
