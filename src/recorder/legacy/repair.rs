//! Bodies as the add-on left them. It ran them through Python's `eval` after replacing `true`, `false` and `null` everywhere,
//! and took every blank and backslash out of streamed answers. What parsed is JSON in its record, the rest is text.
//!
//! Blanks, backslashes and words within texts are gone for good: nothing tells which of them were there. What can be read
//! again is JSON that is only JSON no more for Python's words.

use serde_json::Value;

/// Data of the event that ends a stream. The add-on left it out where it stood alone.
const DONE: &str = "[DONE]";

/// A body as far as it can be had back.
#[derive(Debug, PartialEq)]
pub(super) enum Body {
    /// The data of a stream's events, without blanks and backslashes.
    Stream(Vec<Value>),
    /// JSON or text.
    Whole(Value),
}

/// A request's body.
pub(super) fn request(content: Value) -> Value {
    match content {
        Value::String(text) => json_again(&text).unwrap_or(Value::String(text)),
        content => content,
    }
}

/// An answer's body: the add-on made a list of streams alone.
pub(super) fn answer(content: Value) -> Body {
    match content {
        Value::Array(events) => Body::Stream(events.into_iter().filter(tells_anything).map(request).collect()),
        content => Body::Whole(request(content)),
    }
}

/// What follows a stream's last blank line was an event of no text to the add-on.
fn tells_anything(event: &Value) -> bool {
    event.as_str().is_none_or(|text| !matches!(text.trim(), "" | DONE))
}

/// An object or a list that is JSON, be it after Python's words are JSON's again.
fn json_again(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&with_json_words(text))).ok()
}

/// `True`, `False` and `None` outside of strings as JSON has them.
fn with_json_words(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(char) = rest.chars().next() {
        let word = [("True", "true"), ("False", "false"), ("None", "null")]
            .into_iter()
            .find(|(python, _)| rest.starts_with(python));
        let (taken, written) = match (char, word) {
            ('\\', _) if in_string => {
                let escape = rest.chars().take(2).map(char::len_utf8).sum();
                (escape, rest.get(..escape).unwrap_or_default())
            }
            ('"', _) => {
                in_string = !in_string;
                (1, "\"")
            }
            (_, Some((python, json))) if !in_string => (python.len(), json),
            _ => (char.len_utf8(), rest.get(..char.len_utf8()).unwrap_or_default()),
        };
        fixed.push_str(written);
        rest = rest.get(taken..).unwrap_or_default();
    }
    fixed
}

impl Body {
    /// The body as it might have been sent.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Whole(body) => bytes(body),
            Self::Stream(events) if events.is_empty() => Vec::new(),
            Self::Stream(events) => {
                let mut stream = Vec::new();
                for event in events.into_iter().chain([Value::from(DONE)]) {
                    for line in bytes(event).split(|byte| *byte == b'\n') {
                        stream.extend_from_slice(b"data: ");
                        stream.extend_from_slice(line);
                        stream.push(b'\n');
                    }
                    stream.push(b'\n');
                }
                stream
            }
        }
    }
}

/// Text as it is, nothing for null, and JSON.
pub(super) fn bytes(body: Value) -> Vec<u8> {
    match body {
        Value::Null => Vec::new(),
        Value::String(text) => text.into_bytes(),
        body => body.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn pythons_words_outside_of_texts_are_jsons_again() {
        let text = r#"{"stream": True, "stop": None, "x": [False], "text": "None of \"True\" \\"}"#;
        let expected = json!({"stream": true, "stop": null, "x": [false], "text": r#"None of "True" \"#});
        assert_eq!(request(Value::from(text)), expected);
        assert_eq!(request(json!({"a": "True"})), json!({"a": "True"}));
    }

    #[test]
    fn what_is_no_json_any_more_stays_as_text() {
        for text in [r#"{"a":"b"c"}"#, "True", "", "{True", "plain"] {
            assert_eq!(request(Value::from(text)), Value::from(text));
        }
    }

    #[test]
    fn a_stream_loses_what_the_add_on_put_behind_it() {
        let content = json!([{"a": 1}, r#"{"b":True}"#, "no\njson", "[DONE]\n", ""]);
        let Body::Stream(events) = answer(content) else { panic!("no stream") };
        assert_eq!(json!(events), json!([{"a": 1}, {"b": true}, "no\njson"]));
        let sent = String::from_utf8(Body::Stream(events).into_bytes()).unwrap();
        assert_eq!(sent, "data: {\"a\":1}\n\ndata: {\"b\":true}\n\ndata: no\ndata: json\n\ndata: [DONE]\n\n");
    }

    #[test]
    fn other_answers_are_whole() {
        assert_eq!(answer(json!({"error": "no"})), Body::Whole(json!({"error": "no"})));
        assert_eq!(answer(json!("data: {}")).into_bytes(), b"data: {}");
        assert_eq!(answer(Value::Null).into_bytes(), b"");
        assert_eq!(answer(json!([""])).into_bytes(), b"");
    }

    proptest! {
        #[test]
        fn json_stays_what_it_is(text in "[\\[{\"TrueFalsN,:\\\\é\\]} ]{0,40}") {
            if let Ok(json) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(serde_json::from_str::<Value>(&with_json_words(&text)).unwrap(), json);
            }
            let _ = request(Value::from(text));
        }
    }
}
