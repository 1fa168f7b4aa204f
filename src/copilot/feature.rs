//! Which of GitHub's features an exchange belongs to, from the client's headers and the mode it states to the model.

use serde::{Deserialize, Serialize};

use super::action;
use super::dialogue::Dialogue;
use super::editor;
use super::vocabulary::Kind;
use crate::exchange::Head;

/// GitHub's `feature` names (Copilot usage metrics reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Ghost text, the completions panel and next-edit suggestions.
    CodeCompletion,
    /// Chat in the editor, a notebook or the terminal.
    ChatInline,
    /// The chat panel's ask mode.
    ChatPanelAskMode,
    /// The chat panel's edit mode.
    ChatPanelEditMode,
    /// The chat panel's agent mode.
    ChatPanelAgentMode,
    /// The chat panel's plan mode, which a note to the model tells.
    ChatPanelPlanMode,
    /// A custom agent of the chat panel, which a note to the model tells.
    ChatPanelCustomMode,
    /// Chat that does not say its mode.
    ChatPanelUnknownMode,
    /// An agent's edit of a file: as an exchange's feature, instant apply. Edits by tool calls are counted apart.
    AgentEdit,
    /// The Copilot CLI.
    CopilotCli,
    /// The Copilot app.
    CopilotApp,
    /// What belongs to no mode: titles and summaries, commit messages, code reviews, other extensions' requests.
    Others,
}

impl Feature {
    /// GitHub's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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

    /// The feature that a request tells.
    ///
    /// `X-Interaction-Type` tells the place in the editor that asked, and is the same for all requests of a prompt; where it
    /// tells none, `OpenAI-Intent` does. VS Code sets both alike, unless it asks in the background or for a sub-agent
    /// (vscode-copilot-chat, `chatMLFetcher.ts`). The language server (1.539.0, seen live) has the intent
    /// `conversation-agent` in ask mode, too, and `conversation-panel` for what it asks beside an agent. The panel's modes
    /// are refined by the one that the client states to the model.
    pub(super) fn of(kind: Kind, head: &Head, dialogue: Dialogue<'_>) -> Self {
        match kind {
            Kind::Completions => Self::CodeCompletion,
            Kind::Chat => Self::of_client(head).or_else(|| Self::of_work(head, dialogue)).unwrap_or_else(|| {
                let place = Self::of_place(head).unwrap_or(Self::ChatPanelUnknownMode);
                if place.is_panel() { Self::of_stated_mode(head, dialogue).unwrap_or(place) } else { place }
            }),
        }
    }

    /// Clients that are features of their own. The app's user agent is third-party knowledge; it may use the CLI's engine, so it
    /// is asked first.
    fn of_client(head: &Head) -> Option<Self> {
        if head.request_header("user-agent").is_some_and(|agent| agent.starts_with("github-app/")) {
            return Some(Self::CopilotApp);
        }
        is_cli(head).then_some(Self::CopilotCli)
    }

    /// Work that belongs to no mode of chat.
    ///
    /// Instant apply writes into a file what another exchange proposed (vscode-copilot-chat, `proxyInstantApplyShortEndpoint.ts`).
    /// GitHub knows no such feature. `agent_edit` is the nearest: like it, a request of this kind edits a file, is never an
    /// interaction, and makes nobody a user of chat.
    fn of_work(head: &Head, dialogue: Dialogue<'_>) -> Option<Self> {
        if dialogue.model().is_some_and(|model| model.contains("instant-apply")) {
            return Some(Self::AgentEdit);
        }
        let is_background = head.request_header("x-interaction-type").is_some_and(is_background);
        (is_background || action::is_review(head, dialogue)).then_some(Self::Others)
    }

    fn of_place(head: &Head) -> Option<Self> {
        let told = ["x-interaction-type", "openai-intent"].into_iter().filter_map(|name| head.request_header(name));
        told.filter_map(Self::of_intent).next()
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

    /// The panel's mode by its name. A sub-agent states the mode that its parent runs it in, which nobody chose in the panel.
    fn of_stated_mode(head: &Head, dialogue: Dialogue<'_>) -> Option<Self> {
        if head.request_header("x-interaction-type") == Some(SUBAGENT) {
            return None;
        }
        Some(match dialogue.mode()?.to_ascii_lowercase().as_str() {
            "ask" => Self::ChatPanelAskMode,
            "edit" => Self::ChatPanelEditMode,
            "agent" => Self::ChatPanelAgentMode,
            "plan" => Self::ChatPanelPlanMode,
            _ => Self::ChatPanelCustomMode,
        })
    }

    fn is_panel(self) -> bool {
        !matches!(self, Self::ChatInline | Self::Others)
    }
}

/// `X-Interaction-Type` of what an agent's own agent asks.
pub(super) const SUBAGENT: &str = "conversation-subagent";
/// `X-Interaction-Type` of what an editor asks on its own account: titles, branch names, progress messages.
pub(super) const BACKGROUND: &str = "conversation-background";
/// `X-Interaction-Type` of a summary that makes room in a long conversation.
pub(super) const COMPACTION: &str = "conversation-compaction";
/// Intent of what belongs to no place of chat.
pub(super) const OTHER: &str = "conversation-other";

fn is_background(interaction: &str) -> bool {
    matches!(interaction, BACKGROUND | OTHER | COMPACTION)
}

fn is_cli(head: &Head) -> bool {
    head.request_header("copilot-integration-id") == Some("copilot-developer-cli")
        || head.request_header("editor-version").is_some_and(editor::is_cli)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::copilot::sample;

    fn chat(headers: &[(&str, &str)]) -> &'static str {
        feature(headers, &json!({}))
    }

    fn feature(headers: &[(&str, &str)], body: &Value) -> &'static str {
        Feature::of(Kind::Chat, &sample::chat(headers, "", "").head, Dialogue::of(body)).as_str()
    }

    #[test]
    fn completions_are_one_feature() {
        for intent in ["copilot-panel", "copilot-ghost", "conversation-other"] {
            let head = sample::completion(&[("openai-intent", intent)], "", "").head;
            assert_eq!(Feature::of(Kind::Completions, &head, Dialogue::of(&Value::Null)), Feature::CodeCompletion);
        }
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
    fn the_interaction_goes_before_the_intent_where_it_tells_a_place() {
        let agent = ("openai-intent", "conversation-agent");
        assert_eq!(chat(&[agent, ("x-interaction-type", "conversation-subagent")]), "chat_panel_agent_mode");
        assert_eq!(chat(&[agent, ("x-interaction-type", "conversation-background")]), "others");
    }

    /// In either mode the answer's intent is that of an agent, and the follow-up's that of the panel.
    #[test]
    fn the_language_servers_modes_are_told_apart_by_the_interaction() {
        for (interaction, feature) in
            [("conversation-panel", "chat_panel_ask_mode"), ("conversation-agent", "chat_panel_agent_mode")]
        {
            for intent in ["conversation-agent", "conversation-panel"] {
                let headers = [("openai-intent", intent), ("x-interaction-type", interaction)];
                assert_eq!(chat(&headers), feature, "{intent}");
            }
        }
    }

    #[test]
    fn the_command_line_is_a_feature_of_its_own() {
        let agent = ("openai-intent", "conversation-agent");
        assert_eq!(chat(&[agent, ("copilot-integration-id", "copilot-developer-cli")]), "copilot_cli");
        assert_eq!(chat(&[agent, ("editor-version", "copilot/1.0.102")]), "copilot_cli");
        assert_eq!(
            chat(&[("x-interaction-type", "conversation-user"), ("editor-version", "copilot/1.0.102")]),
            "copilot_cli"
        );
        let app = ("user-agent", "github-app/0.2.6");
        assert_eq!(chat(&[agent, app, ("copilot-integration-id", "copilot-developer-cli")]), "copilot_app");
    }

    #[test]
    fn a_stated_mode_refines_the_panels_intent() {
        let stated = |intent: &str, interaction: &str, mode: &str| {
            let note = format!("<modeInstructions>\nYou are currently running in \"{mode}\" mode. Be so.");
            let body = json!({"messages": [{"role": "user", "content": note}, {"role": "user", "content": "hi"}]});
            feature(&[("openai-intent", intent), ("x-interaction-type", interaction)], &body)
        };
        for (mode, expected) in [
            ("Ask", "chat_panel_ask_mode"),
            ("Edit", "chat_panel_edit_mode"),
            ("Agent", "chat_panel_agent_mode"),
            ("Plan", "chat_panel_plan_mode"),
            ("Reviewer of mine", "chat_panel_custom_mode"),
        ] {
            for intent in ["conversation-agent", "conversation-panel", "conversation-edits", "messages-proxy"] {
                assert_eq!(stated(intent, "conversation-panel", mode), expected, "{intent} {mode}");
            }
            assert_eq!(stated("conversation-inline", "conversation-inline", mode), "chat_inline");
            assert_eq!(stated("conversation-agent", "conversation-background", mode), "others");
        }
        assert_eq!(stated("conversation-agent", "conversation-subagent", "Explore"), "chat_panel_agent_mode");
    }

    #[test]
    fn work_of_no_mode_is_told_apart() {
        let agent = ("openai-intent", "conversation-agent");
        assert_eq!(feature(&[agent], &json!({"model": "demo-instant-apply-short"})), "agent_edit");
        assert_eq!(chat(&[("x-copilot-code-review-mode", "ide")]), "others");
        assert_eq!(chat(&[("openai-intent", "conversation-other"), ("x-initiator", "user")]), "others");
    }

    #[test]
    fn names_in_records_are_github_names() {
        for feature in [Feature::CodeCompletion, Feature::ChatPanelAskMode, Feature::AgentEdit, Feature::CopilotCli] {
            assert_eq!(serde_json::to_value(feature).unwrap(), feature.as_str());
        }
    }
}
