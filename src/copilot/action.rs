//! What a person did, in the words of the legacy add-on: its `action_type`, for those who move over from it.
//!
//! Its own words are `completions`, `nes`, `agent`, `edits`, `chat-panel`, `chat-inline`, `code-review`, `commit-message` and
//! `other`, and the extension's name. `fix`, `explain`, `docs` and `tests` are the slash commands of the same names. Where it
//! went by `OpenAI-Intent` alone, the feature decides, which knows the stated chat mode as well.

use super::dialogue::{Dialogue, words};
use super::endpoint::{self, Endpoint};
use super::feature::Feature;
use super::vocabulary::Kind;
use crate::exchange::Head;

/// Longest name of an extension that is kept. VS Code's marketplace has none near it.
const LONGEST_NAME: usize = 100;

const CODE_REVIEW: &str = "code-review";
const COMMIT_MESSAGE: &str = "commit-message";

/// The action of an exchange.
pub(super) fn of(
    kind: Kind,
    endpoint: Option<Endpoint>,
    feature: Feature,
    head: &Head,
    dialogue: Dialogue<'_>,
) -> String {
    if kind == Kind::Completions {
        return if endpoint == Some(Endpoint::Completions) { "completions" } else { "nes" }.to_owned();
    }
    let named = extension(head).or_else(|| is_review(head, dialogue).then_some(CODE_REVIEW)).or_else(|| agent(head));
    let asked = || (feature == Feature::Others && is_commit_message(dialogue)).then_some(COMMIT_MESSAGE);
    named.or_else(asked).or_else(|| command(dialogue)).unwrap_or_else(|| of_feature(feature)).to_owned()
}

/// Whether an action is the name of an extension that asks in a person's place, `publisher.extension`: no other has a dot.
pub(super) fn is_extension(action: &str) -> bool {
    action.split_once('.').is_some_and(|(publisher, name)| !publisher.is_empty() && !name.is_empty())
}

fn of_feature(feature: Feature) -> &'static str {
    match feature {
        Feature::CodeCompletion => "completions",
        Feature::ChatInline => "chat-inline",
        Feature::ChatPanelAskMode | Feature::ChatPanelUnknownMode => "chat-panel",
        Feature::ChatPanelEditMode | Feature::AgentEdit => "edits",
        Feature::ChatPanelAgentMode
        | Feature::ChatPanelPlanMode
        | Feature::ChatPanelCustomMode
        | Feature::CopilotCli
        | Feature::CopilotApp => "agent",
        Feature::Others => "other",
    }
}

/// The extension that asks through VS Code's language model interface: `publisher.extension` of
/// `x-onbehalf-extension-id: publisher.extension/1.2.3` (vscode-copilot-chat, `languageModelAccess.ts`).
fn extension(head: &Head) -> Option<&str> {
    let name = head.request_header("x-onbehalf-extension-id")?.split('/').next()?.trim();
    Some(name).filter(|name| is_extension(name) && is_name(name))
}

/// GitHub's agent or Copilot extension of `/agents/{slug}` (legacy add-on: its `extension`).
fn agent(head: &Head) -> Option<&str> {
    agent_path(head)?.split('/').next().filter(|slug| is_name(slug))
}

fn agent_path(head: &Head) -> Option<&str> {
    endpoint::host_and_path(&head.url)?.1.strip_prefix("/agents/")
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.len() <= LONGEST_NAME
        && name.bytes().all(is_plain)
}

/// A review of code: by GitHub's agent, with a header of its own (vscode-copilot-chat, `githubReviewAgent.ts`) at
/// `/agents/github-code-review` (third-party knowledge), or by a chat model with the change in an element of its own
/// (vscode-copilot-chat, `currentChange.tsx`; so did the legacy add-on tell it).
pub(super) fn is_review(head: &Head, dialogue: Dialogue<'_>) -> bool {
    head.request_header("x-copilot-code-review-mode").is_some()
        || agent_path(head).is_some_and(|path| path.split('/').any(|segment| segment.ends_with(CODE_REVIEW)))
        || dialogue.last_of_user().any(|text| text.trim_start().starts_with("<currentChange>"))
}

/// VS Code's generator of commit messages (vscode-copilot-chat, `gitCommitMessagePrompt.tsx`): the system's text says so, and
/// the user's has the earlier commits in an element of their own, by which the legacy add-on told it.
fn is_commit_message(dialogue: Dialogue<'_>) -> bool {
    is_told(dialogue, "git commit message")
        || dialogue.last_of_user().any(|text| text.trim_start().starts_with("<user-commits>"))
}

/// The slash command that a person gave.
///
/// Clients that pass it on leave it at the beginning of the person's words. VS Code keeps it to itself; where nothing was said
/// beside it, the question that it asks in the person's place tells it, and for `/explain` the system's text
/// (vscode-copilot-chat: `panelChatFixPrompt.tsx`, `testFromSrcInvocation.tsx`, `docIntent.tsx`, `explain.tsx`).
fn command(dialogue: Dialogue<'_>) -> Option<&'static str> {
    let said = dialogue.last_of_user().last().map(words).unwrap_or_default();
    let typed = said.strip_prefix('/').and_then(|command| slash(command.split_whitespace().next()?));
    let is_tutor = || is_told(dialogue, "world-class coding tutor");
    typed.or_else(|| question(said)).or_else(|| is_tutor().then_some("explain"))
}

/// Whether the first line that the model is told, which says what it is, has these words.
fn is_told(dialogue: Dialogue<'_>, words: &str) -> bool {
    let mut lines = dialogue.instructions().filter_map(|text| text.lines().next());
    lines.next().is_some_and(|line| line.contains(words))
}

fn slash(command: &str) -> Option<&'static str> {
    match command {
        "fix" | "fixTestFailure" => Some("fix"),
        "explain" => Some("explain"),
        "doc" | "docs" => Some("docs"),
        "test" | "tests" | "setupTests" => Some("tests"),
        _ => None,
    }
}

fn question(said: &str) -> Option<&'static str> {
    if said.ends_with("to show it with the bug fixed.") {
        Some("fix")
    } else if said.starts_with("Write a set of detailed unit test functions") {
        Some("tests")
    } else if said.starts_with("Please, given ") && said.contains(", generate ") {
        Some("docs")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::copilot::sample;

    fn action(head: &Head, body: &Value) -> String {
        let feature = Feature::of(Kind::Chat, head, Dialogue::of(body));
        of(Kind::Chat, Some(Endpoint::Chat), feature, head, Dialogue::of(body))
    }

    fn chat(headers: &[(&str, &str)], body: &Value) -> String {
        action(&sample::chat(headers, "", "").head, body)
    }

    fn said(text: &str) -> Value {
        json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]})
    }

    const OTHER: (&str, &str) = ("openai-intent", "conversation-other");

    #[test]
    fn completions_and_next_edits_are_told_apart() {
        let head = sample::completion(&[], "", "").head;
        let of = |endpoint| {
            of(Kind::Completions, Some(endpoint), Feature::CodeCompletion, &head, Dialogue::of(&Value::Null))
        };
        assert_eq!((of(Endpoint::Completions), of(Endpoint::Chat)), ("completions".to_owned(), "nes".to_owned()));
    }

    #[test]
    fn the_intent_tells_the_kind_of_chat() {
        for (intent, expected) in [
            ("conversation-agent", "agent"),
            ("conversation-edits", "edits"),
            ("conversation-panel", "chat-panel"),
            ("conversation-inline", "chat-inline"),
            ("conversation-terminal", "chat-inline"),
            ("conversation-other", "other"),
            ("something-new", "chat-panel"),
        ] {
            assert_eq!(chat(&[("openai-intent", intent)], &said("hi")), expected, "{intent}");
        }
        let cli = [("copilot-integration-id", "copilot-developer-cli")];
        assert_eq!(chat(&cli, &said("hi")), "agent");
        assert_eq!(chat(&[OTHER], &json!({"model": "demo-instant-apply"})), "edits");
    }

    #[test]
    fn an_extension_is_called_by_its_name() {
        let on_behalf = |id| chat(&[OTHER, ("x-onbehalf-extension-id", id)], &said("/fix"));
        assert_eq!(on_behalf("octo.tidy-code/1.2.3"), "octo.tidy-code");
        assert_eq!(on_behalf("octo.tidy-code"), "octo.tidy-code");
        for odd in ["", "/1", "noname/1", "../x.y", "a b.c/1", &format!("o.{}", "x".repeat(200))] {
            assert_eq!(on_behalf(odd), "fix", "{odd}");
        }
    }

    #[test]
    fn agents_are_called_by_their_path_and_reviews_by_their_marks() {
        let at = |path: &str, headers: &[(&str, &str)]| {
            let mut head = sample::chat(headers, "", "").head;
            head.url = format!("https://api.business.githubcopilot.com{path}");
            action(&head, &said("hi"))
        };
        assert_eq!(at("/agents/demo-docs?chat", &[]), "demo-docs");
        assert_eq!(at("/agents/demo-docs/x", &[]), "demo-docs");
        assert_eq!(at("/agents/%2e", &[("openai-intent", "conversation-panel")]), "chat-panel");
        for path in ["/agents/github-code-review", "/agents/github/code-review?chat"] {
            assert_eq!(at(path, &[]), "code-review", "{path}");
        }
        assert_eq!(at("/agents/x", &[("x-copilot-code-review-mode", "ide")]), "code-review");
        let change = said("<currentChange>\nFrom the file: a.rs\n</currentChange>");
        assert_eq!(chat(&[("openai-intent", "conversation-inline")], &change), "code-review");
    }

    #[test]
    fn a_commit_message_is_told_by_its_generator() {
        let generator = json!({"messages": [
            {"role": "system", "content": "You help with the best git commit message."},
            {"role": "user", "content": "<changes>\n-a\n+b\n</changes>"}]});
        assert_eq!(chat(&[OTHER], &generator), "commit-message");
        assert_eq!(chat(&[OTHER], &said("<user-commits>\n- a\n</user-commits>")), "commit-message");
        assert_eq!(chat(&[("openai-intent", "conversation-agent")], &generator), "agent");
        assert_eq!(chat(&[OTHER], &said("hi")), "other");
    }

    #[test]
    fn a_slash_command_is_told_by_the_first_word_or_the_question_in_its_place() {
        for (text, expected) in [
            ("/fix", "fix"),
            ("/fix the sum", "fix"),
            ("<current_datetime>2026</current_datetime>\n\n/explain this", "explain"),
            ("<context>\nx\n</context>\n<userRequest>\n/tests\n</userRequest>", "tests"),
            ("/doc", "docs"),
            ("/setupTests", "tests"),
            ("Rewrite the code to show it with the bug fixed.", "fix"),
            ("Write a set of detailed unit test functions for this.", "tests"),
            ("Please, given area, generate docstring only.", "docs"),
            ("/fixes", "chat-panel"),
            ("/usr/bin/fix is what?", "chat-panel"),
            ("please /fix", "chat-panel"),
            ("/", "chat-panel"),
            ("", "chat-panel"),
        ] {
            assert_eq!(chat(&[("openai-intent", "conversation-panel")], &said(text)), expected, "{text}");
        }
        let tutor = json!({"messages": [{"role": "system", "content": "You are a world-class coding tutor."},
            {"role": "user", "content": "why?"}]});
        assert_eq!(chat(&[("openai-intent", "conversation-panel")], &tutor), "explain");
    }
}
