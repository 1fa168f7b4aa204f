//! All that is known of an exchange beside its texts: what records show, events count, and the classes are decided from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::action;
use super::answer::Answer;
use super::dialogue::Dialogue;
use super::editor::{self, Ide};
use super::edits::FileEdits;
use super::endpoint::{self, Endpoint};
use super::feature::Feature;
use super::model::{LONGEST, split_version};
use super::observation::Quota;
use super::problem::Problem;
use super::prompt::Prompt;
use super::quota;
use super::suggestion::{Form, Suggestions};
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
    /// Role of the request's last message; `tool` for a tool's result in every dialect.
    pub last_role: Option<String>,
    /// Lower-case language: of the file (completions and next edits), else of the answer's first code block that names one, else of
    /// the first file that its tool calls edit.
    pub language: Option<String>,
    /// The answer's model, else the one asked for, without a date suffix.
    pub model: Option<String>,
    /// The date suffix, where there was one.
    pub model_version: Option<String>,
    /// Whether the answer was streamed: as server-sent events, or as messages of a WebSocket.
    pub streamed: bool,
    /// Whether the answer has any text other than white space (next edits: than white space and markup).
    pub has_text: bool,
    /// The answer's last finish reason, in the interface's own word: `stop`, `length`, `tool_calls` (chat), `completed`,
    /// `max_output_tokens` (Responses), `end_turn`, `tool_use` (Messages) and the like.
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
    /// Suggestions with any text (completions and next edits), or fenced code blocks (chat).
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

    /// Takes the editor from another request of the user, for this one does not tell it. `editor` is as [`Facts::editor`].
    pub fn infer_editor(&mut self, editor: Option<String>, plugin: Option<String>, machine_id: Option<String>) {
        self.ide = editor.as_deref().and_then(Ide::of);
        self.editor = editor;
        self.plugin = self.plugin.take().or(plugin);
        self.machine_id = self.machine_id.take().or(machine_id);
        self.editor_inferred = true;
    }

    /// Gathers the facts from the head and what was read from the bodies. The problems and `streamed` are the caller's.
    pub(super) fn gather(head: &Head, body: &Value, prompt: &Prompt, answer: &Answer) -> Self {
        let dialogue = Dialogue::of(body);
        let (authority, path) = endpoint::host_and_path(&head.url).unwrap_or_default();
        let endpoint = Endpoint::of(head);
        let (model, model_version) = model(prompt, answer, path);
        let form = form(endpoint, authority, prompt);
        let kind = if form == Form::Markdown { Kind::Chat } else { Kind::Completions };
        let feature = Feature::of(kind, head, dialogue);
        let suggested = Suggestions::of(form, &answer.texts);
        let edits = FileEdits::of(answer.calls.values());
        let editor_version = header(head, "editor-version");
        Self {
            kind,
            endpoint,
            host: endpoint::without_port(authority).to_owned(),
            status: head.status(),
            outcome: outcome(head, endpoint, answer),
            feature,
            ide: editor_version.as_deref().and_then(Ide::of),
            editor: editor_version.as_deref().map(editor::label),
            editor_version,
            plugin: header(head, "editor-plugin-version"),
            machine_id: header(head, "vscode-machineid").or_else(|| header(head, "x-client-machine-id")),
            session_id: header(head, "vscode-sessionid").or_else(|| header(head, "x-client-session-id")),
            editor_inferred: false,
            user_agent: header(head, "user-agent"),
            action: Some(action::of(kind, endpoint, feature, head, dialogue)),
            request_id: header(head, "x-request-id"),
            interaction_id: header(head, "x-interaction-id"),
            interaction_type: header(head, "x-interaction-type"),
            intent: header(head, "openai-intent"),
            initiator: initiator(head),
            speculative: header(head, "x-copilot-speculative").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            has_stop: prompt.has_stop,
            has_tools: prompt.has_tools,
            forces_tool: prompt.forces_tool,
            last_role: prompt.last_role.clone(),
            language: language(form, prompt, &suggested, &edits),
            model,
            model_version,
            streamed: false,
            has_text: if form == Form::Edit { suggested.count > 0 } else { answer.has_text() },
            finish_reason: answer.finish_reason.clone(),
            tokens: tokens(prompt, answer),
            nano_aiu: answer.nano_aiu,
            edits: edits.amount,
            quotas: head.response.as_ref().map(|response| quota::of_headers(&response.headers)).unwrap_or_default(),
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

/// How an exchange came out. An answer may fail after its status.
fn outcome(head: &Head, endpoint: Option<Endpoint>, answer: &Answer) -> Outcome {
    match head.ending {
        Ending::Canceled => Outcome::Canceled,
        Ending::Completed if is_success(head.status(), endpoint) && !answer.failed => Outcome::Completed,
        Ending::Completed | Ending::UpstreamFailed => Outcome::Failed,
    }
}

/// What the models of next-edit suggestions have in their names: `copilot-nes-oct` (language server 1.539.0, seen live),
/// `nes-callisto` (vscode-copilot-chat), and `gpt-41-copilot`, the engine of completions (Visual Studio 18.8, a third party's
/// capture).
const NEXT_EDIT_MODELS: [&str; 2] = ["nes", "copilot"];

/// Next-edit suggestions are chat requests for one of their models on a host of completions: nothing else tells them.
fn form(endpoint: Option<Endpoint>, authority: &str, prompt: &Prompt) -> Form {
    let is_next_edit = || {
        let model = prompt.model.as_deref().unwrap_or_default().to_ascii_lowercase();
        endpoint::is_completions_host(authority) && NEXT_EDIT_MODELS.iter().any(|part| model.contains(part))
    };
    match endpoint {
        Some(Endpoint::Completions) => Form::Code,
        Some(Endpoint::Chat) if is_next_edit() => Form::Edit,
        _ => Form::Markdown,
    }
}

fn language(form: Form, prompt: &Prompt, suggested: &Suggestions, edits: &FileEdits) -> Option<String> {
    let edited = prompt.edited_language.filter(|_| form == Form::Edit).or(edits.language);
    prompt.language.clone().or_else(|| suggested.language.clone()).or_else(|| edited.map(str::to_owned))
}

/// Whether an answer's status is one of success: 2xx (RFC 9110 section 15.3), or 101 where each message on a WebSocket is an
/// exchange, whose head is the upgrade's.
pub(super) fn is_success(status: Option<u16>, endpoint: Option<Endpoint>) -> bool {
    let upgraded = status == Some(101) && endpoint == Some(Endpoint::ResponsesWebSocket);
    upgraded || status.is_some_and(|status| (200..300).contains(&status))
}

/// The model and its date: as the answer resolved it, else as asked for, else the URL's engine.
fn model(prompt: &Prompt, answer: &Answer, path: &str) -> (Option<String>, Option<String>) {
    let told = answer.model.as_deref().or(prompt.model.as_deref()).or_else(|| endpoint::engine(path));
    let named = told.filter(|name| name.len() <= LONGEST);
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

#[cfg(test)]
mod tests;
