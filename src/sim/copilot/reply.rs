//! What the model decides, whichever interface asks it: to say something, or to call a tool.

use serde_json::{Value, json};

use super::answer::Question;
use super::control;
use super::sse;
use crate::sim::corpus;

/// The model's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Says(String),
    Calls(Call),
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) tool: String,
    /// JSON, or any text for a custom tool.
    pub(super) input: String,
    /// True for a tool that takes text instead of JSON, as OpenAI's custom tools do.
    pub(super) custom: bool,
}

impl Reply {
    /// The decision for a request whose messages stand under `list`.
    pub(super) fn to(question: &mut Question<'_>, list: &str) -> Self {
        if let Some(call) = wanted_call(question, list) {
            return Self::Calls(call);
        }
        let choice = question.rng.bits();
        if let Some(prediction) = question.body.pointer("/prediction/content").and_then(Value::as_str) {
            return Self::Says(edited(question.text("model"), prediction));
        }
        let asked = last_user_message(&question.body, list).map(content_text).unwrap_or_default();
        let found = corpus::conversation_for(asked, choice);
        Self::Says(found.map_or_else(String::new, |found| found.answer.to_owned()))
    }

    /// The text that costs output tokens.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Says(text) => text,
            Self::Calls(call) => &call.input,
        }
    }

    /// That text in the pieces in which it is streamed.
    pub(super) fn pieces(&self, question: &Question<'_>) -> Vec<String> {
        sse::split(self.text(), question.control.events)
    }
}

/// Tokens of one exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amounts {
    /// All input, what came from the cache and what went into it included.
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) cache_written: u64,
    /// All output, reasoning included.
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

impl Amounts {
    /// Made-up figures: half of the input comes from the cache, an eighth goes into it, both in whole blocks of 128.
    pub(super) fn of(input: &str, reply: &Reply, reasons: bool) -> Self {
        let input = sse::tokens(input);
        let reasoning = if reasons { 16 } else { 0 };
        let blocks = |tokens: u64| tokens / 128 * 128;
        let (cached, cache_written) = (blocks(input / 2), blocks(input / 8));
        Self { input, cached, cache_written, output: sse::tokens(reply.text()) + reasoning, reasoning }
    }

    /// A made-up price; 1 AI credit is 1e9 nano-AIU.
    pub(super) fn price(self) -> Value {
        json!({"total_nano_aiu": (self.input + self.output) * 25_000})
    }
}

/// What every answer of a model says of its user's quota.
pub(super) fn quota() -> (&'static str, String) {
    let left = "ent=300&ov=0.0&ovPerm=true&rem=87.5&rst=2027-01-01T00%3A00%3A00Z";
    ("x-quota-snapshot-premium_interactions", left.to_owned())
}

/// True where the request leaves no choice but to call one tool.
pub(super) fn is_forced(body: &Value) -> bool {
    forced_tool(body).is_some()
}

/// `tool_choice` as the three interfaces write it: chat, Responses and Messages.
fn forced_tool(body: &Value) -> Option<&str> {
    let choice = body.get("tool_choice")?;
    choice.pointer("/function/name").or_else(|| choice.get("name")).and_then(Value::as_str)
}

fn wanted_call(question: &mut Question<'_>, list: &str) -> Option<Call> {
    let body = &question.body;
    if let Some(forced) = forced_tool(body) {
        let tool = forced.to_owned();
        return Some(invented_call(question, tool));
    }
    match question.request.header(control::TOOL) {
        Some("any") => {
            let names: Vec<String> = tool_names(body).map(str::to_owned).collect();
            let tool = question.rng.pick(&names)?.clone();
            Some(invented_call(question, tool))
        }
        Some(tool) => Some(invented_call(question, tool.to_owned())),
        None if has_result(body, list) => None,
        None => texts(last_user_message(body, list)?).filter_map(told_call).last(),
    }
}

fn tool_names(body: &Value) -> impl Iterator<Item = &str> {
    let tools = body.get("tools").and_then(Value::as_array).into_iter().flatten();
    tools.filter_map(|tool| tool.pointer("/function/name").or_else(|| tool.get("name"))?.as_str())
}

/// The call that a prompt asks for: [`control::CALL`], the tool's name, its input as JSON.
fn told_call(prompt: &str) -> Option<Call> {
    let (_, order) = prompt.split_once(control::CALL)?;
    let (tool, input) = order.split_once(' ')?;
    let input: Value = serde_json::Deserializer::from_str(input).into_iter().next()?.ok()?;
    let custom = input.as_str().map(str::to_owned);
    Some(Call { tool: tool.to_owned(), custom: custom.is_some(), input: custom.unwrap_or_else(|| input.to_string()) })
}

fn invented_call(question: &mut Question<'_>, tool: String) -> Call {
    let name = question.rng.hex(6);
    let input = match tool.as_str() {
        "showSuggestions" => json!({"suggestedTitle": "A short talk", "followUp": "Can you show a test for it?"}),
        "read_file" => json!({"filePath": format!("/work/project/src/part_{name}.txt"), "offset": 1, "limit": 200}),
        "grep_search" => json!({"query": "TODO", "includePattern": "src/**"}),
        "create_file" => {
            json!({"filePath": format!("/work/project/src/part_{name}.py"), "content": "LIMIT = 3\nRETRIES = 2\n"})
        }
        _ => json!({"path": format!("/work/project/{name}")}),
    };
    Call { tool, input: input.to_string(), custom: false }
}

/// The area around the cursor, as the model would have it: with the misspelt keyword put right. Next-edit models give it
/// bare, others in a code block.
fn edited(model: &str, area: &str) -> String {
    let better = area.replace("retrun", "return");
    if model.contains("nes") { better } else { format!("```\n{}\n```", better.trim_end()) }
}

fn messages<'a>(body: &'a Value, list: &str) -> &'a [Value] {
    body.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn last_user_message<'a>(body: &'a Value, list: &str) -> Option<&'a Value> {
    messages(body, list).iter().rev().find(|message| message.get("role").and_then(Value::as_str) == Some("user"))
}

/// Whether the last message is what a tool brought.
fn has_result(body: &Value, list: &str) -> bool {
    let Some(last) = messages(body, list).last() else { return false };
    let of_type = |value: &Value| value.get("type").and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
    let parts = last.get("content").and_then(Value::as_array).into_iter().flatten();
    last.get("role").and_then(Value::as_str) == Some("tool")
        || of_type(last).ends_with("_call_output")
        || parts.map(of_type).any(|kind| kind == "tool_result")
}

/// All texts of a message, whose content is a string or a list of parts.
fn texts(message: &Value) -> impl Iterator<Item = &str> {
    let content = message.get("content");
    let parts = content.and_then(Value::as_array).into_iter().flatten();
    content.and_then(Value::as_str).into_iter().chain(parts.filter_map(|part| part.get("text")?.as_str()))
}

/// The last text of a message.
fn content_text(message: &Value) -> &str {
    texts(message).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_can_ask_for_a_call() {
        let call = told_call("<now>\n\nPlease sim:call create {\"path\": \"a b.py\"}\n</now>").unwrap();
        assert_eq!(call, Call { tool: "create".into(), input: "{\"path\":\"a b.py\"}".into(), custom: false });
        let call = told_call("sim:call apply_patch \"*** Begin Patch\\n\"").unwrap();
        assert_eq!(call, Call { tool: "apply_patch".into(), input: "*** Begin Patch\n".into(), custom: true });
        assert_eq!(told_call("sim:call create"), None);
        assert_eq!(told_call("sim:call create {"), None);
    }

    #[test]
    fn a_result_is_known_in_each_interface() {
        let chat = json!({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]});
        let responses = json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "d"}]});
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "e"});
        let anthropic = json!({"messages": [{"role": "user", "content": [result]}]});
        assert!(has_result(&chat, "messages") && has_result(&responses, "input") && has_result(&anthropic, "messages"));
        let asked = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "f"}]}]});
        assert!(!has_result(&asked, "messages"));
    }

    #[test]
    fn a_forced_tool_is_found_in_each_interface() {
        let chat = json!({"tool_choice": {"type": "function", "function": {"name": "showSuggestions"}}});
        let anthropic = json!({"tool_choice": {"type": "tool", "name": "create"}});
        assert_eq!(forced_tool(&chat), Some("showSuggestions"));
        assert_eq!(forced_tool(&anthropic), Some("create"));
        assert_eq!(forced_tool(&json!({"tool_choice": "auto"})), None);
    }
}
