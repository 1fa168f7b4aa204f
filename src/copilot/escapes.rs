//! Secrets that only show once JSON's escapes are undone: some encoders write `tid\u003d` for `tid=`, or `\/` for `/`.

use memchr::memmem;
use serde_json::Value;

use crate::exchange::redact;

/// Whether a JSON text writes with an escape what a secret may be made of: a slash, or another printable ASCII character.
///
/// `<`, `>` and `&` are in no secret's shape, and many encoders escape them always. A backslash that is itself escaped begins
/// nothing.
pub(super) fn may_hide_a_secret(json: &[u8]) -> bool {
    let begins = |place: usize| {
        let before = json.get(..place).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
    };
    memmem::find_iter(json, br"\/").any(begins)
        || memmem::find_iter(json, br"\u00")
            .any(|place| json.get(place + 4..place + 6).is_some_and(is_telling) && begins(place))
}

/// Whether the last two digits of an escape `\\u00xx` name such a character.
fn is_telling(digits: &[u8]) -> bool {
    let is_printable = digits.first().is_some_and(|digit| (b'2'..=b'7').contains(digit));
    is_printable && ![b"26", b"3c", b"3e"].iter().any(|plain| digits.eq_ignore_ascii_case(*plain))
}

/// Masks every text in a value.
pub(super) fn mask(value: &mut Value) {
    match value {
        Value::String(text) => redact::text(text),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_that_may_hide_a_secret_are_told_from_others() {
        for json in [r#""tid\u003dx""#, r#""a\/b""#, r#""\\\/""#, r#""\u0022""#, r#""\u003Ex \u006F""#] {
            assert!(may_hide_a_secret(json.as_bytes()), "{json}");
        }
        for json in [
            r#""a\nb\"c""#,
            r#""\u003c \u003E \u0026 \u00e9 \u001b""#,
            r#""\\/ \\u003d""#,
            r#""\u0 \u00""#,
            r#""a/b""#,
            "\\u003",
            "",
        ] {
            assert!(!may_hide_a_secret(json.as_bytes()), "{json}");
        }
    }

    proptest! {
        /// Whatever letters of a token are escaped, it is masked.
        #[test]
        fn a_token_is_masked_however_it_is_written(escaped in prop::collection::vec(any::<bool>(), 30)) {
            let token = "gho_canaryCANARY0123456789abcd";
            let letters = token.chars().zip(&escaped);
            let written: String = letters
                .map(|(letter, escaped)| if *escaped { format!("\\u{:04x}", u32::from(letter)) } else { letter.to_string() })
                .collect();
            let json = format!("[\"my \\u003c {written} \\n\"]").into_bytes();
            let mut value: Value = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(may_hide_a_secret(&json), escaped.contains(&true));
            mask(&mut value);
            prop_assert!(!value.to_string().contains("canary"));
        }
    }
}
