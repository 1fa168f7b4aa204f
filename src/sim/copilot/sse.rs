//! Server-sent events, and the cutting of a text into the pieces that a model would send.

use bytes::Bytes;
use serde_json::Value;

/// One `data:` event.
pub(super) fn data(event: &Value) -> Bytes {
    Bytes::from(format!("data: {event}\n\n"))
}

/// One event with its name, as the Responses and Messages interfaces send.
pub(super) fn named(event: &Value) -> Bytes {
    let name = event.get("type").and_then(Value::as_str).unwrap_or("message");
    Bytes::from(format!("event: {name}\ndata: {event}\n\n"))
}

/// The end of a stream of completions.
pub(super) fn done() -> Bytes {
    Bytes::from_static(b"data: [DONE]\n\n")
}

/// Cuts `text` into `count` pieces of about the same length; too short a text is repeated. Without a `count`, pieces
/// have about the length of a word. None at all for a `count` of 0 or an empty text.
pub(super) fn split(text: &str, count: Option<usize>) -> Vec<String> {
    let length = text.chars().count();
    let count = count.unwrap_or(length.div_ceil(6));
    if count == 0 || length == 0 {
        return Vec::new();
    }
    let total = length.max(count);
    let mut characters = text.chars().cycle();
    let cut = |index: usize| index * total / count;
    (0..count).map(|index| characters.by_ref().take(cut(index + 1) - cut(index)).collect()).collect()
}

/// Tokens of a text, by the rule of thumb of four characters each.
pub(super) fn tokens(text: &str) -> u64 {
    (text.chars().count() as u64).div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_text() {
        let text = "let größe = 1;";
        assert_eq!(split(text, None).concat(), text);
        assert_eq!(split(text, Some(5)).concat(), text);
        assert_eq!(split(text, Some(5)).len(), 5);
        assert_eq!(split("ab", Some(5)), ["a", "b", "a", "b", "a"]);
        assert!(split("ab", Some(0)).is_empty());
        assert!(split("", Some(3)).is_empty());
    }
}
