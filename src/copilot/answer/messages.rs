//! Answers of the Messages interface, streamed or as one body.
//!
//! Sources: Anthropic's streaming reference; vscode-copilot-chat (`messagesApi.ts`). What `@github/copilot` 1.0.102 takes was
//! seen live.

use serde_json::Value;

use super::{Answer, array, count, get, text};

/// Adds an event or a body, of the type `message*` or `content_block*`.
pub(super) fn add(answer: &mut Answer, kind: &str, event: &Value) {
    let index = count(event, "index").unwrap_or_default();
    let inner = |key| get(event, key).unwrap_or(&Value::Null);
    match kind {
        "message" => add_message(answer, event),
        "message_start" => add_message(answer, inner("message")),
        "content_block_start" => add_block(answer, index, inner("content_block")),
        "content_block_delta" => add_delta(answer, index, inner("delta")),
        "message_delta" => {
            answer.finish(get(inner("delta"), "stop_reason"));
            add_usage(answer, event);
        }
        _ => {}
    }
    if kind != "content_block_delta" {
        answer.add_common(event);
    }
}

fn add_message(answer: &mut Answer, message: &Value) {
    answer.add_common(message);
    answer.finish(get(message, "stop_reason"));
    add_usage(answer, message);
    for (index, block) in (0..).zip(array(message, "content")) {
        add_block(answer, index, block);
    }
}

/// A block as it begins (empty, then) or as a whole.
fn add_block(answer: &mut Answer, index: u64, block: &Value) {
    match text(block, "type") {
        Some("text") => answer.texts.entry(index).or_default().push_str(text(block, "text").unwrap_or_default()),
        Some("tool_use") => {
            let call = answer.call((index, 0), text(block, "id"));
            text(block, "name").unwrap_or_default().clone_into(&mut call.name);
            if let Some(input) =
                get(block, "input").filter(|input| input.as_object().is_some_and(|fields| !fields.is_empty()))
            {
                call.arguments = input.to_string();
            }
        }
        _ => {}
    }
}

fn add_delta(answer: &mut Answer, index: u64, delta: &Value) {
    match text(delta, "type") {
        Some("text_delta") => answer.texts.entry(index).or_default().push_str(text(delta, "text").unwrap_or_default()),
        Some("input_json_delta") => {
            answer.call((index, 0), None).arguments.push_str(text(delta, "partial_json").unwrap_or_default());
        }
        _ => {}
    }
}

/// The usage at the beginning is provisional: each later one overwrites the counts that it has. `input_tokens` leaves out what
/// the cache served and took, so the input is the sum of the three.
fn add_usage(answer: &mut Answer, object: &Value) {
    let Some(usage) = get(object, "usage") else { return };
    let tokens = &mut answer.tokens;
    tokens.output = count(usage, "output_tokens").or(tokens.output);
    tokens.cached = count(usage, "cache_read_input_tokens").or(tokens.cached);
    tokens.cache_written = count(usage, "cache_creation_input_tokens").or(tokens.cache_written);
    answer.uncached_input = count(usage, "input_tokens").or(answer.uncached_input);
    let cache = tokens.cached.unwrap_or_default().saturating_add(tokens.cache_written.unwrap_or_default());
    tokens.input = answer.uncached_input.map(|uncached| uncached.saturating_add(cache));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::copilot::vocabulary::Tokens;

    fn streamed() -> Vec<Value> {
        let start =
            |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
        let delta = |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
        vec![
            json!({"type": "message_start", "message": {"type": "message", "model": "demo-sonnet", "content": [], "stop_reason": null,
                "usage": {"input_tokens": 9, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 0, "output_tokens": 1}}}),
            start(0, json!({"type": "thinking", "thinking": ""})),
            delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
            json!({"type": "ping"}),
            start(1, json!({"type": "text", "text": ""})),
            delta(1, json!({"type": "text_delta", "text": "po"})),
            delta(1, json!({"type": "text_delta", "text": "ng"})),
            json!({"type": "content_block_stop", "index": 1}),
            start(2, json!({"type": "tool_use", "id": "t1", "name": "view", "input": {}})),
            delta(2, json!({"type": "input_json_delta", "partial_json": ""})),
            delta(2, json!({"type": "input_json_delta", "partial_json": "{\"path\":"})),
            delta(2, json!({"type": "input_json_delta", "partial_json": "\"a\"}"})),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"cache_creation_input_tokens": 6, "output_tokens": 4},
                "copilot_usage": {"total_nano_aiu": 700_000}}),
            json!({"type": "message_stop"}),
        ]
    }

    fn assert_whole(answer: &Answer) {
        assert_eq!(answer.texts.values().collect::<Vec<_>>(), ["pong"]);
        assert_eq!(answer.calls.len(), 1);
        assert_eq!((answer.calls[&0].name.as_str(), answer.calls[&0].arguments.as_str()), ("view", "{\"path\":\"a\"}"));
        assert_eq!((answer.model.as_deref(), answer.finish_reason.as_deref()), (Some("demo-sonnet"), Some("tool_use")));
        let tokens =
            Tokens { input: Some(65), output: Some(4), cached: Some(50), cache_written: Some(6), reasoning: None };
        assert_eq!((answer.tokens, answer.nano_aiu), (tokens, Some(700_000)));
    }

    #[test]
    fn a_stream_is_put_together_and_its_last_counts_hold() {
        assert_whole(&Answer::read(&streamed()));
    }

    #[test]
    fn one_body_tells_the_same() {
        let body = json!({"type": "message", "model": "demo-sonnet", "stop_reason": "tool_use",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "pong"},
                {"type": "tool_use", "id": "t1", "name": "view", "input": {"path": "a"}}],
            "usage": {"input_tokens": 9, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 6, "output_tokens": 4},
            "copilot_usage": {"total_nano_aiu": 700_000}});
        assert_whole(&Answer::read(&[body]));
    }

    #[test]
    fn an_error_is_a_failure() {
        assert!(Answer::read(&[json!({"type": "error", "error": {"type": "overloaded_error"}})]).failed);
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for odd in [
            json!({"type": "message_start"}),
            json!({"type": "message_start", "message": [1]}),
            json!({"type": "message", "content": 7, "usage": 1, "stop_reason": 3}),
            json!({"type": "content_block_delta", "index": -1, "delta": "x"}),
            json!({"type": "content_block_start", "content_block": {"type": 3}}),
            json!({"type": "message_delta", "usage": {"output_tokens": "4"}}),
            json!({"type": "message_unheard_of"}),
        ] {
            assert_eq!(Answer::read(std::slice::from_ref(&odd)), Answer::default(), "{odd}");
        }
    }

    #[test]
    fn counts_beyond_all_measure_do_not_overflow() {
        let usage = json!({"input_tokens": u64::MAX, "cache_read_input_tokens": u64::MAX});
        let answer = Answer::read(&[json!({"type": "message", "usage": usage})]);
        assert_eq!(answer.tokens.input, Some(u64::MAX));
    }
}
