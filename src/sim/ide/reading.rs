//! What an editor takes from a streamed answer.

use serde_json::Value;

/// The text, or the tool call, that a streamed completion or chat answer brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) text: String,
    pub(super) call: Option<ToolCall>,
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Brought {
    /// Reads a whole stream of events. What is no event of a completion is passed over.
    pub(super) fn by(stream: &[u8]) -> Self {
        let mut brought = Self::default();
        for line in String::from_utf8_lossy(stream).lines() {
            let event = line.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
            let Some(event) = event else { continue };
            match event.pointer("/choices/0") {
                Some(choice) => brought.add(choice),
                None => brought.text.push_str(newer_text(&event)),
            }
        }
        brought
    }

    fn add(&mut self, choice: &Value) {
        let text = choice.get("text").or_else(|| choice.pointer("/delta/content"));
        self.text.push_str(text.and_then(Value::as_str).unwrap_or_default());
        let Some(part) = choice.pointer("/delta/tool_calls/0") else { return };
        let call = self.call.get_or_insert_default();
        let field = |path| part.pointer(path).and_then(Value::as_str).unwrap_or_default();
        call.id.push_str(field("/id"));
        call.name.push_str(field("/function/name"));
        call.arguments.push_str(field("/function/arguments"));
    }
}

/// The text in an event of the Responses or the Messages interface.
fn newer_text(event: &Value) -> &str {
    let of_responses =
        event.get("delta").filter(|_| event.get("type").and_then(Value::as_str) == Some("response.output_text.delta"));
    of_responses.or_else(|| event.pointer("/delta/text")).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together() {
        let stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"text\":\"b\"}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"id\":\"k\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n\
            data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"}\"}}]}}]}\n\ndata: [DONE]\n\n";
        let call = ToolCall { id: "k".into(), name: "f".into(), arguments: "{}".into() };
        assert_eq!(Brought::by(stream), Brought { text: "ab".into(), call: Some(call) });
    }
}
