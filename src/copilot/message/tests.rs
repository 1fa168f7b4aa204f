//! Messages in the shapes that clients and servers send, and what only looks like them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn upgrade() -> Vec<(String, String)> {
    fields(&[
        ("editor-version", "copilot/9.0.0"),
        ("x-initiator", "user"),
        ("x-interaction-id", "i-1"),
        ("x-interaction-type", "conversation-user"),
        ("x-request-id", "r-1"),
        ("x-agent-task-id", "t-1"),
    ])
}

/// Values of initiator, interaction, interaction type, request and editor.
fn said(fields: &[(String, String)]) -> [Option<&str>; 5] {
    ["x-initiator", "x-interaction-id", "x-interaction-type", "x-request-id", "editor-version"]
        .map(|name| value(fields, name))
}

#[test]
fn four_events_and_an_error_end_an_answer() {
    for kind in ["response.completed", "response.incomplete", "response.failed", "response.cancelled", "error"] {
        assert!(ends_answer(json!({"type": kind, "response": {}}).to_string().as_bytes()), "{kind}");
    }
    for kind in ["response.created", "response.output_text.delta", "response.output_text.done", "response.create", ""] {
        assert!(!ends_answer(json!({"type": kind}).to_string().as_bytes()), "{kind}");
    }
}

#[test]
fn the_type_is_found_wherever_it_stands() {
    for message in [
        r#"{"type":"error"}"#,
        "\r\n{ \"type\"\t: \"error\" , \"x\": 1 }",
        r#"{"response":{"type":"x","a":["}","]",{"type":"y"}]},"n":-1.5e3,"t":true,"type":"error"}"#,
        r#"{"s":"\"type\":\"x\",\\","":"","type":"error"}"#,
        r#"{"type":"error","rest":"is cut"#,
    ] {
        assert!(ends_answer(message.as_bytes()), "{message}");
    }
}

#[test]
fn what_only_looks_like_the_type_is_not() {
    for message in [
        r#"{"type":"response.output_text.delta","delta":"\"type\":\"error\""}"#,
        r#"{"item":{"type":"error"}}"#,
        r#"{"delta":"type","x":"error"}"#,
        r#"[{"type":"error"}]"#,
        r#""type":"error""#,
        r#"{"type":["error"]}"#,
        r#"{"type":"error"#,
        r#"{"type""error"}"#,
        "{",
        "",
    ] {
        assert!(!ends_answer(message.as_bytes()), "{message}");
    }
}

#[test]
fn a_message_speaks_for_itself() {
    let message = json!({
        "type": "response.create", "input": [{"initiator": "user"}], "initiator": "agent", "agent_task_id": "t-2",
        "headers": {"X-Interaction-Id": "i-2", "Copilot-Harness-Id": "sdk", "Authorization": "Bearer secret", "n": 1, "ü": "x"}
    });
    let found = Conversation::default().request(message.to_string().as_bytes(), &upgrade()).unwrap();
    assert_eq!(
        said(&found),
        [Some("agent"), Some("i-2"), Some("conversation-user"), Some("r-1"), Some("copilot/9.0.0")]
    );
    assert_eq!(value(&found, "x-agent-task-id"), Some("t-2"));
    assert_eq!(value(&found, "copilot-harness-id"), Some("sdk"));
    assert_eq!(value(&found, "authorization"), Some("Bearer [redacted]"));
    assert_eq!(found.iter().filter(|(name, _)| name == "x-initiator").count(), 1);
}

#[test]
fn only_requests_are_requests() {
    for message in [r#"{"type":"response.cancel"}"#, "{}", "", "response.create"] {
        assert_eq!(Conversation::default().request(message.as_bytes(), &upgrade()), None, "{message}");
    }
}

#[test]
fn what_the_upgrade_says_of_its_first_prompt_holds_for_no_later_one() {
    let mut conversation = Conversation::default();
    let mut ask = |initiator: &str, id: Option<&str>| {
        let mut message = json!({"type": "response.create", "initiator": initiator});
        if let Some(id) = id {
            message["headers"] = json!({"x-interaction-id": id});
        }
        conversation.request(message.to_string().as_bytes(), &upgrade()).unwrap()
    };
    let editor = Some("copilot/9.0.0");
    let kind = Some("conversation-user");
    assert_eq!(said(&ask("user", None)), [Some("user"), Some("i-1"), kind, Some("r-1"), editor]);
    assert_eq!(said(&ask("agent", None)), [Some("agent"), Some("i-1"), None, None, editor]);
    assert_eq!(said(&ask("user", Some("i-2"))), [Some("user"), Some("i-2"), None, None, editor]);
    assert_eq!(said(&ask("agent", None)), [Some("agent"), Some("i-2"), None, None, editor]);
    assert_eq!(said(&ask("user", None)), [Some("user"), None, None, None, editor]);
    assert_eq!(said(&ask("agent", None)), [Some("agent"), None, None, None, editor]);
}

proptest! {
    #[test]
    fn members_are_those_that_serde_finds(object in object(), space in "[ \r\n\t]{0,2}") {
        let text = serde_json::to_string_pretty(&object).unwrap() + &space;
        let found: Vec<_> = Members::of(text.as_bytes())
            .map(|(name, value)| (name.to_vec(), serde_json::from_slice::<Value>(value).unwrap()))
            .collect();
        let expected: Vec<_> = object.as_object().unwrap().iter().map(|(name, value)| {
            let quoted = serde_json::to_vec(name).unwrap();
            (quoted[1..quoted.len() - 1].to_vec(), value.clone())
        }).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(prop::sample::select(br#"{}[]",:\ typerx1"#.to_vec()), 0..60)) {
        let members: usize = Members::of(&bytes).map(|(name, value)| name.len() + value.len()).sum();
        prop_assert!(members <= bytes.len());
        let _ = ends_answer(&bytes);
        Conversation::default().request(&bytes, &[]);
    }
}

fn object() -> impl Strategy<Value = Value> {
    let text = "[a-z\"\\\\{}\\[\\],:é\n]{0,6}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text, inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(text, value, 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
}
