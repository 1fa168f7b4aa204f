//! Bodies as a record shows them: JSON as JSON, a stream as the list of its events, and anything else as the text it is.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::escapes;
use super::problem::Problem;
use super::sse;

/// Data of the event that ends a stream; it carries nothing and no record shows it.
const DONE: &[u8] = b"[DONE]";

/// Levels of JSON beyond which a body is shown as text: a record nests it a few levels deeper, and `serde_json` reads back no
/// more than 128.
const DEEPEST: usize = 100;

/// The content of an answer's body.
#[derive(Debug, PartialEq)]
pub(super) struct AnswerContent {
    /// One element a streamed event, one for any other body, none for an empty one.
    pub(super) values: Vec<Value>,
    /// Whether it was a stream of events.
    pub(super) streamed: bool,
    /// [`Problem::NotJson`] where any element is no JSON.
    pub(super) problem: Option<Problem>,
    /// The first element that is none.
    pub(super) unread: Option<Vec<u8>>,
}

/// The content of a request's body; null where it is empty.
pub(super) fn request(body: &[u8]) -> (Value, Option<Problem>) {
    if body.is_empty() { (Value::Null, None) } else { value(body, parsed(body).1) }
}

/// The content of an answer's body, of the media type that `content_type` names.
///
/// Copilot sends streamed chat answers as `application/json` too, so the body's look counts as well.
pub(super) fn answer(body: &[u8], content_type: Option<&str>) -> AnswerContent {
    if is_event_stream(content_type) || looks_like_events(body) {
        let events: Vec<_> = sse::events(body).map(|event| event.data).collect();
        if !events.is_empty() {
            return collect(events.iter().map(AsRef::as_ref).filter(|data| *data != DONE).map(parsed), true);
        }
    }
    collect(Some(body).filter(|body| !body.is_empty()).map(parsed).into_iter(), false)
}

/// The messages of a WebSocket's answer: JSON texts one after another, a line feed between them. After what is no JSON it goes
/// on with the next line.
pub(super) fn messages(body: &[u8]) -> AnswerContent {
    let mut rest = body.trim_ascii_start();
    let parts = std::iter::from_fn(move || {
        let mut texts = serde_json::Deserializer::from_slice(rest).into_iter();
        let parsed = texts.next()?.ok();
        let end = match parsed {
            Some(_) => texts.byte_offset(),
            None => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at_checked(end)?;
        rest = after.trim_ascii_start();
        Some((part, parsed))
    });
    collect(parts, true)
}

/// Puts the elements together from their bytes and what these are in JSON.
fn collect<'a>(parts: impl Iterator<Item = (&'a [u8], Option<Value>)>, streamed: bool) -> AnswerContent {
    let mut content = AnswerContent { values: Vec::new(), streamed, problem: None, unread: None };
    for (part, parsed) in parts {
        let (value, problem) = value(part, parsed);
        if problem.is_some() && content.problem.is_none() {
            content.unread = Some(part.to_vec());
            content.problem = problem;
        }
        content.values.push(value);
    }
    content
}

fn parsed(part: &[u8]) -> (&[u8], Option<Value>) {
    (part, serde_json::from_slice(part).ok())
}

/// JSON, else text, else base64. What nests too deep and numbers out of range are no JSON here.
fn value(bytes: &[u8], parsed: Option<Value>) -> (Value, Option<Problem>) {
    match parsed {
        Some(mut value) if is_within(DEEPEST, &value) => {
            if escapes::may_hide_a_secret(bytes) {
                escapes::mask(&mut value);
            }
            (value, None)
        }
        _ => (text(bytes), Some(Problem::NotJson)),
    }
}

fn is_within(levels: usize, value: &Value) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => false,
        Value::Array(values) => values.iter().all(|value| is_within(levels - 1, value)),
        Value::Object(fields) => fields.values().all(|value| is_within(levels - 1, value)),
        _ => true,
    }
}

fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

fn is_event_stream(content_type: Option<&str>) -> bool {
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("text/event-stream")
}

fn looks_like_events(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii_start();
    [&b"data:"[..], b"event:", b":"].iter().any(|start| body.starts_with(start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: Option<&str> = Some("text/event-stream; charset=utf-8");
    const JSON: Option<&str> = Some("application/json");

    fn values(body: &str, content_type: Option<&str>) -> Value {
        answer(body.as_bytes(), content_type).values.into()
    }

    #[test]
    fn a_request_is_json_or_text_or_base64_or_null() {
        assert_eq!(request(br#"{"b":1,"a":[true]}"#), (json!({"b": 1, "a": [true]}), None));
        assert_eq!(request(b"a=1&b=2"), (json!("a=1&b=2"), Some(Problem::NotJson)));
        assert_eq!(request(b"\xFF{"), (json!({"base64": "/3s="}), Some(Problem::NotJson)));
        assert_eq!(request(b""), (Value::Null, None));
    }

    #[test]
    fn keys_keep_their_order() {
        assert_eq!(request(br#"{"z":1,"a":2}"#).0.to_string(), r#"{"z":1,"a":2}"#);
    }

    #[test]
    fn what_does_not_parse_is_text() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for text in [deep.as_str(), r#"{"a":1e400}"#, r#"{"a":"#, " ", "nul"] {
            assert_eq!(request(text.as_bytes()), (json!(text), Some(Problem::NotJson)));
            assert_eq!(values(text, JSON), json!([text]));
        }
    }

    #[test]
    fn json_is_json_as_deep_as_a_record_can_hold_it() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(request(nested(DEEPEST).as_bytes()).0.is_array());
        assert!(request(nested(DEEPEST + 1).as_bytes()).0.is_string());
    }

    #[test]
    fn a_stream_is_the_list_of_its_events() {
        let body = "data: {\"a\":1}\n\n: ping\n\ndata: oops\n\ndata: [DONE]\n\n";
        let expected = AnswerContent {
            values: vec![json!({"a": 1}), json!("oops")],
            streamed: true,
            problem: Some(Problem::NotJson),
            unread: Some(b"oops".to_vec()),
        };
        assert_eq!(answer(body.as_bytes(), STREAM), expected);
        assert_eq!(answer(body.as_bytes(), JSON), expected);
    }

    #[test]
    fn the_messages_of_a_websocket_are_read_one_by_one() {
        let content = messages(b"\n{\"a\":1}\n{\n \"b\": 2\n}\n{\"c\":3}{\"d\":4}\noops {\"e\":5}\n{\"f\":6}\n{\"g\":");
        let expected = json!([{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}, "oops {\"e\":5}", {"f": 6}, "{\"g\":"]);
        assert_eq!((Value::from(content.values), content.streamed), (expected, true));
        assert_eq!((content.problem, content.unread), (Some(Problem::NotJson), Some(b"oops {\"e\":5}".to_vec())));
        assert_eq!(messages(b" ").values, Vec::<Value>::new());
    }

    #[test]
    fn a_stream_is_known_by_its_look() {
        for body in ["\u{feff}data:{}\n\n", "\n data:{}\n\ndata:{}", "event: a\ndata: {}\n\n", ": hi\n\ndata: {}\n\n"] {
            let content = answer(body.as_bytes(), None);
            assert_eq!((content.streamed, content.values), (true, vec![json!({})]), "{body}");
        }
    }

    #[test]
    fn a_finished_stream_without_events_is_empty_but_streamed() {
        assert_eq!(
            answer(b"data: [DONE]\n\n", STREAM),
            AnswerContent { values: vec![], streamed: true, problem: None, unread: None }
        );
    }

    #[test]
    fn a_stream_cut_anywhere_keeps_what_came() {
        let body = "data: {\"a\":1}\n\ndata: {\"é\":2}\n\ndata: [DONE]\n\n".as_bytes();
        for cut in 15..body.len() {
            assert_eq!(answer(&body[..cut], STREAM).values[0], json!({"a": 1}), "cut at {cut}");
        }
    }

    #[test]
    fn an_error_sent_as_a_stream_is_not_lost() {
        assert_eq!(values(r#"{"error":"no"}"#, STREAM), json!([{"error": "no"}]));
        assert_eq!(values("upstream said no", STREAM), json!(["upstream said no"]));
    }

    #[test]
    fn other_bodies_are_one_element_and_empty_ones_none() {
        assert_eq!(values(r#"{"a":1}"#, JSON), json!([{"a": 1}]));
        assert_eq!(values("<html>", Some("text/html")), json!(["<html>"]));
        assert_eq!(values("", JSON), json!([]));
        assert_eq!(values("", STREAM), json!([]));
    }

    proptest! {
        /// A record is written, read by `rebuild` and compared: a number that moves by its last bit is another one.
        #[test]
        fn numbers_stay_what_was_sent(number in any::<f64>().prop_filter("JSON has no other", |number| number.is_finite())) {
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(request(text.as_bytes()).0.as_f64(), Some(number));
        }

        #[test]
        fn no_bytes_are_lost_or_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(answer(&bytes, None).values.is_empty() && !answer(&bytes, None).streamed, bytes.is_empty());
            prop_assert_eq!(messages(&bytes).values.is_empty(), bytes.trim_ascii().is_empty());
        }
    }
}
