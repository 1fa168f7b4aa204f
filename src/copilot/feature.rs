//! Which of GitHub's features an exchange belongs to, from the client's headers.

use serde::{Deserialize, Serialize};

use super::editor;
use super::vocabulary::Kind;
use crate::exchange::Head;

/// GitHub's `feature` names (Copilot usage metrics reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Ghost text and the completions panel.
    CodeCompletion,
    /// Chat in the editor, a notebook or the terminal.
    ChatInline,
    /// The chat panel's ask mode.
    ChatPanelAskMode,
    /// The chat panel's edit mode.
    ChatPanelEditMode,
    /// The chat panel's agent mode.
    ChatPanelAgentMode,
    /// The chat panel's plan mode, which no header tells.
    ChatPanelPlanMode,
    /// A custom agent of the chat panel, which no header tells.
    ChatPanelCustomMode,
    /// Chat that does not say its mode.
    ChatPanelUnknownMode,
    /// An agent's edit of a file.
    AgentEdit,
    /// The Copilot CLI.
    CopilotCli,
    /// The Copilot app.
    CopilotApp,
    /// What runs in the background of a chat: titles, summaries, compaction.
    Others,
}

impl Feature {
    /// GitHub's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CodeCompletion => "code_completion",
            Self::ChatInline => "chat_inline",
            Self::ChatPanelAskMode => "chat_panel_ask_mode",
            Self::ChatPanelEditMode => "chat_panel_edit_mode",
            Self::ChatPanelAgentMode => "chat_panel_agent_mode",
            Self::ChatPanelPlanMode => "chat_panel_plan_mode",
            Self::ChatPanelCustomMode => "chat_panel_custom_mode",
            Self::ChatPanelUnknownMode => "chat_panel_unknown_mode",
            Self::AgentEdit => "agent_edit",
            Self::CopilotCli => "copilot_cli",
            Self::CopilotApp => "copilot_app",
            Self::Others => "others",
        }
    }

    /// The feature that a request's headers tell.
    ///
    /// `OpenAI-Intent` is set from the place in the editor that asked (vscode-copilot-chat, `chatMLFetcher.ts`), and
    /// `X-Interaction-Type` says the same unless the request was made in the background.
    pub(super) fn of(kind: Kind, head: &Head) -> Self {
        let interaction = head.request_header("x-interaction-type");
        match kind {
            Kind::Completions => Self::CodeCompletion,
            Kind::Chat if is_cli(head) => Self::CopilotCli,
            Kind::Chat if interaction.is_some_and(is_background) => Self::Others,
            Kind::Chat => head
                .request_header("openai-intent")
                .and_then(Self::of_intent)
                .or_else(|| interaction.and_then(Self::of_intent))
                .unwrap_or(Self::ChatPanelUnknownMode),
        }
    }

    fn of_intent(intent: &str) -> Option<Self> {
        match intent {
            "conversation-panel" => Some(Self::ChatPanelAskMode),
            "conversation-inline" | "conversation-notebook" | "conversation-terminal" => Some(Self::ChatInline),
            "conversation-edits" => Some(Self::ChatPanelEditMode),
            "conversation-agent" => Some(Self::ChatPanelAgentMode),
            "conversation-other" => Some(Self::Others),
            _ => None,
        }
    }
}

fn is_background(interaction: &str) -> bool {
    matches!(interaction, "conversation-background" | "conversation-other" | "conversation-compaction")
}

fn is_cli(head: &Head) -> bool {
    head.request_header("copilot-integration-id") == Some("copilot-developer-cli")
        || head.request_header("editor-version").is_some_and(editor::is_cli)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copilot::sample;

    fn chat(headers: &[(&str, &str)]) -> &'static str {
        Feature::of(Kind::Chat, &sample::chat(headers, "{}", "").head).as_str()
    }

    #[test]
    fn completions_are_one_feature() {
        let exchange = sample::completion(&[("openai-intent", "copilot-panel")], "{}", "");
        assert_eq!(Feature::of(Kind::Completions, &exchange.head), Feature::CodeCompletion);
    }

    #[test]
    fn the_intent_tells_the_mode() {
        let intents = [
            ("conversation-panel", "chat_panel_ask_mode"),
            ("conversation-inline", "chat_inline"),
            ("conversation-notebook", "chat_inline"),
            ("conversation-terminal", "chat_inline"),
            ("conversation-edits", "chat_panel_edit_mode"),
            ("conversation-agent", "chat_panel_agent_mode"),
            ("conversation-other", "others"),
            ("something-new", "chat_panel_unknown_mode"),
        ];
        for (intent, feature) in intents {
            assert_eq!(chat(&[("openai-intent", intent)]), feature);
            assert_eq!(chat(&[("x-interaction-type", intent)]), feature);
        }
        assert_eq!(chat(&[]), "chat_panel_unknown_mode");
    }

    #[test]
    fn the_intent_goes_before_the_interaction_unless_that_is_in_the_background() {
        let agent = ("openai-intent", "conversation-agent");
        assert_eq!(chat(&[agent, ("x-interaction-type", "conversation-panel")]), "chat_panel_agent_mode");
        assert_eq!(chat(&[agent, ("x-interaction-type", "conversation-subagent")]), "chat_panel_agent_mode");
        assert_eq!(chat(&[agent, ("x-interaction-type", "conversation-background")]), "others");
    }

    #[test]
    fn the_command_line_is_a_feature_of_its_own() {
        let agent = ("openai-intent", "conversation-agent");
        assert_eq!(chat(&[agent, ("copilot-integration-id", "copilot-developer-cli")]), "copilot_cli");
        assert_eq!(chat(&[agent, ("editor-version", "copilot/1.0.102")]), "copilot_cli");
    }

    #[test]
    fn names_in_records_are_github_names() {
        for feature in [Feature::CodeCompletion, Feature::ChatPanelAskMode, Feature::AgentEdit, Feature::CopilotCli] {
            assert_eq!(serde_json::to_value(feature).unwrap(), feature.as_str());
        }
    }
}
