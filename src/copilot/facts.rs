//! All that is known of an exchange beside its texts: what records show, events count, and the classes are decided from.

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::editor::{self, Ide};
use super::endpoint::{self, Endpoint};
use super::feature::Feature;
use super::model::split_version;
use super::observation::Quota;
use super::problem::Problem;
use super::prompt::Prompt;
use super::suggestion::Suggestions;
use super::unrecognised::Unrecognised;
use super::vocabulary::{Edits, Kind, Outcome, Tokens};
use crate::exchange::{Ending, Head};

/// Who began a chat request, from `X-Initiator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initiator {
    /// A person.
    User,
    /// An agent, in the course of a person's turn.
    Agent,
}

/// What is known of one exchange. `None` is unknown; strings that clients sent are as they sent them.
///
/// Serialisable, for where only the understanding and not the exchange is kept (`capture.content = "metadata"`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Completions or chat.
    pub kind: Kind,
    /// The endpoint asked; none where it is not one that is captured.
    pub endpoint: Option<Endpoint>,
    /// Host asked, without a port.
    pub host: String,
    /// HTTP status of the answer; none where there was none.
    pub status: Option<u16>,
    /// How it came out.
    pub outcome: Outcome,
    /// GitHub's feature.
    pub feature: Feature,
    /// GitHub's name of the editor.
    pub ide: Option<Ide>,
    /// `Editor-Version`: `vscode/1.96.2`.
    pub editor_version: Option<String>,
    /// The same with `-` for `/`: `vscode-1.96.2`. Key of the daily file.
    pub editor: Option<String>,
    /// `Editor-Plugin-Version`: `copilot-chat/0.31.1`.
    pub plugin: Option<String>,
    /// `VScode-MachineId`, or the CLI's `X-Client-Machine-Id`.
    pub machine_id: Option<String>,
    /// `VScode-SessionId`, or the CLI's `X-Client-Session-Id`.
    pub session_id: Option<String>,
    /// Whether editor, plugin and machine are taken from the user's request before, for this one does not tell them.
    #[serde(default)]
    pub editor_inferred: bool,
    /// `User-Agent`: `GithubCopilot/1.539.0`.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// The legacy add-on's action type: `nes`, `agent`, `chat-panel`, `commit-message`, or an extension's name.
    #[serde(default)]
    pub action: Option<String>,
    /// `X-Request-Id`: the same for all attempts of one request.
    pub request_id: Option<String>,
    /// `X-Interaction-Id`: one for all requests of one user prompt.
    pub interaction_id: Option<String>,
    /// `X-Interaction-Type`.
    pub interaction_type: Option<String>,
    /// `OpenAI-Intent`.
    pub intent: Option<String>,
    /// `X-Initiator`.
    pub initiator: Option<Initiator>,
    /// `X-Copilot-Speculative: true`: fetched in case that it is wanted.
    pub speculative: bool,
    /// Whether the request has a `stop` field.
    pub has_stop: bool,
    /// Whether the request offers tools.
    pub has_tools: bool,
    /// Whether the request forces the model to call one tool (`tool_choice`).
    #[serde(default)]
    pub forces_tool: bool,
    /// Role of the request's last message.
    pub last_role: Option<String>,
    /// Lower-case language: of the file (completions), or of the answer's first code block that names one (chat).
    pub language: Option<String>,
    /// The answer's model, else the one asked for, without a date suffix.
    pub model: Option<String>,
    /// The date suffix, where there was one.
    pub model_version: Option<String>,
    /// Whether the answer was streamed as server-sent events.
    pub streamed: bool,
    /// Whether the answer has any text other than white space.
    pub has_text: bool,
    /// The answer's last finish reason: `stop`, `length`, `tool_calls` and the like.
    pub finish_reason: Option<String>,
    /// Token counts.
    pub tokens: Tokens,
    /// `copilot_usage.total_nano_aiu`: billionths of an AI credit that GitHub charges.
    #[serde(default)]
    pub nano_aiu: Option<u64>,
    /// What the answer's tool calls change in files.
    #[serde(default)]
    pub edits: Edits,
    /// What is left of the account's allowances (`x-quota-snapshot-*`).
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// Suggestions with any text (completions), or fenced code blocks (chat).
    pub generations: u64,
    /// Lines of those.
    pub lines_suggested: u64,
    /// Characters of those.
    pub characters_suggested: u64,
    /// What in the exchange is unknown to this version.
    #[serde(default)]
    pub unrecognised: Vec<Unrecognised>,
    /// What kept the request's body from being read.
    pub request_problems: Vec<Problem>,
    /// What kept the answer's body from being read.
    pub response_problems: Vec<Problem>,
}

impl Facts {
    /// What is wrong with the bodies, for people: `response_truncated`.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let named = |side, problems: &[Problem]| -> Vec<String> {
            problems.iter().map(|problem| format!("{side}_{}", problem.as_str())).collect()
        };
        [named("request", &self.request_problems), named("response", &self.response_problems)].concat()
    }

    /// Gathers the facts from the head and what was read from the bodies. The problems and `streamed` are the caller's.
    pub(super) fn gather(head: &Head, prompt: &Prompt, answer: &Answer) -> Self {
        let (authority, path) = endpoint::host_and_path(&head.url).unwrap_or_default();
        let endpoint = Endpoint::of(head);
        let kind = endpoint.map_or(Kind::Chat, Endpoint::kind);
        let (model, model_version) = model(prompt, answer, path);
        let suggested = Suggestions::of(kind, answer);
        let editor_version = header(head, "editor-version");
        Self {
            kind,
            endpoint,
            host: endpoint::without_port(authority).to_owned(),
            status: head.status(),
            outcome: outcome(head),
            feature: Feature::of(kind, head),
            ide: editor_version.as_deref().and_then(Ide::of),
            editor: editor_version.as_deref().map(editor::label),
            editor_version,
            plugin: header(head, "editor-plugin-version"),
            machine_id: header(head, "vscode-machineid").or_else(|| header(head, "x-client-machine-id")),
            session_id: header(head, "vscode-sessionid").or_else(|| header(head, "x-client-session-id")),
            editor_inferred: false,
            user_agent: header(head, "user-agent"),
            action: None,
            request_id: header(head, "x-request-id"),
            interaction_id: header(head, "x-interaction-id"),
            interaction_type: header(head, "x-interaction-type"),
            intent: header(head, "openai-intent"),
            initiator: initiator(head),
            speculative: header(head, "x-copilot-speculative").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            has_stop: prompt.has_stop,
            has_tools: prompt.has_tools,
            forces_tool: false,
            last_role: prompt.last_role.clone(),
            language: prompt.language.clone().or(suggested.language),
            model,
            model_version,
            streamed: false,
            has_text: answer.has_text(),
            finish_reason: answer.finish_reason.clone(),
            tokens: tokens(prompt, answer),
            nano_aiu: None,
            edits: Edits::default(),
            quotas: Vec::new(),
            generations: suggested.count,
            lines_suggested: suggested.lines,
            characters_suggested: suggested.characters,
            unrecognised: Vec::new(),
            request_problems: Vec::new(),
            response_problems: Vec::new(),
        }
    }
}

/// A request header's value, where it says anything.
fn header(head: &Head, name: &str) -> Option<String> {
    head.request_header(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn initiator(head: &Head) -> Option<Initiator> {
    match header(head, "x-initiator")?.to_ascii_lowercase().as_str() {
        "user" => Some(Initiator::User),
        "agent" => Some(Initiator::Agent),
        _ => None,
    }
}

fn outcome(head: &Head) -> Outcome {
    match head.ending {
        Ending::Canceled => Outcome::Canceled,
        Ending::Completed if head.status().is_some_and(|status| (200..300).contains(&status)) => Outcome::Completed,
        Ending::Completed | Ending::UpstreamFailed => Outcome::Failed,
    }
}

/// The model and its date: as the answer resolved it, else as asked for, else the URL's engine.
fn model(prompt: &Prompt, answer: &Answer, path: &str) -> (Option<String>, Option<String>) {
    let named = answer.model.as_deref().or(prompt.model.as_deref()).or_else(|| endpoint::engine(path));
    let Some((model, version)) = named.map(split_version) else { return (None, None) };
    (Some(model.to_owned()), version.map(str::to_owned))
}

/// The answer's usage; where there was none, the client's own count of a completion's prompt.
fn tokens(prompt: &Prompt, answer: &Answer) -> Tokens {
    if answer.tokens == Tokens::default() {
        return Tokens { input: prompt.tokens, ..Tokens::default() };
    }
    answer.tokens
}
