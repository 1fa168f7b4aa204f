//! Reads the answers of every endpoint, streamed or not, into one shape: text, tool calls, model, finish reason, tokens.
//!
//! Each event tells by its own fields which interface it belongs to, so an answer is read whatever endpoint it came from
//! (agents answer like chat). Everything in it may be missing or of a wrong type, and is absent then; events and fields that
//! are not known pass.

mod chat;
mod messages;
mod responses;

use std::collections::BTreeMap;

use serde_json::Value;

use super::vocabulary::Tokens;

/// What an answer says, put together from its events.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Text of each choice (completions, chat) or part of the answer, by its index.
    pub(super) texts: BTreeMap<u64, String>,
    /// Tools called, numbered in their order.
    pub(super) calls: BTreeMap<usize, ToolCall>,
    /// The first model named.
    pub(super) model: Option<String>,
    /// The last finish reason named, in the interface's own word.
    pub(super) finish_reason: Option<String>,
    /// From the last event with a usage; Messages tells it in parts.
    pub(super) tokens: Tokens,
    /// The last `copilot_usage.total_nano_aiu`.
    pub(super) nano_aiu: Option<u64>,
    /// Whether the answer itself says that it failed.
    pub(super) failed: bool,
    /// Whether it brought what only clients of GitHub's agents read: references, confirmations.
    pub(super) has_extras: bool,
    /// `input_tokens` of Messages, which leaves out what the cache served and took.
    uncached_input: Option<u64>,
    /// The number in `calls` of the tool call at a place of the answer.
    open: BTreeMap<Place, usize>,
}

/// Where in an answer a tool call stands: choice and call, or output item and nothing.
type Place = (u64, u64);

/// A tool that the model calls.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ToolCall {
    /// The tool's name.
    pub(super) name: String,
    /// Its arguments as sent: JSON, or whatever text a freeform tool takes.
    pub(super) arguments: String,
    id: Option<String>,
}

impl Answer {
    /// Puts the answer together from the elements of its content: events, messages, or one body.
    pub(super) fn read(values: &[Value]) -> Self {
        let mut answer = Self::default();
        for value in values {
            answer.add(value);
        }
        answer
    }

    /// Whether any choice has text other than white space, which no editor shows.
    pub(super) fn has_text(&self) -> bool {
        self.texts.values().any(|text| !text.trim().is_empty())
    }

    /// Whether anything in it was known: if not, the interface is another than it was.
    pub(super) fn is_recognised(&self) -> bool {
        let has_usage = self.tokens != Tokens::default() || self.nano_aiu.is_some();
        let has_content = !self.texts.is_empty() || !self.calls.is_empty() || self.has_extras;
        has_content || has_usage || self.failed || self.finish_reason.is_some()
    }

    fn add(&mut self, event: &Value) {
        match text(event, "type") {
            Some("error") => self.failed = true,
            Some(kind) if kind.starts_with("response.") => responses::add_event(self, kind, event),
            Some(kind) if kind.starts_with("message") || kind.starts_with("content_block") => {
                messages::add(self, kind, event);
            }
            _ if text(event, "object") == Some("response") => {
                responses::add_response(self, event);
            }
            _ => chat::add(self, event),
        }
    }

    /// Takes what any object of an answer may tell about the whole: `model` and the price.
    fn add_common(&mut self, object: &Value) {
        if self.model.is_none() {
            self.model = non_empty(get(object, "model"));
        }
        self.add_price(get(object, "usage").and_then(|usage| get(usage, "copilot_usage")));
        self.add_price(get(object, "copilot_usage"));
    }

    /// Takes a `copilot_usage`.
    fn add_price(&mut self, usage: Option<&Value>) {
        self.nano_aiu = usage.and_then(|usage| count(usage, "total_nano_aiu")).or(self.nano_aiu);
    }

    fn finish(&mut self, reason: Option<&Value>) {
        if let Some(reason) = non_empty(reason) {
            self.finish_reason = Some(reason);
        }
    }

    /// The tool call at a place: the one begun there, unless this has an id of its own (some models begin a second call
    /// at the same index).
    fn call(&mut self, place: Place, id: Option<&str>) -> &mut ToolCall {
        let is_same = |call: &ToolCall| id.is_none() || call.id.is_none() || call.id.as_deref() == id;
        let begun = self.open.get(&place).copied().filter(|number| self.calls.get(number).is_some_and(is_same));
        let number = begun.unwrap_or(self.calls.len());
        self.open.insert(place, number);
        self.calls.entry(number).or_insert_with(|| ToolCall { id: id.map(str::to_owned), ..ToolCall::default() })
    }
}

/// Takes the whole of a text of which parts may have come.
fn complete(text: &mut String, whole: &str) {
    if whole.len() > text.len() {
        whole.clone_into(text);
    }
}

/// A member of a small object. To look it up by its hash takes longer, and an answer has hundreds of events.
fn get<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.as_object()?.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

fn array<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    get(object, key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    get(object, key)?.as_str()
}

fn count(object: &Value, key: &str) -> Option<u64> {
    get(object, key)?.as_u64()
}

/// A string that says something.
pub(super) fn non_empty(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
