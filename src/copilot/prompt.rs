//! Reads what the rules and the record need of a request's body, of every endpoint: prompts, messages, inputs.

use serde_json::Value;

use super::answer::non_empty;
use super::dialogue::Dialogue;
use super::language;

/// What a next-edit prompt has before the name of the file that is edited (language server 1.539.0, seen live).
const EDITED_FILE: &str = "current_file_path:";

/// What a request's body says. Whatever is missing or of a wrong type is absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prompt {
    /// The model asked for (completions name an engine in the URL).
    pub(super) model: Option<String>,
    /// `extra.language` of completions.
    pub(super) language: Option<String>,
    /// Language of the file that a next-edit prompt is about.
    pub(super) edited_language: Option<&'static str>,
    /// `extra.prompt_tokens` of completions: the client's own count.
    pub(super) tokens: Option<u64>,
    /// Whether there is a `stop` field.
    pub(super) has_stop: bool,
    /// Whether any tools are offered.
    pub(super) has_tools: bool,
    /// Whether the model must call one certain tool.
    pub(super) forces_tool: bool,
    /// Role of the last message; `tool` where it brings what a tool gave.
    pub(super) last_role: Option<String>,
}

impl Prompt {
    pub(super) fn read(body: &Value) -> Self {
        let dialogue = Dialogue::of(body);
        let extra = |key| body.get("extra").and_then(|extra| extra.get(key));
        let tools = body.get("tools").and_then(Value::as_array).map_or(0, Vec::len);
        Self {
            model: non_empty(body.get("model")),
            language: extra("language").and_then(Value::as_str).and_then(language::named),
            edited_language: edited_file(dialogue).and_then(language::of_path),
            tokens: extra("prompt_tokens").and_then(Value::as_u64),
            has_stop: body.get("stop").is_some_and(|stop| !stop.is_null()),
            has_tools: tools > 0,
            forces_tool: dialogue.forces_tool(),
            last_role: dialogue.last_role(),
        }
    }
}

fn edited_file(dialogue: Dialogue<'_>) -> Option<&str> {
    let (_, rest) = dialogue.last_of_user().find_map(|text| text.split_once(EDITED_FILE))?;
    rest.lines().next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_completion_tells_its_language_and_tokens() {
        let prompt = Prompt::read(
            &json!({"prompt": "x", "stop": ["\n"], "extra": {"language": " Python", "prompt_tokens": 18}}),
        );
        assert_eq!(
            prompt,
            Prompt { language: Some("python".into()), tokens: Some(18), has_stop: true, ..Prompt::default() }
        );
    }

    #[test]
    fn chat_tells_its_model_tools_and_last_role() {
        let prompt = Prompt::read(&json!({
            "model": "demo-chat",
            "tools": [{"type": "function"}],
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        }));
        let expected = Prompt {
            model: Some("demo-chat".into()),
            has_tools: true,
            last_role: Some("user".into()),
            ..Prompt::default()
        };
        assert_eq!(prompt, expected);
    }

    fn last_role(body: &Value) -> Option<String> {
        Prompt::read(body).last_role
    }

    #[test]
    fn responses_tell_their_last_role() {
        for (last, role) in [
            (
                json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}),
                Some("user"),
            ),
            (json!({"type": "function_call_output", "call_id": "c", "output": "x"}), Some("tool")),
            (json!({"type": "custom_tool_call_output", "call_id": "c", "output": "x"}), Some("tool")),
            (json!({"type": "item_reference"}), None),
        ] {
            let first = json!({"role": "developer", "content": "d"});
            assert_eq!(
                last_role(&json!({"type": "response.create", "input": [first, last]})).as_deref(),
                role,
                "{last}"
            );
        }
        assert_eq!(last_role(&json!({"input": "hi"})).as_deref(), Some("user"));
        assert_eq!(last_role(&json!({"input": []})), None);
    }

    #[test]
    fn messages_tell_what_a_tool_gave_from_what_a_user_said() {
        let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "x"});
        let text = json!({"type": "text", "text": "hi"});
        let role = |content: Value| last_role(&json!({"messages": [{"role": "user", "content": content}]}));
        assert_eq!(role(json!([result, result])).as_deref(), Some("tool"));
        assert_eq!(role(json!([result, text])).as_deref(), Some("user"));
        assert_eq!(role(json!([])).as_deref(), Some("user"));
        assert_eq!(role(json!("hi")).as_deref(), Some("user"));
    }

    #[test]
    fn a_forced_tool_is_one_that_is_named_or_alone() {
        let forced = |choice: Value, tools: usize| {
            Prompt::read(&json!({"tool_choice": choice, "tools": vec![json!({}); tools]})).forces_tool
        };
        for choice in [
            json!({"type": "function", "function": {"name": "showSuggestions"}}),
            json!({"type": "function", "name": "showSuggestions"}),
            json!({"type": "tool", "name": "showSuggestions"}),
        ] {
            assert!(forced(choice, 3));
        }
        for choice in [json!("required"), json!({"type": "any"})] {
            assert!(forced(choice.clone(), 1));
            assert!(!forced(choice, 2));
        }
        for choice in [
            json!("auto"),
            json!("none"),
            json!({"type": "auto"}),
            json!(null),
            json!(7),
            json!({"function": {"name": ""}}),
        ] {
            assert!(!forced(choice, 1));
        }
    }

    #[test]
    fn a_next_edit_prompt_names_its_file() {
        let prompt =
            |text: &str| Prompt::read(&json!({"messages": [{"role": "user", "content": text}]})).edited_language;
        assert_eq!(prompt("<|current_file_content|>\ncurrent_file_path: src/calc.py\ndef a():"), Some("python"));
        assert_eq!(prompt("<|current_file_content|>\ncurrent_file_path: \na.py"), None);
        assert_eq!(prompt("a.py"), None);
        let parts = json!([{"type": "image"}, {"type": "text", "text": "current_file_path: a.rb"}]);
        assert_eq!(
            Prompt::read(&json!({"messages": [{"role": "user", "content": parts}]})).edited_language,
            Some("ruby")
        );
    }

    #[test]
    fn what_is_malformed_is_absent() {
        for odd in [
            json!(null),
            json!("text"),
            json!([]),
            json!({"model": 1, "extra": [], "stop": null, "tools": [], "messages": []}),
            json!({"extra": {"language": 3, "prompt_tokens": -1}, "tools": "x", "messages": [7]}),
            json!({"messages": {"role": "user"}, "extra": {"language": " "}}),
            json!({"messages": null, "input": {"role": "user"}, "tool_choice": []}),
        ] {
            assert_eq!(Prompt::read(&odd), Prompt::default(), "{odd}");
        }
    }
}
