//! The messages of a WebSocket at `/responses`: which of them begin and end an exchange, and what a request says of itself.
//!
//! One connection carries many requests, and the upgrade's header fields were written for the first of them. Sources: Copilot
//! CLI 1.0.102 (seen live), VS Code's `chatWebSocketManager.ts` (2026).

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr2;
use serde_json::Value;

/// Header fields of an upgrade that speak of the first request alone.
const OF_THE_FIRST: [&str; 5] =
    ["x-initiator", "x-interaction-id", "x-interaction-type", "x-request-id", "x-agent-task-id"];
const INTERACTION: &str = "x-interaction-id";
const INITIATOR: &str = "x-initiator";

/// Members of a request that say what a header field says over HTTP.
const MEMBERS: [(&[u8], &str); 2] = [(b"initiator", INITIATOR), (b"agent_task_id", "x-agent-task-id")];

/// Fields of a request's `headers` that are looked at: the CLI sends five.
const MOST_FIELDS: usize = 64;

/// Whether a server's message is the last one of an answer.
///
/// On the proxy's hot path: reads no further than to the message's `type`, which comes first.
#[must_use]
pub fn ends_answer(message: &[u8]) -> bool {
    matches!(
        kind(message),
        Some(b"response.completed" | b"response.incomplete" | b"response.failed" | b"response.cancelled" | b"error")
    )
}

/// What the requests of one connection say of themselves, in the order in which they come.
#[derive(Debug, Default)]
pub struct Conversation {
    begun: bool,
    /// The user's prompt that the last request belongs to, where that is known.
    interaction: Option<String>,
}

impl Conversation {
    /// Header fields that hold for a client's message, with names in lower case; `None` where it is no request for an
    /// answer (`response.create`). `upgrade` has those of the upgrade.
    ///
    /// A message's own values stand before the upgrade's. Those of the upgrade that speak of its first prompt are left out
    /// of later requests, but for the interaction: what an agent does belongs to the prompt before it.
    pub fn request(&mut self, message: &[u8], upgrade: &[(String, String)]) -> Option<Vec<(String, String)>> {
        if kind(message) != Some(b"response.create") {
            return None;
        }
        let own = own_fields(message);
        let mut fields: Vec<_> = upgrade
            .iter()
            .filter(|(name, _)| !own.iter().any(|(field, _)| field == name))
            .filter(|(name, _)| !self.begun || !OF_THE_FIRST.contains(&name.as_str()))
            .cloned()
            .collect();
        fields.extend(own);
        if self.begun && value(&fields, INTERACTION).is_none() && value(&fields, INITIATOR) == Some("agent") {
            fields.extend(self.interaction.take().map(|id| (INTERACTION.to_owned(), id)));
        }
        self.begun = true;
        self.interaction = value(&fields, INTERACTION).map(str::to_owned);
        Some(fields)
    }
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
}

/// A message's `type`.
fn kind(message: &[u8]) -> Option<&[u8]> {
    let (_, kind) = Members::of(message).find(|(name, _)| *name == b"type")?;
    kind.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// What a request says in place of header fields: in `headers`, and in members of its own.
fn own_fields(message: &[u8]) -> Vec<(String, String)> {
    let headers = Members::of(message).find(|(name, _)| *name == b"headers");
    let mut fields = headers.map(|(_, object)| header_fields(object)).unwrap_or_default();
    for (name, value) in Members::of(message) {
        if let Some((_, field)) = MEMBERS.iter().find(|(member, _)| *member == name)
            && let Ok(Value::String(text)) = serde_json::from_slice(value)
            && let Ok(value) = HeaderValue::from_str(&text)
        {
            fields.insert(HeaderName::from_static(field), value);
        }
    }
    crate::exchange::redact::headers(&fields)
}

fn header_fields(object: &[u8]) -> HeaderMap {
    let Ok(Value::Object(members)) = serde_json::from_slice(object) else { return HeaderMap::new() };
    let fields = members.iter().take(MOST_FIELDS).filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
    });
    fields.collect()
}

/// The members of a JSON object, none of those inside them: names without quotes, values as they stand.
///
/// Names with escapes stay so. Ends at the first fault, such as the end of a cut message. Time grows with the length alone.
struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Members<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self { rest: message.trim_ascii_start().strip_prefix(b"{").unwrap_or_default() }
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.trim_ascii_start();
        Some(taken)
    }

    fn take_byte(&mut self, byte: u8) -> Option<()> {
        (self.take(1)? == [byte]).then_some(())
    }

    fn member(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.first() == Some(&b',') {
            self.take(1);
        }
        let name = self.take(string_length(self.rest)?)?;
        let name = name.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        self.take_byte(b':')?;
        let value = self.take(value_length(self.rest)?)?;
        Some((name, value))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.member();
        if member.is_none() {
            self.rest = &[];
        }
        member
    }
}

/// Length of the string at the beginning, quotes included; `None` where it has no end.
fn string_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    if bytes.first() != Some(&b'"') {
        return None;
    }
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(found)? {
            b'"' => return Some(found + 1),
            // Whatever is escaped, it is one byte at least, and no quote that ends the string.
            _ => at = found + 2,
        }
    }
}

/// Length of the value at the beginning; `None` where it has no end.
fn value_length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => string_length(bytes),
        b'{' | b'[' => nested_length(bytes),
        _ => bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n')),
    }
}

/// Length of the object or array at the beginning. That brackets match is not looked at: it does not matter here.
fn nested_length(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += string_length(bytes.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests;
