//! Samples keep shapes and no texts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn sample(body: &str) -> String {
    Unrecognised::of("place", body.as_bytes()).sample
}

fn shape(value: &Value) -> Value {
    serde_json::from_str(&sample(&value.to_string())).unwrap()
}

#[test]
fn json_keeps_its_structure_and_kinds() {
    let answer = json!({
        "id": "resp_81f", "type": "response.completed", "sequence_number": 7, "ratio": 0.25, "done": true, "none": null,
        "response": {"status": "in_progress", "output": [{"role": "assistant", "content": "let answer = 42;"}]},
        "finish_reason": "not a kind, but prose",
    });
    let expected = json!({
        "id": "8 characters", "type": "response.completed", "sequence_number": 0, "ratio": 0.5, "done": true, "none": null,
        "response": {"status": "in_progress", "output": [{"role": "assistant", "content": "16 characters"}]},
        "finish_reason": "21 characters",
    });
    assert_eq!(shape(&answer), expected);
    let unrecognised = Unrecognised::of("chat_answer", answer.to_string().as_bytes());
    assert_eq!(unrecognised, Unrecognised { place: "chat_answer".into(), sample: expected.to_string() });
    assert_eq!(Unrecognised::of_value("chat_answer", &answer), unrecognised);
}

#[test]
fn names_are_shown_of_events_alone() {
    let event = json!({"name": "x.Event", "data": {"baseType": "EventData", "baseData": {
        "name": "agent/ghostText.new", "properties": {"languageId": "go", "common.os": "linux", "type": "path/a"}}}});
    let expected = json!({"name": "7 characters", "data": {"baseType": "EventData", "baseData": {
        "name": "agent/ghostText.new",
        "properties": {"languageId": "2 characters", "common.os": "5 characters", "type": "path/a"}}}});
    assert_eq!(shape(&event), expected);
    let tool = json!({"type": "function", "function": {"name": "acme_billing"}});
    assert_eq!(shape(&tool), json!({"type": "function", "function": {"name": "12 characters"}}));
}

#[test]
fn keys_that_may_be_data_are_masked() {
    let keys = ["src/main.rs", "main.rs", "/home/octocat", "a b", "", "é", "f6298bff015c", "9lives", "$ref"];
    for key in keys.into_iter().chain([&*"k".repeat(65)]) {
        let masked = shape(&json!({ key: 1 }));
        assert_eq!(masked, json!({ format!("key 0 of {} characters", key.chars().count()): 0 }), "{key}");
    }
    let fine = json!({"x-quota_snapshot": 0, "VSCode.ABExp": 0, "maxTokens2": 0});
    assert_eq!(shape(&fine), fine);
}

#[test]
fn below_arguments_and_schemas_nothing_has_a_name() {
    let call = json!({"type": "tool_use", "input": {"acme": {"type": "acme"}, "list": [{"acme": "x"}]}});
    let expected = json!({"type": "tool_use", "input": {
        "key 0 of 4 characters": {"key 0 of 4 characters": "4 characters"},
        "key 1 of 4 characters": [{"key 0 of 4 characters": "1 characters"}]}});
    assert_eq!(shape(&call), expected);
    let request = json!({"input": [{"type": "message", "role": "user"}]});
    assert_eq!(shape(&request), request, "a list of messages is no data");
}

#[test]
fn what_is_long_is_cut() {
    assert_eq!(shape(&json!([1, 2, 3, 4, 5])), json!([0, 0, 0, "2 more"]));
    let many: serde_json::Map<_, _> = (0..2_000).map(|index| (format!("k{index}"), json!(index))).collect();
    let shown = shape(&Value::from(many));
    assert_eq!((shown.as_object().unwrap().len(), &shown["more"]), (101, &json!(1_900)));
    let deep = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(sample(&deep), format!("{}\"cut\"{}", "[".repeat(33), "]".repeat(33)));
    let row: serde_json::Map<_, _> = (0..100).map(|index| (format!("k{index}"), json!("x"))).collect();
    let table: serde_json::Map<_, _> = (0..100).map(|index| (format!("k{index}"), row.clone().into())).collect();
    let shown = mask::json(&table.into()).to_string();
    assert!(shown.matches("1 characters").count() < 2_000, "not even before the sample is cut");
}

#[test]
fn events_of_a_stream_are_masked_one_by_one() {
    let stream = "event: message_start\r\ndata: {\"type\":\"message_start\",\"text\":\"secret\"}\n\nevent: my own words\n\
                  data: {\"cut\":\n: ping\nid: 81\ndata: [DONE]\n";
    let expected = "event: message_start\ndata: {\"type\":\"message_start\",\"text\":\"6 characters\"}\n\nevent: xx xxx xxxxx\n\
                    data: {\"xxx\":\n: xxxx\nxx: 00\ndata: [DONE]\n";
    assert_eq!(sample(stream), expected);
}

#[test]
fn of_other_text_lines_and_punctuation_stay() {
    assert_eq!(sample("<html>\n  Bad gateway: 502, été\u{7}"), "<xxxx>\n  xxx xxxxxxx: 000, xxx?");
    assert_eq!(sample("{\"a\":\"b\"}\nno"), "{\"a\":\"1 characters\"}\nxx");
    assert_eq!(Unrecognised::of("p", b"\xFF\x00a").sample, "??x");
    assert_eq!(sample(""), "");
}

#[test]
fn tokens_do_not_get_through_as_kinds_or_keys() {
    let token = "ghp_aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgHiJ";
    for body in [json!({"type": token}), json!({token: 1}), json!({"event": token})] {
        assert!(!sample(&body.to_string()).contains("aBcDeF"), "{body}");
    }
}

/// Letters that none of the keys, kinds and words of the mask has.
const MARKER: &str = "[QZJVW]{4,30}";

fn marked() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        MARKER.prop_map(Value::from),
        (MARKER, MARKER).prop_map(|(one, other)| Value::from(format!("{one} = {other}();\n\"{one}\""))),
        (MARKER, MARKER).prop_map(|(one, other)| Value::from(json!({one: other}).to_string())),
        any::<f64>().prop_map(Value::from),
    ];
    text.prop_recursive(4, 40, 6, |inner| {
        let key = prop::sample::select(vec!["content", "name", "arguments", "text", "id", "input", "url", "x.y"]);
        let fields = prop::collection::vec((key, inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            fields.prop_map(|fields| Value::from_iter(fields.into_iter().map(|(key, value)| (key.to_owned(), value)))),
        ]
    })
}

fn has_marker(sample: &str) -> bool {
    sample.split(|letter| !"QZJVW".contains(letter)).any(|run| run.len() >= 4)
}

proptest! {
    #[test]
    fn no_text_gets_through(value in marked(), text in MARKER, cut in any::<prop::sample::Index>(), way in 0_u8..6) {
        let json = value.to_string();
        let cut = json.floor_char_boundary(cut.index(json.len() + 1));
        let body = match way {
            0 => json,
            1 => format!("event: a {text}\ndata: {json}\n\ndata: {text}\n\n: {text}\n{text}: {text}\n"),
            2 => format!("{json}\n{json}\n{text}"),
            3 => json[..cut].to_owned(),
            4 => serde_json::to_string_pretty(&value).unwrap() + &text,
            _ => json!({ "type": format!("{text} {text}"), format!("{text} "): value }).to_string(),
        };
        let sample = sample(&body);
        prop_assert!(!has_marker(&sample), "{body}\n{sample}");
    }

    #[test]
    fn any_bytes_give_a_bounded_sample(bytes in prop::collection::vec(any::<u8>(), 0..300), times in 1_usize..200) {
        let sample = Unrecognised::of("p", &bytes.repeat(times)).sample;
        prop_assert!(sample.len() <= LONGEST_SAMPLE);
    }
}
