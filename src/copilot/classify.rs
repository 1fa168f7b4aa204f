//! What an exchange counts as: a person's turn, an agent's step, or noise.
//!
//! The class is decided once, in the recorder, and kept with the record and the event; nothing downstream asks again. The
//! rules with which the legacy add-on left requests out are marked so.

use serde::{Deserialize, Serialize};

use super::editor::Ide;
use super::facts::{Facts, Initiator};
use super::vocabulary::{Class, Kind, Outcome};

/// A class and, unless it is a turn, the reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Turn, step or noise.
    pub class: Class,
    /// Why it is no turn.
    pub reason: Option<Reason>,
}

/// Why an exchange is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Noise: the answer's status is not 2xx, or there was no answer.
    Status,
    /// Noise: an earlier attempt of the same request succeeded.
    Repeat,
    /// Noise: the client went away before the end.
    Canceled,
    /// Noise: the upstream broke off before the end.
    BrokenOff,
    /// Step: a JetBrains agent's follow-up with tools.
    AgentTools,
    /// Step: any other chat request that an agent began.
    AgentInitiated,
    /// Noise: a completion fetched ahead of need.
    Speculative,
    /// Noise: a completion without text.
    EmptyCompletion,
    /// Noise: a VS Code chat request with a `stop` field.
    StopField,
    /// Noise: a JetBrains chat request whose last message is not the user's.
    LastMessageNotUser,
}

impl Reason {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Status,
        Self::Repeat,
        Self::Canceled,
        Self::BrokenOff,
        Self::AgentTools,
        Self::AgentInitiated,
        Self::Speculative,
        Self::EmptyCompletion,
        Self::StopField,
        Self::LastMessageNotUser,
    ];

    /// The code in records, events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Repeat => "repeat",
            Self::Canceled => "canceled",
            Self::BrokenOff => "broken_off",
            Self::AgentTools => "agent_tools",
            Self::AgentInitiated => "agent_initiated",
            Self::Speculative => "speculative",
            Self::EmptyCompletion => "empty_completion",
            Self::StopField => "stop_field",
            Self::LastMessageNotUser => "last_message_not_user",
        }
    }

    /// The class of an exchange with this reason.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::AgentTools | Self::AgentInitiated => Class::Step,
            _ => Class::Noise,
        }
    }
}

type Rule = fn(&Facts) -> Option<Reason>;

/// The rules after `status` and `repeat`, in order; the first that holds decides.
const RULES: &[Rule] = &[
    canceled,
    broken_off,
    agent_tools,
    agent_initiated,
    speculative,
    empty_completion,
    stop_field,
    last_message_not_user,
];

/// Decides an exchange's class. `repeat_of_success` says that an earlier exchange of the same user with the same
/// `X-Request-Id` ended with 2xx.
#[must_use]
pub fn classify(facts: &Facts, repeat_of_success: bool) -> Verdict {
    let repeat = repeat_of_success.then_some(Reason::Repeat);
    let reason = status(facts).or(repeat).or_else(|| RULES.iter().find_map(|rule| rule(facts)));
    Verdict { class: reason.map_or(Class::Turn, Reason::class), reason }
}

/// Refusals and failures are no use of Copilot. Source: HTTP alone (RFC 9110 section 15.3).
fn status(facts: &Facts) -> Option<Reason> {
    let succeeded = facts.status.is_some_and(|status| (200..300).contains(&status));
    (!succeeded).then_some(Reason::Status)
}

/// A completion that the client cancelled came too late to be shown. A chat that had brought text was read, so it goes on
/// to the other rules. Source: the ending that the proxy saw.
fn canceled(facts: &Facts) -> Option<Reason> {
    (facts.outcome == Outcome::Canceled && !is_read_chat(facts)).then_some(Reason::Canceled)
}

/// An upstream that breaks off in mid-answer leaves what a cancelled answer leaves, and counts like one. Source: the ending
/// that the proxy saw.
fn broken_off(facts: &Facts) -> Option<Reason> {
    (facts.outcome == Outcome::Failed && !is_read_chat(facts)).then_some(Reason::BrokenOff)
}

fn is_read_chat(facts: &Facts) -> bool {
    facts.kind == Kind::Chat && facts.has_text
}

/// A JetBrains agent's follow-up offers its tools again. Source: the legacy add-on.
fn agent_tools(facts: &Facts) -> Option<Reason> {
    (is_chat_of(facts, Ide::Intellij) && facts.has_tools && is_agent(facts)).then_some(Reason::AgentTools)
}

/// An agent's follow-up inside a person's turn says so. Source: `X-Initiator` in vscode-copilot-chat (`networking.ts`).
fn agent_initiated(facts: &Facts) -> Option<Reason> {
    (facts.kind == Kind::Chat && is_agent(facts)).then_some(Reason::AgentInitiated)
}

/// A speculative completion is fetched while another is shown, in case that one is accepted. Source:
/// `X-Copilot-Speculative` in vscode-copilot-chat (`ghostText.ts`).
fn speculative(facts: &Facts) -> Option<Reason> {
    facts.speculative.then_some(Reason::Speculative)
}

/// A completion without text shows nothing. Source: the legacy add-on. Of an answer that could not be read nothing is
/// known, so it stays.
fn empty_completion(facts: &Facts) -> Option<Reason> {
    let is_completion = facts.kind == Kind::Completions && matches!(facts.ide, Some(Ide::Vscode | Ide::Intellij));
    (is_completion && !facts.has_text && facts.response_problems.is_empty()).then_some(Reason::EmptyCompletion)
}

/// In VS Code `stop` marks a helper's request, not a person's chat. Source: the legacy add-on.
fn stop_field(facts: &Facts) -> Option<Reason> {
    (is_chat_of(facts, Ide::Vscode) && facts.has_stop).then_some(Reason::StopField)
}

/// In JetBrains a person's chat ends with the person's message, a helper's request need not. Source: the legacy add-on.
fn last_message_not_user(facts: &Facts) -> Option<Reason> {
    let by_another = facts.last_role.as_deref().is_some_and(|role| role != "user");
    (is_chat_of(facts, Ide::Intellij) && by_another).then_some(Reason::LastMessageNotUser)
}

fn is_chat_of(facts: &Facts, ide: Ide) -> bool {
    facts.kind == Kind::Chat && facts.ide == Some(ide)
}

fn is_agent(facts: &Facts) -> bool {
    facts.initiator == Some(Initiator::Agent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copilot::{sample, understand};
    use crate::exchange::{Ending, Exchange};

    const VSCODE: (&str, &str) = ("editor-version", "vscode/1.119.0");
    const JETBRAINS: (&str, &str) = ("editor-version", "JetBrains-IC/2026.1");
    const NEOVIM: (&str, &str) = ("editor-version", "Neovim/0.11");
    const AGENT: (&str, &str) = ("x-initiator", "agent");
    const USER: (&str, &str) = ("x-initiator", "user");

    const COMPLETION: &str = r#"{"prompt":"def a","stop":["\n"],"stream":true,"extra":{"language":"python"}}"#;
    const GHOST: &str = r#"{"choices":[{"index":0,"text":"(b):","finish_reason":"stop"}]}"#;
    const NO_GHOST: &str = r#"{"choices":[{"index":0,"finish_reason":"stop"}]}"#;
    const CHAT: &str = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#;
    const SAID: &str = r#"{"choices":[{"index":0,"delta":{"content":"hello"}}]}"#;

    fn completion(headers: &[(&str, &str)], event: &str) -> Exchange {
        sample::completion(headers, COMPLETION, &sample::stream(&[event]))
    }

    fn chat(headers: &[(&str, &str)], request: &str) -> Exchange {
        sample::chat(headers, request, &sample::stream(&[SAID]))
    }

    /// `turn`, or the class and the reason.
    fn verdict(exchange: &Exchange) -> String {
        told(classify(&understand(exchange, 1 << 20).facts, false))
    }

    fn told(verdict: Verdict) -> String {
        let class = verdict.class.as_str();
        verdict.reason.map_or(class.to_owned(), |reason| format!("{class} {}", reason.as_str()))
    }

    fn ended(mut exchange: Exchange, ending: Ending) -> Exchange {
        exchange.head.ending = ending;
        exchange
    }

    fn with_status(mut exchange: Exchange, status: u16) -> Exchange {
        exchange.head.response.as_mut().unwrap().status = status;
        exchange
    }

    #[test]
    fn completions_and_chats_of_people_are_turns() {
        for editor in [VSCODE, JETBRAINS, NEOVIM] {
            assert_eq!(verdict(&completion(&[editor], GHOST)), "turn");
            assert_eq!(verdict(&chat(&[editor, USER], CHAT)), "turn");
        }
        assert_eq!(verdict(&chat(&[], CHAT)), "turn");
    }

    #[test]
    fn an_answer_other_than_2xx_is_noise() {
        for status in [101, 304, 400, 401, 403, 429, 500, 503] {
            assert_eq!(verdict(&with_status(chat(&[VSCODE, AGENT], CHAT), status)), "noise status");
        }
        let mut unanswered = ended(chat(&[VSCODE], CHAT), Ending::UpstreamFailed);
        unanswered.head.response = None;
        assert_eq!(verdict(&unanswered), "noise status");
    }

    #[test]
    fn a_repeat_of_a_success_is_noise_and_a_failed_one_has_its_status() {
        let told_repeat = |exchange: &Exchange| told(classify(&understand(exchange, 1 << 20).facts, true));
        assert_eq!(told_repeat(&chat(&[VSCODE, AGENT], CHAT)), "noise repeat");
        assert_eq!(told_repeat(&with_status(chat(&[VSCODE], CHAT), 500)), "noise status");
    }

    #[test]
    fn an_answer_without_an_end_is_noise_unless_it_is_chat_with_text() {
        for (ending, reason) in [(Ending::Canceled, "noise canceled"), (Ending::UpstreamFailed, "noise broken_off")] {
            assert_eq!(verdict(&ended(completion(&[VSCODE], GHOST), ending)), reason);
            assert_eq!(verdict(&ended(sample::chat(&[VSCODE], CHAT, ""), ending)), reason);
            assert_eq!(verdict(&ended(chat(&[VSCODE], CHAT), ending)), "turn");
            assert_eq!(verdict(&ended(chat(&[VSCODE, AGENT], CHAT), ending)), "step agent_initiated");
        }
    }

    #[test]
    fn an_agents_chat_is_a_step() {
        let with_tools =
            r#"{"tools":[{"type":"function"}],"messages":[{"role":"user"},{"role":"assistant"},{"role":"tool"}]}"#;
        assert_eq!(verdict(&chat(&[JETBRAINS, AGENT], with_tools)), "step agent_tools");
        assert_eq!(verdict(&chat(&[VSCODE, AGENT], with_tools)), "step agent_initiated");
        assert_eq!(verdict(&chat(&[JETBRAINS, AGENT], CHAT)), "step agent_initiated");
        assert_eq!(verdict(&chat(&[AGENT], CHAT)), "step agent_initiated");
        assert_eq!(verdict(&completion(&[VSCODE, AGENT], GHOST)), "turn");
    }

    #[test]
    fn a_speculative_completion_is_noise() {
        assert_eq!(verdict(&completion(&[VSCODE, ("x-copilot-speculative", "true")], GHOST)), "noise speculative");
        assert_eq!(verdict(&completion(&[VSCODE, ("x-copilot-speculative", "false")], GHOST)), "turn");
    }

    #[test]
    fn a_completion_without_text_is_noise_in_vscode_and_jetbrains() {
        for empty in [NO_GHOST, r#"{"choices":[]}"#, r#"{"choices":[{"text":""}]}"#] {
            assert_eq!(verdict(&completion(&[VSCODE], empty)), "noise empty_completion");
            assert_eq!(verdict(&completion(&[JETBRAINS], empty)), "noise empty_completion");
            assert_eq!(verdict(&completion(&[NEOVIM], empty)), "turn");
        }
    }

    #[test]
    fn a_completion_that_could_not_be_read_is_kept() {
        for garbled in [r#"{"choices":[{"te"#, "not json", r#"{"choices":[{"text":1e400}]}"#] {
            assert_eq!(verdict(&completion(&[VSCODE], garbled)), "turn", "{garbled}");
        }
    }

    #[test]
    fn a_vscode_chat_with_a_stop_field_is_noise() {
        let stop = r#"{"stop":[";"],"messages":[{"role":"user","content":"title?"}]}"#;
        assert_eq!(verdict(&chat(&[VSCODE, USER], stop)), "noise stop_field");
        assert_eq!(verdict(&chat(&[JETBRAINS, USER], stop)), "turn");
    }

    #[test]
    fn a_jetbrains_chat_that_does_not_end_with_the_user_is_noise_unless_it_is_a_step() {
        let system_last = r#"{"messages":[{"role":"user","content":"u"},{"role":"system","content":"s"}]}"#;
        assert_eq!(verdict(&chat(&[JETBRAINS, USER], system_last)), "noise last_message_not_user");
        assert_eq!(verdict(&chat(&[JETBRAINS], r#"{"messages":[]}"#)), "turn");
        assert_eq!(verdict(&chat(&[JETBRAINS, AGENT], system_last)), "step agent_initiated");
        assert_eq!(verdict(&chat(&[VSCODE, USER], system_last)), "turn");
    }

    #[test]
    fn reasons_are_written_as_they_are_told() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
