//! What holds of any body.

use proptest::prelude::*;

use super::*;

/// Any JSON of a few levels.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[a-z]{100,300}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".{0,8}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn every_known_event() -> Vec<Value> {
    let block = json!({"messageId": "i-7", "codeBlockIndex": "0"});
    vec![
        ghost_text("accepted", json!({"compType": "partial"}), json!({"compCharLen": 6, "numLines": 1})),
        ghost_text("stillInCode", json!({}), json!({"timeout": 15, "stillInCodeHeuristic": 1})),
        next_edit("accepted", 1),
        standard("conversation.acceptedInsert", block, json!({"acceptedLength": 3})),
        standard("panel.edit.feedback", json!({"requestId": "r", "outcome": "accepted"}), json!({})),
        standard("inline.done", json!({"requestId": "r"}), json!({"accepted": 1, "editLineCount": 2})),
        shutdown(json!({"session_id": "s-1"})),
    ]
}

/// The places of a document's values.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let inside: Vec<String> = match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| pointers(value, &format!("{at}/{key}"))).collect()
        }
        _ => vec![],
    };
    [vec![at.to_owned()], inside].concat()
}

/// Whether everything taken from a body is short and in one line.
fn is_harmless(observation: &Observation) -> bool {
    fn strings(value: &Value) -> Vec<&str> {
        match value {
            Value::String(text) => vec![text],
            Value::Array(values) => values.iter().flat_map(strings).collect(),
            Value::Object(fields) => fields.values().flat_map(strings).collect(),
            _ => vec![],
        }
    }
    let value = serde_json::to_value(observation).unwrap();
    let short = |text: &str| text.len() <= 160 && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    strings(&value).into_iter().all(short)
}

proptest! {
    #[test]
    fn any_json_may_stand_anywhere(other in any_json(), event in 0_usize..7, place in any::<prop::sample::Index>()) {
        let mut known = every_known_event().swap_remove(event);
        let pointers = pointers(&known, "");
        *known.pointer_mut(place.get(pointers.as_slice()).as_str()).unwrap() = other;
        let reported = telemetry(&lines(&[known.clone()]));
        prop_assert!(reported.observations.iter().all(is_harmless), "{:?}", reported);
        prop_assert_eq!(telemetry(known.to_string().as_bytes()).observations, reported.observations);
    }

    #[test]
    fn any_cut_keeps_the_events_before_it(cut in any::<prop::sample::Index>(), as_array in any::<bool>()) {
        let events = every_known_event();
        let body = if as_array { serde_json::to_vec(&events).unwrap() } else { lines(&events) };
        let whole = telemetry(&body).observations;
        let cut = &body[..cut.index(body.len())];
        prop_assert!(whole.starts_with(&telemetry(cut).observations), "{}", String::from_utf8_lossy(cut));
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(telemetry(&bytes).observations, []);
    }
}
