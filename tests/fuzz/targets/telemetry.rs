//! Any bytes as a client's telemetry, as GitHub's answer about the account, and as what was not recognised: what is taken is
//! short, outlives the spool, and shows no tracking id; and a sample holds no text of the body.

#![no_main]

use copilens::copilot::observation::Notice;
use copilens::copilot::unrecognised::Unrecognised;
use copilens::copilot::{account, telemetry, tracking_id};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Longest text that is taken: two of the longest ids.
const LONGEST: usize = 260;
/// Longest sample.
const SAMPLE: usize = 16 << 10;

fuzz_target!(|input: &[u8]| {
    the_facts_are_short_and_kept(input);
    no_tracking_id_is_shown(input);
    a_sample_is_bounded_and_shows_no_text(input);
});

fn the_facts_are_short_and_kept(body: &[u8]) {
    let reported = telemetry(body);
    for unrecognised in &reported.unrecognised {
        assert!(unrecognised.sample.len() <= SAMPLE && unrecognised.place.starts_with("telemetry_"));
    }
    let told = serde_json::to_value(Notice::Telemetry(reported.observations)).expect("a notice is JSON");
    is_short(&told);
    let read: Notice = serde_json::from_value(told.clone()).expect("a notice can be read");
    assert_eq!(serde_json::to_value(read).expect("a notice is JSON"), told);
}

fn is_short(value: &Value) {
    match value {
        Value::String(text) => assert!(text.len() <= LONGEST && !text.contains('\n'), "{text}"),
        Value::Array(values) => values.iter().for_each(is_short),
        Value::Object(fields) => fields.values().for_each(is_short),
        _ => {}
    }
}

fn no_tracking_id_is_shown(body: &[u8]) {
    for path in ["/user", "/copilot_internal/user", "/copilot_internal/v2/token"] {
        let Some(seen) = account(path, body) else { continue };
        assert!(!format!("{seen:?}").contains("tracking_id: Some"));
        is_short(&serde_json::to_value(&seen.account).expect("an account is JSON"));
    }
    if let Ok(text) = std::str::from_utf8(body) {
        assert!(tracking_id(text).is_none_or(|id| !id.is_empty() && !id.contains([';', ':'])));
    }
}

/// Text that is a line of its own and no JSON has no letter in its sample other than the mask's.
fn a_sample_is_bounded_and_shows_no_text(body: &[u8]) {
    assert!(Unrecognised::of("place", body).sample.len() <= SAMPLE);
    let text = [&b"("[..], body].concat();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let sample = Unrecognised::of("place", line).sample;
    assert!(sample.chars().all(|shown| shown == 'x' || !shown.is_alphabetic()), "{sample}");
    assert_eq!(sample, Unrecognised::of("place", sample.as_bytes()).sample, "masked already");
}
