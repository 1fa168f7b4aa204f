//! Secrets in bodies: found by their shape, masked in place so that lengths, JSON and UTF-8 stay what they were.
//!
//! It runs on the hot path, so it first looks for a few rare words with vectorised search; a body that holds none of them
//! costs nothing more.

use std::ops::Range;

use memchr::memmem;

/// Shortest credential that is taken for one: below it are words of prose and code.
const SHORTEST: usize = 20;

/// A word that betrays a secret near it, and what finds the secret's extent from the word's place.
type Shape = (&'static [u8], fn(&[u8], usize) -> Option<Range<usize>>);

/// Token prefixes: <https://github.blog/engineering/behind-githubs-new-authentication-token-formats/>.
const SHAPES: &[Shape] = &[
    (b"gho_", github_token),
    (b"ghp_", github_token),
    (b"ghu_", github_token),
    (b"ghs_", github_token),
    (b"ghr_", github_token),
    (b"github_pat_", fine_grained_token),
    (b"tid=", copilot_token),
    (b"earer ", bearer),
    (b"oken", json_value),
    (b"ecret", json_value),
];

/// Overwrites with `*` whatever has the shape of a credential: GitHub tokens, Copilot tokens, bearer tokens, and JSON
/// strings of 20 characters or more under a key that ends in `token` or `secret` (quoted JSON in JSON included).
pub fn body(bytes: &mut [u8]) {
    for (word, extent) in SHAPES {
        mask_all(bytes, word, *extent);
    }
}

/// [`body`] for a text that lost its blanks, as answers in a legacy add-on's records: there a token follows `Bearer` at once.
pub fn body_without_blanks(bytes: &mut [u8]) {
    mask_all(bytes, b"earer", bearer_without_blank);
    body(bytes);
}

/// [`body`] for a text of its own, such as a JSON string after its escapes are undone.
pub fn text(text: &mut String) {
    let mut bytes = std::mem::take(text).into_bytes();
    body(&mut bytes);
    // A mask is ASCII for whole characters, so the text stays UTF-8; were it not so, it would be better lost than shown.
    *text = String::from_utf8(bytes).unwrap_or_default();
}

fn mask_all(bytes: &mut [u8], word: &[u8], extent: fn(&[u8], usize) -> Option<Range<usize>>) {
    let mut from = 0;
    while let Some(found) = bytes.get(from..).and_then(|rest| memmem::find(rest, word)) {
        let place = from + found;
        from = place + word.len();
        let Some(secret) = extent(bytes, place) else { continue };
        from = from.max(secret.end);
        if let Some(secret) = bytes.get_mut(secret) {
            secret.fill(b'*');
        }
    }
}

/// `gho_` and its kin, then 20 or more letters and digits.
fn github_token(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    prefixed(bytes, place, b"gho_".len(), |byte| byte.is_ascii_alphanumeric())
}

/// `github_pat_`, then 20 or more letters, digits and underscores.
fn fine_grained_token(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    prefixed(bytes, place, b"github_pat_".len(), |byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn prefixed(bytes: &[u8], place: usize, prefix: usize, is_part: fn(u8) -> bool) -> Option<Range<usize>> {
    let end = run_end(bytes, place + prefix, is_part);
    (end - place >= prefix + SHORTEST).then_some(place..end)
}

/// `tid=...;exp=...;...:signature` up to a quote, a space, a backslash or the end. The extent is empty where the run is no
/// token: that passes over it, so that a body of nothing but `tid=` is still searched in linear time.
fn copilot_token(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    let end = run_end(bytes, place, |byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\'));
    let is_token = memmem::find(bytes.get(place..end)?, b";exp=").is_some();
    // After a backslash, the `t` may be a tab's, and JSON knows no other letter in its place.
    let is_escaped = place.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\\');
    Some(if is_token { place + usize::from(is_escaped)..end } else { end..end })
}

/// The credentials after `Bearer `: RFC 6750 section 2.1, and the `;` and `:` of Copilot tokens.
fn bearer(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    let scheme = place.checked_sub(1).and_then(|first| bytes.get(first))?;
    let start = place + b"earer ".len();
    let end = run_end(bytes, start, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=;:".contains(&byte));
    (matches!(scheme, b'B' | b'b') && end - start >= SHORTEST).then_some(start..end)
}

/// As [`bearer`], of which a digit tells it from a name such as `BearerAuthenticationFilter`.
fn bearer_without_blank(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    let scheme = place.checked_sub(1).and_then(|first| bytes.get(first))?;
    let start = place + b"earer".len();
    let end = run_end(bytes, start, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=;:".contains(&byte));
    let has_digit = bytes.get(start..end)?.iter().any(u8::is_ascii_digit);
    (matches!(scheme, b'B' | b'b') && end - start >= SHORTEST && has_digit).then_some(start..end)
}

/// The string value of the JSON key that the word at `place` ends. Both are quoted alike: other quotes belong to a string
/// around them.
fn json_value(bytes: &[u8], place: usize) -> Option<Range<usize>> {
    let key_end = run_end(bytes, place, |byte| byte.is_ascii_alphabetic());
    let (escapes, after_key) = quote(bytes, key_end)?;
    let colon = skip_space(bytes, after_key);
    let value = (bytes.get(colon) == Some(&b':')).then(|| skip_space(bytes, colon + 1))?;
    let (_, start) = quote(bytes, value).filter(|(of_value, _)| *of_value == escapes)?;
    let end = string_end(bytes, start, escapes);
    (end - start >= SHORTEST).then_some(start..end)
}

/// The number of backslashes before a quote, which are there where it is in a string itself, and the place after it.
fn quote(bytes: &[u8], place: usize) -> Option<(usize, usize)> {
    let quote = run_end(bytes, place, |byte| byte == b'\\');
    (bytes.get(quote) == Some(&b'"')).then_some((quote - place, quote + 1))
}

fn skip_space(bytes: &[u8], place: usize) -> usize {
    run_end(bytes, place, |byte| byte.is_ascii_whitespace())
}

/// Where a JSON string ends whose quotes are escaped by `escapes` backslashes. A quote in it has as many again and one more,
/// after any number of backslashes of the string, which are two of those each.
fn string_end(bytes: &[u8], start: usize, escapes: usize) -> usize {
    let in_string = 2 * escapes + 1;
    let mut place = start;
    while place < bytes.len() {
        let run = run_end(bytes, place, |byte| byte == b'\\');
        if bytes.get(run) == Some(&b'"') && (run - place) % (in_string + 1) != in_string {
            return place;
        }
        place = run + 1;
    }
    bytes.len()
}

/// The end of the run of bytes from `place` on that `is_part` accepts.
fn run_end(bytes: &[u8], place: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(place..).unwrap_or_default();
    place + rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        body(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn canaries_of_every_shape_are_masked() {
        let secrets = [
            "gho_canaryCANARY0123456789",
            "ghp_canaryCANARY0123456789",
            "ghu_canaryCANARY0123456789",
            "ghs_canaryCANARY0123456789",
            "ghr_canaryCANARY0123456789",
            "github_pat_canary_CANARY_0123456789",
            "tid=canary;ol=1,2;exp=1735400000;sku=yearly;8kp=1:canary",
        ];
        for secret in secrets {
            for (before, after) in
                [("", ""), ("{\"a\":\"", "\"}"), ("x = '", "' # y"), ("\\\"", "\\\" z"), ("a ", "\nb")]
            {
                let expected = format!("{before}{}{after}", "*".repeat(secret.len()));
                assert_eq!(masked(&format!("{before}{secret}{after}")), expected, "{before}{secret}{after}");
            }
        }
    }

    #[test]
    fn without_blanks_a_bearer_token_follows_its_scheme() {
        let masked = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            body_without_blanks(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(
            masked("Authorization:Bearercanary-0123456789abc\""),
            format!("Authorization:Bearer{}\"", "*".repeat(20))
        );
        assert_eq!(masked("Bearer canary-0123456789abc"), format!("Bearer {}", "*".repeat(20)));
        for text in ["newBearerAuthenticationFilterOfMine()", "Bearer0123", "gearer0123456789abcdefghijkl"] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn bearer_tokens_keep_their_scheme() {
        assert_eq!(
            masked("-H 'Authorization: Bearer canary.canary-canary_1'"),
            "-H 'Authorization: Bearer **********************'"
        );
        assert_eq!(masked("bearer canary/canary+canary=="), "bearer **********************");
        assert_eq!(masked("the bearer of this letter"), "the bearer of this letter");
    }

    #[test]
    fn json_values_under_secret_keys_are_masked() {
        for key in ["token", "access_token", "refresh_token", "client_secret", "accessToken"] {
            let text = format!(r#"{{"{key}" : "canary-é-canary-\"-canary","n":1}}"#);
            let shown = masked(&text);
            assert!(!shown.contains("canary"), "{shown}");
            assert_eq!(shown.len(), text.len());
            assert!(shown.ends_with(r#"","n":1}"#), "{shown}");
        }
    }

    #[test]
    fn json_quoted_in_json_is_masked_too() {
        let shown = masked(r#"{"text":"{\"token\":\"canary-canary-canary\",\"n\":1}"}"#);
        assert_eq!(shown, r#"{"text":"{\"token\":\"********************\",\"n\":1}"}"#);
    }

    #[test]
    fn json_stays_json() {
        let stars = "*".repeat(20);
        for (text, expected) in [
            (r#"{"token":"canary-canary-canary\\","n":"1"}"#, format!(r#"{{"token":"{stars}\\","n":"1"}}"#)),
            (
                r#"["{\"token\":\"canary-canary-canary\\\\\",\"n\":1}"]"#,
                format!(r#"["{{\"token\":\"{stars}\\\\\",\"n\":1}}"]"#),
            ),
            (r#"["token\":",111111111111111111111111,"x"]"#, r#"["token\":",111111111111111111111111,"x"]"#.to_owned()),
            (r#"{"code":"\tid=1;exp=2;canary-canary"}"#, format!(r#"{{"code":"\t{stars}****"}}"#)),
        ] {
            assert_eq!(masked(text), expected);
            assert!(serde_json::from_str::<serde_json::Value>(&masked(text)).is_ok(), "{text}");
        }
        let quoted = masked(r#"["{\"token\":\"canary-\\\"-canary-canary\"}"]"#);
        assert!(!quoted.contains("canary") && quoted.ends_with(r#"\"}"]"#), "{quoted}");
    }

    #[test]
    fn a_value_that_is_cut_off_is_masked_to_the_end() {
        assert_eq!(masked(r#"{"token":"canary-canary-canary-"#), format!(r#"{{"token":"{}"#, "*".repeat(21)));
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            r#"{"max_tokens":500,"token":"short","secret":null,"usage":{"prompt_tokens":20}}"#,
            r#"fn token(&self) -> &str { "a string that is long enough" }"#,
            "gho_short through ghp_ github_pat_x tid=1;sku=2 Bearer short",
            "",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn hostile_repetition_takes_linear_time() {
        for word in ["tid=", "token\":\"", "token\\\\", "Bearer ", "github_pat_", "gho_"] {
            assert_eq!(masked(&word.repeat(200_000)).len(), word.len() * 200_000);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_keep_their_length_and_masking_twice_changes_nothing(
            parts in prop::collection::vec("gho_|tid=|;exp=|Bearer |\"token\":\"|\\\\|\"| |[a-zA-Z0-9]{0,30}|\\PC{0,4}", 0..20)
        ) {
            let text: String = parts.concat();
            let once = masked(&text);
            prop_assert_eq!(once.len(), text.len());
            prop_assert_eq!(masked(&once), once);
        }
    }
}
