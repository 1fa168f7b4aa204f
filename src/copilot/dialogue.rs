//! Who says what in a request's body, in each of the endpoints' dialects.
//!
//! Chat Completions and Messages have `messages`, Responses has `input`; what the model is told beforehand stands in a
//! message of its own (`system`, `developer`), in `instructions` (Responses) or in `system` (Messages).

use memchr::memmem;
use serde_json::Value;

use super::answer::non_empty;

/// Role of a message that holds what a tool gave back, whatever the dialect calls it.
pub(super) const TOOL: &str = "tool";

/// A request's body, as a conversation. Whatever is missing or of a wrong type is absent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialogue<'a> {
    body: &'a Value,
}

impl<'a> Dialogue<'a> {
    pub(super) fn of(body: &'a Value) -> Self {
        Self { body }
    }

    /// The model asked for.
    pub(super) fn model(self) -> Option<&'a str> {
        self.body.get("model")?.as_str()
    }

    /// Who spoke last: `user`, `assistant`, `system`, or [`TOOL`].
    pub(super) fn last_role(self) -> Option<String> {
        if self.body.get("input").is_some_and(Value::is_string) {
            return Some("user".to_owned());
        }
        let last = self.messages().last()?;
        if is_tool_result(last) { Some(TOOL.to_owned()) } else { non_empty(last.get("role")) }
    }

    /// Whether the request leaves the model no choice but one tool: `tool_choice` names it, or wants any and there is but one.
    pub(super) fn forces_tool(self) -> bool {
        let Some(choice) = self.body.get("tool_choice") else { return false };
        let is_named = non_empty(choice.get("name").or_else(|| choice.pointer("/function/name"))).is_some();
        let wants_any = choice == "required" || choice.get("type").is_some_and(|kind| kind == "any");
        is_named
            || (wants_any && self.body.get("tools").and_then(Value::as_array).is_some_and(|tools| tools.len() == 1))
    }

    /// What the model is told beforehand, the first first.
    pub(super) fn instructions(self) -> impl Iterator<Item = &'a str> {
        let told = self.messages().iter().filter(|message| is_instruction(message));
        self.told_apart().chain(told.filter_map(|message| message.get("content")).flat_map(texts))
    }

    /// What it is told beside the messages.
    fn told_apart(self) -> impl Iterator<Item = &'a str> {
        ["instructions", "system"].into_iter().filter_map(move |field| self.body.get(field)).flat_map(texts)
    }

    /// The last message in the user's name. Clients put notes of their own before the person's words, as messages or as texts.
    pub(super) fn last_of_user(self) -> impl Iterator<Item = &'a str> {
        let alone = self.body.get("input").filter(|input| input.is_string());
        let last =
            self.messages().iter().rfind(|message| is_by(message, "user")).and_then(|message| message.get("content"));
        alone.or(last).into_iter().flat_map(texts)
    }

    /// The chat mode that the client states in a note to the model, the latest one: `You are currently running in "Plan" mode`
    /// within `<modeInstructions>`. The language server (1.539.0, seen live) makes a user's message of it for every mode,
    /// `Ask` included, and VS Code a part of the system's for its own `Plan` and for custom agents (vscode-copilot-chat).
    pub(super) fn mode(self) -> Option<&'a str> {
        let stated = |message: &'a Value| {
            let is_note = |text: &&str| is_instruction(message) || text.trim_start().starts_with(MODE_NOTE);
            message.get("content").into_iter().flat_map(texts).filter(is_note).find_map(mode_in)
        };
        let by_message = self.messages().iter().rev().filter(|message| !is_by(message, "assistant")).find_map(stated);
        by_message.or_else(|| self.told_apart().find_map(mode_in))
    }

    fn messages(self) -> &'a [Value] {
        let messages = self.body.get("messages").and_then(Value::as_array);
        messages.or_else(|| self.body.get("input")?.as_array()).map_or(&[], Vec::as_slice)
    }
}

const MODE_NOTE: &str = "<modeInstructions>";

fn mode_in(text: &str) -> Option<&str> {
    let note = text.get(memmem::find(text.as_bytes(), MODE_NOTE.as_bytes())?..)?;
    let (name, _) = note.split_once("running in \"")?.1.split_once("\" mode")?;
    (!name.is_empty() && !name.contains('\n')).then_some(name)
}

/// A person's words in a user's text: without the elements that clients put around and before them, such as the CLI's
/// `<current_datetime>` (1.0.102, seen live), and VS Code's `<userRequest>` (vscode-copilot-chat).
pub(super) fn words(text: &str) -> &str {
    let mut rest = text.trim();
    while let Some((name, inside, after)) = element(rest) {
        if matches!(name, "userRequest" | "prompt") {
            return inside.trim();
        }
        rest = after.trim_start();
    }
    rest
}

/// The element that a text begins with: its name, what is inside, and what comes after.
fn element(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !is_name {
        return None;
    }
    let close = format!("</{name}>");
    let (inside, after) = rest.split_at_checked(memmem::find(rest.as_bytes(), close.as_bytes())?)?;
    Some((name, inside, after.strip_prefix(&close)?))
}

/// A message's or field's texts: one string, or a list of parts that have texts.
fn texts(content: &Value) -> impl Iterator<Item = &str> {
    let parts = content.as_array().into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
    content.as_str().into_iter().chain(parts)
}

fn is_by(message: &Value, role: &str) -> bool {
    message.get("role").is_some_and(|of| of == role)
}

fn is_instruction(message: &Value) -> bool {
    is_by(message, "system") || is_by(message, "developer")
}

/// What a tool gave back: a message of `tool` (once `function`) in Chat Completions, an item such as `function_call_output` in
/// Responses, and in Messages a user's message that ends with a `tool_result`: words after it are a person's.
fn is_tool_result(message: &Value) -> bool {
    let kind = |value: &'_ Value, is: fn(&str) -> bool| value.get("type").and_then(Value::as_str).is_some_and(is);
    let last_part = message.get("content").and_then(Value::as_array).and_then(|parts| parts.last());
    is_by(message, TOOL)
        || is_by(message, "function")
        || kind(message, |kind| kind.ends_with("_call_output"))
        || last_part.is_some_and(|part| kind(part, |kind| kind == "tool_result"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn last_role(body: &Value) -> Option<String> {
        Dialogue::of(body).last_role()
    }

    #[test]
    fn the_last_role_is_told_in_every_dialect() {
        let said = |role: &str| json!({"role": role, "content": "x"});
        for field in ["messages", "input"] {
            for role in ["user", "assistant", "system", "developer", "tool"] {
                assert_eq!(last_role(&json!({field: [said("user"), said(role)]})).as_deref(), Some(role));
            }
        }
        assert_eq!(last_role(&json!({"input": "ping"})).as_deref(), Some("user"));
        for nobody in [json!({}), json!(null), json!({"messages": []}), json!({"input": [7]}), json!({"messages": "x"})]
        {
            assert_eq!(last_role(&nobody), None, "{nobody}");
        }
    }

    #[test]
    fn a_tools_result_is_told_in_every_dialect() {
        let results = [
            json!({"messages": [{"role": "tool", "tool_call_id": "k1", "content": "1 failed"}]}),
            json!({"messages": [{"role": "function", "name": "read", "content": "1 failed"}]}),
            json!({"input": [{"type": "function_call_output", "call_id": "k1", "output": "1 failed"}]}),
            json!({"input": [{"type": "custom_tool_call_output", "call_id": "k1", "output": "done"}]}),
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "k1"}]}]}),
        ];
        for result in results {
            assert_eq!(last_role(&result).as_deref(), Some(TOOL), "{result}");
        }
        let and_words = json!([{"type": "tool_result", "tool_use_id": "k1"}, {"type": "text", "text": "stop that"}]);
        assert_eq!(last_role(&json!({"messages": [{"role": "user", "content": and_words}]})).as_deref(), Some("user"));
    }

    #[test]
    fn a_forced_tool_is_told_in_every_dialect() {
        let one = json!([{"type": "function"}]);
        for choice in [
            json!({"type": "function", "function": {"name": "showSuggestions"}}),
            json!({"type": "function", "name": "categorize"}),
            json!({"type": "tool", "name": "categorize"}),
            json!("required"),
            json!({"type": "any"}),
        ] {
            assert!(Dialogue::of(&json!({"tools": one, "tool_choice": choice})).forces_tool(), "{choice}");
        }
        for choice in
            [json!("auto"), json!("none"), json!({"type": "auto"}), json!(null), json!({"name": 1}), json!([])]
        {
            assert!(!Dialogue::of(&json!({"tools": one, "tool_choice": choice})).forces_tool(), "{choice}");
        }
        let of_two = json!({"tools": [{}, {}], "tool_choice": "required"});
        assert!(!Dialogue::of(&of_two).forces_tool() && !Dialogue::of(&json!({})).forces_tool());
    }

    #[test]
    fn instructions_and_the_users_last_message_are_told_in_every_dialect() {
        let bodies = [
            json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}),
            json!({"system": [{"type": "text", "text": "s"}],
                   "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}]}),
            json!({"instructions": "s", "input": [{"type": "message", "role": "user",
                   "content": [{"type": "input_text", "text": "u"}]}, {"type": "reasoning"}]}),
            json!({"instructions": "s", "input": "u"}),
            json!({"input": [{"role": "developer", "content": "s"}, {"role": "user", "content": "u"}]}),
        ];
        for body in bodies {
            let dialogue = Dialogue::of(&body);
            assert_eq!(dialogue.instructions().collect::<Vec<_>>(), ["s"], "{body}");
            assert_eq!(dialogue.last_of_user().collect::<Vec<_>>(), ["u"], "{body}");
        }
    }

    #[test]
    fn the_latest_stated_mode_counts() {
        let note = |mode: &str| format!("<modeInstructions>\nYou are currently running in \"{mode}\" mode. Be so.");
        let by = |role: &str, mode: &str| json!({"role": role, "content": note(mode)});
        let mode = |body: Value| Dialogue::of(&body).mode().map(str::to_owned);
        assert_eq!(mode(json!({"messages": [by("user", "Ask")]})).as_deref(), Some("Ask"));
        assert_eq!(mode(json!({"messages": [by("user", "Ask"), by("user", "Agent")]})).as_deref(), Some("Agent"));
        assert_eq!(
            mode(json!({"messages": [{"role": "system", "content": format!("Be brief.\n{}", note("Plan"))}]})),
            Some("Plan".into())
        );
        assert_eq!(mode(json!({"system": [{"text": note("Plan")}], "messages": []})).as_deref(), Some("Plan"));
        assert_eq!(mode(json!({"instructions": note("My own"), "input": "x"})).as_deref(), Some("My own"));
        let quoted = format!("What does this mean: {}", note("Plan"));
        assert_eq!(mode(json!({"messages": [{"role": "user", "content": quoted}, by("assistant", "Plan")]})), None);
        assert_eq!(mode(json!({"messages": [{"role": "user", "content": "<modeInstructions>running in \"x"}]})), None);
    }

    #[test]
    fn words_are_a_persons_alone() {
        for (text, person) in [
            ("  hi ", "hi"),
            ("<current_datetime>2026-11-20</current_datetime>\n\nhi", "hi"),
            ("<context>\na\n</context>\n<userRequest>\n/fix it\n</userRequest>\n<reminder>x</reminder>", "/fix it"),
            ("<prompt>hi</prompt>", "hi"),
            ("<T>() is what?", "<T>() is what?"),
            ("<a b>x</a b>", "<a b>x</a b>"),
            ("<", "<"),
            ("", ""),
        ] {
            assert_eq!(words(text), person);
        }
    }
}
