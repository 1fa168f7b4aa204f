//! What an exchange counts as: a person's turn, an agent's step, or noise.
//!
//! The class is decided in the recorder, and kept with the record and the event; nothing downstream asks again. Each rule
//! says what it holds for and where that was observed: *seen live* is a real client through a local proxy (the language server
//! 1.539.0 that JetBrains, Xcode, Eclipse and Vim plug-ins embed, the CLI 1.0.102), *vscode-copilot-chat* its public source, and
//! *legacy add-on* the rules with which that one left requests out.

mod reason;
#[cfg(test)]
mod tests;

pub use self::reason::Reason;
use super::action;
use super::dialogue;
use super::editor::Ide;
use super::facts::{Facts, Initiator, is_success};
use super::feature::{BACKGROUND, COMPACTION, Feature, OTHER, SUBAGENT};
use super::vocabulary::{Class, Kind, Outcome};

/// A class and, unless it is a turn, the reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Turn, step or noise.
    pub class: Class,
    /// Why it is no turn.
    pub reason: Option<Reason>,
    /// Whether it is a turn as soon as telemetry says that it was shown: a completion with text that came ahead of need, or
    /// whose answer has no end.
    pub awaits_display: bool,
}

/// What earlier exchanges and telemetry say of an exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// An earlier exchange of the same user with the same `X-Request-Id` ended with 2xx.
    pub repeat_of_success: bool,
    /// An earlier chat turn of the same user has the same `X-Interaction-Id`.
    pub same_turn: bool,
    /// Telemetry said that a suggestion of this request was shown.
    pub shown: bool,
}

type Rule = fn(&Facts, History) -> Option<Reason>;

/// The rules in order; the first that holds decides. A helper's request says `agent` or, from the language server, `user` like
/// its turn, so what it is for goes before who began it.
const RULES: &[Rule] = &[
    status,
    repeat,
    canceled,
    broken_off,
    background,
    compaction,
    other,
    forced_tool,
    subagent,
    instant_apply,
    agent_tools,
    agent_initiated,
    tool_results,
    same_turn,
    speculative,
    empty_completion,
    stop_field,
    last_message_not_user,
];

/// Decides an exchange's class.
///
/// A person's prompt gives one turn, whatever requests the client makes of it: the first that is none of a helper's; the rest
/// are steps and noise.
#[must_use]
pub fn classify(facts: &Facts, history: History) -> Verdict {
    let reason = RULES.iter().find_map(|rule| rule(facts, history));
    let is_unfinished =
        matches!(reason, Some(Reason::Canceled | Reason::BrokenOff | Reason::Speculative)) && is_completion(facts);
    let awaits_display = is_unfinished && facts.has_text;
    Verdict { class: reason.map_or(Class::Turn, Reason::class), reason, awaits_display }
}

/// Refusals and failures are no use of Copilot. Source: HTTP alone.
fn status(facts: &Facts, _: History) -> Option<Reason> {
    (!is_success(facts.status, facts.endpoint)).then_some(Reason::Status)
}

/// Clients try again after a lost connection, with the same `X-Request-Id`. Source: seen live (language server, after a
/// refusal), vscode-copilot-chat (`networking.ts`).
fn repeat(_: &Facts, history: History) -> Option<Reason> {
    history.repeat_of_success.then_some(Reason::Repeat)
}

/// A completion that the client cancelled came too late to be shown, unless telemetry says that it was: clients also cancel
/// when they have as much as they want. A chat that had brought text was read, so it goes on to the other rules. Source: the
/// ending that the proxy saw.
fn canceled(facts: &Facts, history: History) -> Option<Reason> {
    (facts.outcome == Outcome::Canceled && !is_seen(facts, history)).then_some(Reason::Canceled)
}

/// An upstream that breaks off in mid-answer leaves what a cancelled answer leaves, and counts like one. Source: the ending
/// that the proxy saw.
fn broken_off(facts: &Facts, history: History) -> Option<Reason> {
    (facts.outcome == Outcome::Failed && !is_seen(facts, history)).then_some(Reason::BrokenOff)
}

fn is_seen(facts: &Facts, history: History) -> bool {
    match facts.kind {
        Kind::Chat => facts.has_text,
        Kind::Completions => history.shown,
    }
}

/// An editor asks on its own account for titles, branch names, progress messages and lists of what is to do. Source:
/// `X-Interaction-Type` of vscode-copilot-chat, which says `agent` with it.
fn background(facts: &Facts, _: History) -> Option<Reason> {
    is_chat_about(facts, BACKGROUND).then_some(Reason::Background)
}

/// Summaries make room in a long conversation. Source: `X-Interaction-Type` of vscode-copilot-chat. That a request lets the
/// server compact (`context_management` of Responses) says nothing: VS Code's ordinary ones do.
fn compaction(facts: &Facts, _: History) -> Option<Reason> {
    is_chat_about(facts, COMPACTION).then_some(Reason::Compaction)
}

/// What belongs to no place of chat is a helper's, unless a person began it: VS Code says `user` for commit messages and for
/// extensions that ask through its language model interface. Source: vscode-copilot-chat (`gitCommitMessageGenerator.ts`,
/// `languageModelAccess.ts`); its titles and summaries were of this kind before they had one of their own.
fn other(facts: &Facts, _: History) -> Option<Reason> {
    let is_helper = is_chat_about(facts, OTHER) && facts.initiator != Some(Initiator::User);
    (is_helper && !is_extension(facts) && !is_instant_apply(facts)).then_some(Reason::Other)
}

/// A person's question leaves the model its choice of tools; a helper wants one form filled in. Source: seen live: the language
/// server asks so for a title and a next question (`showSuggestions`) after each answer, with its turn's `X-Interaction-Id`
/// and `X-Initiator: user`. An extension may force a tool in a person's place (vscode-copilot-chat, `languageModelAccess.ts`).
fn forced_tool(facts: &Facts, _: History) -> Option<Reason> {
    (is_chat(facts) && facts.forces_tool && !is_extension(facts)).then_some(Reason::ForcedTool)
}

/// An agent's own agent works within a person's turn. Source: `X-Interaction-Type` of vscode-copilot-chat.
fn subagent(facts: &Facts, _: History) -> Option<Reason> {
    is_chat_about(facts, SUBAGENT).then_some(Reason::Subagent)
}

/// Instant apply merges into a file what another exchange of the turn proposed. Source: vscode-copilot-chat
/// (`proxyInstantApplyShortEndpoint.ts`).
fn instant_apply(facts: &Facts, _: History) -> Option<Reason> {
    is_instant_apply(facts).then_some(Reason::InstantApply)
}

/// A JetBrains agent's follow-up offers its tools again. Source: legacy add-on.
fn agent_tools(facts: &Facts, _: History) -> Option<Reason> {
    (is_chat_of(facts, Ide::Intellij) && facts.has_tools && is_agent(facts)).then_some(Reason::AgentTools)
}

/// An agent's follow-up inside a person's turn says so. Source: seen live (the CLI on each of its endpoints; on a WebSocket
/// each message says it), `X-Initiator` in vscode-copilot-chat (`chatMLFetcher.ts`). A next-edit suggestion says it, too, though
/// a person typed: it is no chat.
fn agent_initiated(facts: &Facts, _: History) -> Option<Reason> {
    (is_chat(facts) && is_agent(facts)).then_some(Reason::AgentInitiated)
}

/// Who brings a tool's result goes on with a turn, whatever it says of itself: clients without `X-Initiator`, and
/// extensions that run their own agents, whose every request VS Code marks `user`. Source: OpenAI's and Anthropic's
/// documentation of tool use.
fn tool_results(facts: &Facts, _: History) -> Option<Reason> {
    (is_chat(facts) && facts.last_role.as_deref() == Some(dialogue::TOOL)).then_some(Reason::ToolResults)
}

/// A further request of the same prompt, though it says `user`: VS Code's after a hook that forbade to stop, and its inline
/// chat's second try. An extension's requests carry the interaction of the editor, which they have no part in. Source:
/// vscode-copilot-chat (`toolCallingLoop.ts`, `inlineChatIntent.ts`, `languageModelAccess.ts`).
fn same_turn(facts: &Facts, history: History) -> Option<Reason> {
    (is_chat(facts) && history.same_turn && !is_extension(facts)).then_some(Reason::SameTurn)
}

/// A speculative completion is fetched while another is shown, in case that one is accepted. Telemetry says when it is shown.
/// Source: seen live (language server), `X-Copilot-Speculative` in vscode-copilot-chat (`ghostText.ts`).
fn speculative(facts: &Facts, history: History) -> Option<Reason> {
    (facts.speculative && !history.shown).then_some(Reason::Speculative)
}

/// A completion without text shows nothing, and no more does a next-edit suggestion. Source: legacy add-on (VS Code and
/// JetBrains); the clients of other editors are of the same make. Of an answer that could not be read nothing is known, so it
/// stays.
fn empty_completion(facts: &Facts, _: History) -> Option<Reason> {
    (is_completion(facts) && !facts.has_text && facts.response_problems.is_empty()).then_some(Reason::EmptyCompletion)
}

/// In VS Code `stop` marks a helper's request, not a person's chat: its own chat never sends it (vscode-copilot-chat,
/// `networking.ts`), but an extension may. Source: legacy add-on.
fn stop_field(facts: &Facts, _: History) -> Option<Reason> {
    (is_chat_of(facts, Ide::Vscode) && facts.has_stop && !is_extension(facts)).then_some(Reason::StopField)
}

/// A person's chat ends with the person's message, a helper's request need not. Where `X-Initiator` says who asked, that is
/// better; but the language server says `user` for its helpers, too. Source: legacy add-on (JetBrains), and as
/// the fallback for clients that send no `X-Initiator`.
fn last_message_not_user(facts: &Facts, _: History) -> Option<Reason> {
    let by_another = facts.last_role.as_deref().is_some_and(|role| role != "user");
    let tells = is_chat_of(facts, Ide::Intellij) || (is_chat(facts) && facts.initiator.is_none());
    (tells && by_another).then_some(Reason::LastMessageNotUser)
}

fn is_chat(facts: &Facts) -> bool {
    facts.kind == Kind::Chat
}

fn is_completion(facts: &Facts) -> bool {
    facts.kind == Kind::Completions
}

fn is_chat_of(facts: &Facts, ide: Ide) -> bool {
    is_chat(facts) && facts.ide == Some(ide)
}

/// Whether a chat request says that it is for this, in `X-Interaction-Type` or, where it has none, in `OpenAI-Intent`.
fn is_chat_about(facts: &Facts, purpose: &str) -> bool {
    let told = facts.interaction_type.as_deref().or(facts.intent.as_deref());
    is_chat(facts) && told == Some(purpose)
}

fn is_agent(facts: &Facts) -> bool {
    facts.initiator == Some(Initiator::Agent)
}

fn is_extension(facts: &Facts) -> bool {
    is_chat(facts) && facts.action.as_deref().is_some_and(action::is_extension)
}

fn is_instant_apply(facts: &Facts) -> bool {
    is_chat(facts) && facts.feature == Feature::AgentEdit
}
