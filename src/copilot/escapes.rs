//! Secrets that only show once JSON's escapes are undone: some encoders write `tid\u003d` for `tid=`, or `\/` for `/`.

use std::sync::LazyLock;

use memchr::memchr;
use memchr::memmem::Finder;
use serde_json::Value;

use crate::exchange::redact;

/// Whether a JSON text writes with an escape what a secret may be made of: a slash, or another printable ASCII character.
///
/// `<`, `>` and `&` are in no secret's shape, and many encoders escape them always.
pub(super) fn may_hide_a_secret(json: &[u8]) -> bool {
    // Source code is full of other escapes; most bodies have none of these, which takes a fraction of the time to see.
    TELLING.iter().any(|escape| escape.find(json).is_some()) && has_telling_escape(json)
}

/// What such escapes begin with; made once, since most texts are short.
static TELLING: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| [Finder::new(br"\/"), Finder::new(br"\u00")]);

fn has_telling_escape(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(place) = memchr(b'\\', rest) {
        let (_, escape) = rest.split_at(place);
        match escape {
            [_, b'/', ..] => return true,
            [_, b'u', b'0', b'0', high, low, ..] if is_telling(*high, *low) => return true,
            _ => rest = escape.get(2..).unwrap_or_default(),
        }
    }
    false
}

/// Whether the last two digits of an escape `\\u00xx` name such a character.
fn is_telling(high: u8, low: u8) -> bool {
    let is_plain = matches!((high, low.to_ascii_lowercase()), (b'2', b'6') | (b'3', b'c' | b'e'));
    (b'2'..=b'7').contains(&high) && !is_plain
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
