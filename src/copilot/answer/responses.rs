//! Answers of the Responses interface, as server-sent events, as messages of a WebSocket, or as one body.
//!
//! Sources: OpenAI's streaming reference; vscode-copilot-chat (`responsesApi.ts`, `chatWebSocketManager.ts`). What a client of
//! `@github/copilot` 1.0.102 takes was seen live.

use serde_json::Value;

use super::{Answer, array, complete, count, get, text};
use crate::copilot::vocabulary::Tokens;

/// Adds an event, of the type `response.*`.
///
/// Text and arguments come in pieces, then whole, then again in the whole item and in the whole response: the pieces count, and
/// the whole where it is longer. An item is told by its index, since GitHub gives it another id in every event.
pub(super) fn add_event(answer: &mut Answer, kind: &str, event: &Value) {
    let index = count(event, "output_index").unwrap_or_default();
    match kind {
        "response.output_text.delta" => {
            answer.texts.entry(index).or_default().push_str(text(event, "delta").unwrap_or_default());
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            answer.call((index, 0), None).arguments.push_str(text(event, "delta").unwrap_or_default());
        }
        "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
            add_arguments(answer, index, event);
        }
        "response.output_item.added" | "response.output_item.done" => {
            get(event, "item").into_iter().for_each(|item| add_item(answer, index, item));
        }
        _ => get(event, "response").into_iter().for_each(|response| add_response(answer, response)),
    }
    answer.failed |= kind == "response.failed";
    if !kind.ends_with(".delta") {
        answer.add_common(event);
    }
}

/// Adds a response: in an event as it begins or ends, or as the body.
pub(super) fn add_response(answer: &mut Answer, response: &Value) {
    answer.add_common(response);
    if let Some(usage) = get(response, "usage").filter(|usage| usage.is_object()) {
        answer.tokens = tokens(usage);
    }
    let reason = get(response, "incomplete_details").and_then(|details| get(details, "reason"));
    match text(response, "status") {
        None | Some("in_progress" | "queued") => {}
        Some(status) => {
            answer.failed |= status == "failed";
            answer.finish(get(response, "status"));
            answer.finish(reason);
        }
    }
    if answer.texts.is_empty() && answer.calls.is_empty() {
        for (index, item) in (0..).zip(array(response, "output")) {
            add_item(answer, index, item);
        }
    }
}

fn add_item(answer: &mut Answer, index: u64, item: &Value) {
    match text(item, "type") {
        Some("message") => {
            let whole: String = array(item, "content").filter_map(|part| text(part, "text")).collect();
            if !whole.is_empty() {
                complete(answer.texts.entry(index).or_default(), &whole);
            }
        }
        Some("function_call" | "custom_tool_call") => {
            if let Some(name) = text(item, "name") {
                complete(&mut answer.call((index, 0), None).name, name);
            }
            add_arguments(answer, index, item);
        }
        _ => {}
    }
}

/// Functions take `arguments`, freeform tools an `input`.
fn add_arguments(answer: &mut Answer, index: u64, object: &Value) {
    if let Some(whole) = text(object, "arguments").or_else(|| text(object, "input")) {
        complete(&mut answer.call((index, 0), None).arguments, whole);
    }
}

fn tokens(usage: &Value) -> Tokens {
    let detail = |of: &str, key: &str| count(get(usage, of)?, key);
    Tokens {
        input: count(usage, "input_tokens"),
        output: count(usage, "output_tokens"),
        cached: detail("input_tokens_details", "cached_tokens"),
        cache_written: detail("input_tokens_details", "cache_creation_input_tokens"),
        reasoning: detail("output_tokens_details", "reasoning_tokens"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn streamed() -> Vec<Value> {
        // Without the reasoning, which was at index 0.
        let output = json!([
            {"type": "message", "id": "m2", "content": [{"type": "output_text", "text": "pong"}]},
            {"type": "function_call", "id": "f2", "call_id": "c", "name": "view", "arguments": "{\"path\":\"a\"}"},
            {"type": "custom_tool_call", "id": "p2", "name": "apply_patch", "input": "*** Begin"},
        ]);
        let item = |kind: &str, index: usize, item: Value| json!({"type": kind, "output_index": index, "item": item});
        let delta = |kind: &str, index: u64, delta: &str| json!({"type": kind, "output_index": index, "delta": delta});
        vec![
            json!({"type": "response.created", "response": {"model": "demo-codex", "status": "in_progress", "output": [], "usage": null}}),
            item("response.output_item.added", 1, json!({"type": "message", "content": []})),
            delta("response.output_text.delta", 1, "po"),
            delta("response.output_text.delta", 1, "ng"),
            json!({"type": "response.output_text.done", "output_index": 1, "text": "pong"}),
            item("response.output_item.done", 1, output[0].clone()),
            item(
                "response.output_item.added",
                2,
                json!({"type": "function_call", "id": "f1", "name": "view", "arguments": ""}),
            ),
            delta("response.function_call_arguments.delta", 2, "{\"path\":"),
            delta("response.function_call_arguments.delta", 2, "\"a\"}"),
            json!({"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"path\":\"a\"}"}),
            item("response.output_item.done", 2, output[1].clone()),
            delta("response.custom_tool_call_input.delta", 3, "*** Be"),
            item("response.output_item.done", 3, output[2].clone()),
            json!({"type": "response.unheard_of", "output_index": 7}),
            json!({
                "type": "response.completed",
                "response": {"model": "demo-other", "status": "completed", "output": output, "usage": {
                    "input_tokens": 30, "input_tokens_details": {"cached_tokens": 20},
                    "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 39,
                }},
                "copilot_usage": {"total_nano_aiu": 900_000},
            }),
        ]
    }

    fn assert_whole(answer: &Answer) {
        assert_eq!(answer.texts.values().collect::<Vec<_>>(), ["pong"]);
        let calls: Vec<_> = answer.calls.values().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(calls, [("view", "{\"path\":\"a\"}"), ("apply_patch", "*** Begin")]);
        assert_eq!(answer.finish_reason.as_deref(), Some("completed"));
        let tokens =
            Tokens { input: Some(30), output: Some(9), cached: Some(20), cache_written: None, reasoning: Some(4) };
        assert_eq!((answer.tokens, answer.failed), (tokens, false));
    }

    #[test]
    fn what_is_told_three_times_counts_once() {
        let answer = Answer::read(&streamed());
        assert_whole(&answer);
        assert_eq!((answer.model.as_deref(), answer.nano_aiu), (Some("demo-codex"), Some(900_000)));
    }

    #[test]
    fn the_last_event_or_one_body_tells_it_all() {
        let events = streamed();
        let last = events.last().unwrap();
        assert_whole(&Answer::read(std::slice::from_ref(last)));
        let mut body = last["response"].clone();
        body["object"] = json!("response");
        assert_whole(&Answer::read(&[body]));
    }

    #[test]
    fn a_stream_that_breaks_off_keeps_what_came() {
        let answer = Answer::read(&streamed()[..8]);
        assert_eq!(answer.texts[&1], "pong");
        assert_eq!((answer.calls[&0].name.as_str(), answer.calls[&0].arguments.as_str()), ("view", "{\"path\":"));
        assert_eq!((answer.finish_reason, answer.tokens), (None, Tokens::default()));
    }

    #[test]
    fn an_incomplete_response_tells_why() {
        let response = json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}});
        let answer = Answer::read(&[json!({"type": "response.incomplete", "response": response})]);
        assert_eq!((answer.finish_reason.as_deref(), answer.failed), (Some("max_output_tokens"), false));
    }

    #[test]
    fn failures_and_errors_are_told() {
        for event in [
            json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "x"}}}),
            json!({"type": "response.failed"}),
            json!({"type": "error", "error": {"code": "x", "message": "y"}, "copilot_quota_snapshots": {}}),
            json!({"object": "response", "status": "failed"}),
        ] {
            let answer = Answer::read(std::slice::from_ref(&event));
            assert!(answer.failed && answer.is_recognised(), "{event}");
        }
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for odd in [
            json!({"type": "response.completed", "response": 7}),
            json!({"type": "response.completed", "response": {"output": [1, {"type": "message", "content": 3}], "usage": []}}),
            json!({"type": "response.output_item.done", "item": {"type": "function_call"}, "output_index": "x"}),
            json!({"type": "response.output_item.done"}),
            json!({"type": "response."}),
        ] {
            assert_eq!(Answer::read(std::slice::from_ref(&odd)), Answer::default(), "{odd}");
        }
    }
}
