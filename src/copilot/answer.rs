//! Reads the answers of the completions and chat endpoints, streamed or not: text, model, finish reason, tokens.
//!
//! Everything in an answer may be missing or of a wrong type, and is absent then: `choices: []` and `choices: null` are
//! ordinary (a chunk that carries the usage alone).

use std::collections::BTreeMap;

use serde_json::Value;

use super::vocabulary::Tokens;

/// What an answer says, put together from its events.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Text of each choice, by its index.
    pub(super) texts: BTreeMap<u64, String>,
    /// The first model named.
    pub(super) model: Option<String>,
    /// The last finish reason named.
    pub(super) finish_reason: Option<String>,
    /// From the last event with a usage.
    pub(super) tokens: Tokens,
}

impl Answer {
    /// Puts the answer together from the elements of its content: events, or one body.
    pub(super) fn read(values: &[Value]) -> Self {
        let mut answer = Self::default();
        for value in values {
            answer.add(value);
        }
        answer
    }

    /// Whether any choice has text other than white space, which no editor shows.
    pub(super) fn has_text(&self) -> bool {
        self.texts.values().any(|text| !text.trim().is_empty())
    }

    fn add(&mut self, event: &Value) {
        if self.model.is_none() {
            self.model = non_empty(event.get("model"));
        }
        if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
            self.tokens = tokens(usage);
        }
        for choice in event.get("choices").and_then(Value::as_array).into_iter().flatten() {
            self.add_choice(choice);
        }
    }

    fn add_choice(&mut self, choice: &Value) {
        if let Some(reason) = non_empty(choice.get("finish_reason")) {
            self.finish_reason = Some(reason);
        }
        if let Some(text) = text(choice) {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or_default();
            self.texts.entry(index).or_default().push_str(text);
        }
    }
}

/// Completions have `text`; streamed chat has `delta.content`, other chat `message.content`.
fn text(choice: &Value) -> Option<&str> {
    let content = ["/text", "/delta/content", "/message/content"];
    content.into_iter().find_map(|place| choice.pointer(place)).and_then(Value::as_str)
}

fn tokens(usage: &Value) -> Tokens {
    let count = |place| usage.pointer(place).and_then(Value::as_u64);
    Tokens {
        input: count("/prompt_tokens"),
        output: count("/completion_tokens"),
        cached: count("/prompt_tokens_details/cached_tokens"),
        ..Tokens::default()
    }
}

/// A string that says something.
pub(super) fn non_empty(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

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
    fn the_last_usage_counts_even_without_choices() {
        let answer = Answer::read(&[
            json!({"usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
            json!({"choices": [], "usage": {"prompt_tokens": 24, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 16}}}),
            json!({"choices": [], "usage": null}),
        ]);
        assert_eq!(answer.tokens, Tokens { input: Some(24), output: Some(2), cached: Some(16), ..Tokens::default() });
    }

    #[test]
    fn white_space_is_no_text() {
        assert!(!Answer::read(&[json!({"choices": [{"text": " \n"}]})]).has_text());
        assert!(!Answer::read(&[json!({"choices": [{"delta": {"content": null, "tool_calls": []}}]})]).has_text());
        assert!(Answer::read(&[json!({"choices": [{"text": " x"}]})]).has_text());
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
            json!({"usage": {"prompt_tokens": -1, "completion_tokens": 1.5, "prompt_tokens_details": 4}}),
        ] {
            assert_eq!(Answer::read(std::slice::from_ref(&odd)), Answer::default(), "{odd}");
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
