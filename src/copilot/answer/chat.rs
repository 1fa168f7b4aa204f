//! Answers of completions, chat and agents: `choices` with text or pieces of a message.
//!
//! Sources: vscode-copilot-chat (`openai.ts`, `stream.ts`); the streams of the language server 1.539.0 and of completions were
//! seen live. `choices: []` and `choices: null` are ordinary: a chunk that carries the usage alone.

use serde_json::Value;

use super::{Answer, count, non_empty, text};
use crate::copilot::vocabulary::Tokens;

/// Adds an event or a body. Its fields are gone through once: to look each of them up by name costs a hash, for hundreds of
/// events.
pub(super) fn add(answer: &mut Answer, event: &Value) {
    for (key, value) in fields(event) {
        match key.as_str() {
            "choices" => add_choices(answer, value),
            "model" if answer.model.is_none() => answer.model = non_empty(Some(value)),
            "usage" if value.is_object() => {
                answer.tokens = tokens(value);
                answer.add_price(value.get("copilot_usage"));
            }
            "copilot_usage" => answer.add_price(Some(value)),
            "error" => answer.failed |= value.is_object(),
            "copilot_references" | "copilot_confirmation" | "copilot_errors" => answer.has_extras |= !value.is_null(),
            _ => {}
        }
    }
}

fn add_choices(answer: &mut Answer, choices: &Value) {
    for (position, choice) in (0..).zip(choices.as_array().into_iter().flatten()) {
        let (mut index, mut text, mut message) = (None, None, &Value::Null);
        for (key, value) in fields(choice) {
            match key.as_str() {
                "index" => index = value.as_u64(),
                "text" => text = value.as_str(),
                "delta" | "message" => message = value,
                "finish_reason" => answer.finish(Some(value)),
                _ => {}
            }
        }
        add_message(answer, index.unwrap_or(position), text, message);
    }
}

/// Completions have a `text` beside the message's place; streamed chat has a `delta`, other chat a `message`.
fn add_message(answer: &mut Answer, choice: u64, text: Option<&str>, message: &Value) {
    let (mut content, mut calls) = (text, None);
    for (key, value) in fields(message) {
        match key.as_str() {
            "content" => content = content.or(value.as_str()),
            "tool_calls" => calls = value.as_array(),
            _ => {}
        }
    }
    if let Some(content) = content {
        answer.texts.entry(choice).or_default().push_str(content);
    }
    for (position, piece) in (0..).zip(calls.into_iter().flatten()) {
        add_call(answer, (choice, count(piece, "index").unwrap_or(position)), piece);
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A tool call, or a piece of one: the first has its id and name, all have a part of the arguments.
fn add_call(answer: &mut Answer, place: (u64, u64), piece: &Value) {
    let Some(tool) = piece.get("function").or_else(|| piece.get("custom")) else { return };
    let call = answer.call(place, text(piece, "id").filter(|id| !id.is_empty()));
    if let Some(name) = text(tool, "name") {
        super::complete(&mut call.name, name);
    }
    if let Some(part) = text(tool, "arguments").or_else(|| text(tool, "input")) {
        call.arguments.push_str(part);
    }
}

fn tokens(usage: &Value) -> Tokens {
    let detail = |of: &str, key: &str| count(usage.get(of)?, key);
    Tokens {
        input: count(usage, "prompt_tokens"),
        output: count(usage, "completion_tokens"),
        cached: detail("prompt_tokens_details", "cached_tokens"),
        cache_written: detail("prompt_tokens_details", "cache_creation_input_tokens"),
        reasoning: detail("completion_tokens_details", "reasoning_tokens"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn calls(values: &[Value]) -> Vec<(String, String)> {
        Answer::read(values).calls.into_values().map(|call| (call.name, call.arguments)).collect()
    }

    #[test]
    fn choices_are_joined_by_index() {
        let answer = Answer::read(&[
            json!({"model": "", "choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}),
            json!({"model": "demo-1", "choices": [{"index": 0, "text": "A", "finish_reason": "stop"}]}),
            json!({"model": "demo-2", "choices": [{"index": 1, "text": "B", "finish_reason": null}]}),
        ]);
        assert_eq!(answer.texts, BTreeMap::from([(0, "aA".to_owned()), (1, "bB".to_owned())]));
        assert_eq!((answer.model.as_deref(), answer.finish_reason.as_deref()), (Some("demo-1"), Some("stop")));
    }

    #[test]
    fn chat_has_deltas_or_a_message() {
        let streamed =
            [json!({"choices": [{"delta": {"content": "4"}}]}), json!({"choices": [{"delta": {"content": "2"}}]})];
        assert_eq!(Answer::read(&streamed).texts[&0], "42");
        assert_eq!(Answer::read(&[json!({"choices": [{"message": {"content": "42"}}]})]).texts[&0], "42");
    }

    #[test]
    fn tool_calls_are_joined_by_index_and_told_apart_by_id() {
        let piece = |call: Value| json!({"choices": [{"index": 0, "delta": {"content": null, "tool_calls": [call]}}]});
        let streamed = [
            piece(json!({"index": 0, "id": "k1", "type": "function", "function": {"name": "read", "arguments": ""}})),
            piece(json!({"index": 0, "function": {"arguments": "{\"p\":"}})),
            piece(json!({"index": 1, "id": "k2", "function": {"name": "list", "arguments": "{}"}})),
            piece(json!({"index": 0, "id": "", "function": {"arguments": "1}"}})),
            piece(json!({"index": 1, "id": "k3", "function": {"name": "list", "arguments": "[]"}})),
        ];
        let expected = [("read", "{\"p\":1}"), ("list", "{}"), ("list", "[]")];
        assert_eq!(calls(&streamed), expected.map(|(name, arguments)| (name.to_owned(), arguments.to_owned())));
        let whole = json!({"choices": [
            {"message": {"content": "so"}},
            {"message": {"tool_calls": [
                {"id": "k1", "function": {"name": "read", "arguments": "{}"}},
                {"id": "k2", "type": "custom", "custom": {"name": "apply_patch", "input": "*** Begin Patch"}},
            ]}},
        ]});
        let expected = [("read", "{}"), ("apply_patch", "*** Begin Patch")];
        assert_eq!(calls(&[whole]), expected.map(|(name, arguments)| (name.to_owned(), arguments.to_owned())));
    }

    #[test]
    fn the_last_usage_counts_even_without_choices() {
        let answer = Answer::read(&[
            json!({"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "copilot_usage": {"total_nano_aiu": 5}}),
            json!({"choices": [], "usage": {
                "prompt_tokens": 24,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 16, "cache_creation_input_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 1},
                "copilot_usage": {"total_nano_aiu": 7},
            }}),
            json!({"choices": [], "usage": null, "copilot_usage": null}),
        ]);
        let expected =
            Tokens { input: Some(24), output: Some(2), cached: Some(16), cache_written: Some(4), reasoning: Some(1) };
        assert_eq!((answer.tokens, answer.nano_aiu), (expected, Some(7)));
    }

    #[test]
    fn an_error_in_place_of_choices_is_a_failure() {
        assert!(Answer::read(&[json!({"error": {"message": "no"}})]).failed);
        assert!(!Answer::read(&[json!({"error": null, "choices": []})]).failed);
    }

    #[test]
    fn white_space_is_no_text() {
        assert!(!Answer::read(&[json!({"choices": [{"text": " \n"}]})]).has_text());
        assert!(!Answer::read(&[json!({"choices": [{"delta": {"content": null, "tool_calls": []}}]})]).has_text());
        assert!(Answer::read(&[json!({"choices": [{"text": " x"}]})]).has_text());
    }

    #[test]
    fn what_agents_bring_beside_text_is_known() {
        assert!(Answer::read(&[json!({"copilot_references": [], "choices": null})]).is_recognised());
        assert!(!Answer::read(&[json!({"choices": null})]).is_recognised());
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for odd in [
            json!(null),
            json!([1]),
            json!("text"),
            json!({"choices": null, "model": 7, "usage": "many"}),
            json!({"choices": {"text": "x"}}),
            json!({"choices": [null, 1, "x", {"text": 3}, {"delta": "x"}, {"message": {"content": {}}}]}),
            json!({"choices": [{"delta": {"tool_calls": [null, 1, {"function": null}, {}]}}, {"delta": {"tool_calls": 3}}]}),
            json!({"usage": {"prompt_tokens": -1, "completion_tokens": 1.5, "prompt_tokens_details": 4}}),
            json!({"copilot_usage": {"total_nano_aiu": "7"}, "type": 3}),
        ] {
            let answer = Answer::read(std::slice::from_ref(&odd));
            let named = answer.calls.values().any(|call| !call.name.is_empty());
            assert_eq!(
                (answer.texts.len(), named, answer.tokens, answer.nano_aiu),
                (0, false, Tokens::default(), None),
                "{odd}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_values_in_place_of_any_other_are_read(
            odd in prop::collection::vec(prop::sample::select(vec![
                json!(null), json!([]), json!({}), json!(-1), json!(1e300), json!("x"), json!([{"index": -1, "text": "y"}]),
            ]), 5)
        ) {
            let event = json!({"model": odd[0], "usage": odd[1], "choices": odd[2]});
            let inner = json!({"choices": [{"index": odd[3], "text": odd[4], "delta": odd[0], "message": odd[1], "finish_reason": odd[2]}]});
            let answer = Answer::read(&[event, inner]);
            prop_assert!(answer.texts.len() <= 2);
        }
    }
}
