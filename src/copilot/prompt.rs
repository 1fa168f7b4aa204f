//! Reads what the rules and the record need of a request's body.

use serde_json::Value;

use super::answer::non_empty;
use super::suggestion::language_name;

/// What a request's body says. Whatever is missing or of a wrong type is absent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prompt {
    /// The model asked for (chat; completions name an engine in the URL).
    pub(super) model: Option<String>,
    /// `extra.language` of completions.
    pub(super) language: Option<String>,
    /// `extra.prompt_tokens` of completions: the client's own count.
    pub(super) tokens: Option<u64>,
    /// Whether there is a `stop` field.
    pub(super) has_stop: bool,
    /// Whether any tools are offered.
    pub(super) has_tools: bool,
    /// Role of the last message.
    pub(super) last_role: Option<String>,
}

impl Prompt {
    pub(super) fn read(body: &Value) -> Self {
        Self {
            model: non_empty(body.get("model")),
            language: body.pointer("/extra/language").and_then(Value::as_str).and_then(language_name),
            tokens: body.pointer("/extra/prompt_tokens").and_then(Value::as_u64),
            has_stop: body.get("stop").is_some_and(|stop| !stop.is_null()),
            has_tools: body.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty()),
            last_role: non_empty(last_message(body).and_then(|message| message.get("role"))),
        }
    }
}

fn last_message(body: &Value) -> Option<&Value> {
    body.get("messages")?.as_array()?.last()
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

    #[test]
    fn what_is_malformed_is_absent() {
        for odd in [
            json!(null),
            json!("text"),
            json!([]),
            json!({"model": 1, "extra": [], "stop": null, "tools": [], "messages": []}),
            json!({"extra": {"language": 3, "prompt_tokens": -1}, "tools": "x", "messages": [7]}),
            json!({"messages": {"role": "user"}, "extra": {"language": " "}}),
        ] {
            assert_eq!(Prompt::read(&odd), Prompt::default(), "{odd}");
        }
    }
}
