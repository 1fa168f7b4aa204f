//! Exchanges of each endpoint, and the facts of them.

use serde_json::json;

use super::*;
use crate::copilot::{sample, understand};
use crate::exchange::Exchange;

const CAPI: &str = "https://api.business.githubcopilot.com";
const PROXY: &str = "https://proxy.business.githubcopilot.com";

fn facts(exchange: &Exchange) -> Facts {
    understand(exchange, 1 << 20).facts
}

fn places(facts: &Facts) -> Vec<&str> {
    facts.unrecognised.iter().map(|unrecognised| unrecognised.place.as_str()).collect()
}

fn on_websocket(answer: &str) -> Exchange {
    let request = r#"{"type":"response.create","model":"demo-codex","initiator":"user","input":[{"type":"message","role":"user"}]}"#;
    let mut exchange = sample::at(&format!("{CAPI}/responses"), &[], request, answer);
    "GET".clone_into(&mut exchange.head.method);
    exchange.head.response.as_mut().unwrap().status = 101;
    exchange
}

#[test]
fn an_answer_on_a_websocket() {
    let edit = json!({"type": "function_call", "name": "create", "arguments": r#"{"path":"a.rs","file_text":"x\ny"}"#});
    let usage = json!({"input_tokens": 30, "output_tokens": 2});
    let answer = [
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "pong"}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": edit}),
        json!({"type": "response.completed", "copilot_usage": {"total_nano_aiu": 7},
            "response": {"model": "demo-codex-2026-01-31", "status": "completed", "usage": usage}}),
    ];
    let facts = facts(&on_websocket(&answer.map(|message| message.to_string()).join("\n")));
    assert_eq!((facts.endpoint, facts.outcome), (Some(Endpoint::ResponsesWebSocket), Outcome::Completed));
    assert_eq!((facts.status, facts.streamed, facts.has_text), (Some(101), true, true));
    assert_eq!((facts.model.as_deref(), facts.model_version.as_deref()), (Some("demo-codex"), Some("2026-01-31")));
    assert_eq!((facts.tokens.input, facts.tokens.output, facts.nano_aiu), (Some(30), Some(2), Some(7)));
    assert_eq!(facts.edits, Edits { files: 1, lines_added: 2, lines_removed: 0 });
    assert_eq!((facts.language.as_deref(), facts.last_role.as_deref()), (Some("rust"), Some("user")));
    assert_eq!((facts.problems().len(), places(&facts).len()), (0, 0));
}

#[test]
fn an_answer_that_fails_after_its_head_has_failed() {
    for answer in [r#"{"type":"error","error":{"code":"x"}}"#, r#"{"type":"response.failed","response":{}}"#] {
        assert_eq!(facts(&on_websocket(answer)).outcome, Outcome::Failed, "{answer}");
        let streamed = format!("event: x\ndata: {answer}\n\n");
        let facts = facts(&sample::at(&format!("{CAPI}/responses"), &[], "{}", &streamed));
        assert_eq!((facts.outcome, facts.status, facts.streamed), (Outcome::Failed, Some(200), true), "{answer}");
    }
}

#[test]
fn a_next_edit_is_a_completion() {
    let request = |model: &str| {
        json!({"model": model, "prediction": {}, "messages": [{"role": "user", "content": "current_file_path: a/b.go\n"}]})
            .to_string()
    };
    let answer = sample::stream(&[
        r#"{"choices":[{"index":0,"delta":{"content":"```\nx := 1\ny"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":" := 2\n```"},"finish_reason":"stop"}]}"#,
    ]);
    let at = |base: &str, model: &str| {
        facts(&sample::at(&format!("{base}/chat/completions"), &[], &request(model), &answer))
    };
    let edit = at(PROXY, "copilot-nes-demo");
    assert_eq!(
        (edit.kind, edit.endpoint, edit.feature),
        (Kind::Completions, Some(Endpoint::Chat), Feature::CodeCompletion)
    );
    assert_eq!((edit.generations, edit.lines_suggested, edit.characters_suggested), (1, 2, 13));
    assert_eq!((edit.language.as_deref(), edit.model.as_deref()), (Some("go"), Some("copilot-nes-demo")));
    assert_eq!(at("https://copilot-proxy.githubusercontent.com", "NES-demo").kind, Kind::Completions);
    assert_eq!(at(PROXY, "demo-instant-apply").kind, Kind::Chat);
    // Visual Studio asks the engine of completions.
    assert_eq!(at(PROXY, "gpt-41-copilot").kind, Kind::Completions);
    let chat = at(CAPI, "copilot-nes-demo");
    assert_eq!((chat.kind, chat.language), (Kind::Chat, None));
}

#[test]
fn a_next_edit_without_a_change_has_no_text() {
    let answer = r#"{"choices":[{"message":{"content":"<NO_CHANGE>"},"finish_reason":"stop"}]}"#;
    let facts =
        facts(&sample::at(&format!("{PROXY}/chat/completions"), &[], r#"{"model":"copilot-nes-demo"}"#, answer));
    assert_eq!((facts.has_text, facts.generations, places(&facts).len()), (false, 0, 0));
}

#[test]
fn quotas_come_with_the_answers_head() {
    let mut exchange = sample::chat(&[], "{}", "{}");
    let field = ("x-quota-snapshot-chat".to_owned(), "ent=-1&rem=100.0".to_owned());
    exchange.head.response.as_mut().unwrap().headers.push(field);
    assert_eq!(facts(&exchange).quotas[0].name, "chat");
}

#[test]
fn what_cannot_be_read_is_told_by_its_place() {
    let messages =
        |request: &str, answer: &str| facts(&sample::at(&format!("{CAPI}/v1/messages"), &[], request, answer));
    assert_eq!(places(&messages("model=x", r#"{"type":"message","stop_reason":"end_turn"}"#)), ["messages_request"]);
    assert_eq!(places(&messages("{}", "data: {\"type\":\"message_stop\"}\n\ndata: <oops>\n\n")), ["messages_event"]);
    assert_eq!(places(&messages("{}", r#"{"wholly":"new"}"#)), ["messages_answer"]);
    assert_eq!(places(&messages("", "")), Vec::<&str>::new());
}

#[test]
fn what_failed_or_is_cut_off_tells_nothing_new() {
    let mut exchange = sample::at(&format!("{CAPI}/responses"), &[], "<", "<");
    assert_eq!(places(&facts(&exchange)), ["responses_request", "responses_event"]);
    exchange.head.response_size.truncated = true;
    exchange.head.request_size.truncated = true;
    assert_eq!(places(&facts(&exchange)), Vec::<&str>::new());
    exchange = sample::at(&format!("{CAPI}/responses"), &[], "<", "<");
    exchange.head.ending = Ending::Canceled;
    assert_eq!(places(&facts(&exchange)), Vec::<&str>::new());
    exchange = sample::at(&format!("{CAPI}/elsewhere"), &[], "<", "<");
    assert_eq!(places(&facts(&exchange)), Vec::<&str>::new());
}
