//! What clients and GitHub tell in passing, beside the exchanges with a model: what became of suggestions, and whose account
//! it is. None of it is text of prompts, answers or code, and no token.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What was read from a request that is no exchange with a model. It takes the exchange's place in the spool, so the body
/// itself never touches the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// An editor's telemetry. That there is any tells that the editor reports at all, even where it told nothing of use.
    Telemetry(Vec<Observation>),
    /// The CLI's: it tells of sessions, and nothing of whether an editor of the same user reports.
    CliTelemetry(Vec<Observation>),
    /// GitHub's answer about the account.
    Account(Account),
}

/// One fact of a client's telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// What became of a completion or a next-edit suggestion.
    Suggestion(SuggestionReport),
    /// What a person did with an answer of chat.
    ChatAction(ChatAction),
    /// What a session of the CLI came to.
    Session(SessionTotals),
}

/// One event in the life of a suggestion. Several tell of one suggestion, in any order and more than once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuggestionReport {
    /// `clientCompletionId`, or `opportunityId` of next-edit suggestions.
    pub suggestion_id: String,
    /// Ghost text or next edit.
    pub kind: SuggestionKind,
    /// `headerRequestId`: the `X-Request-Id` of the exchange that brought it.
    pub request_id: Option<String>,
    /// What happened.
    pub fate: Fate,
    /// Lines of it: of the whole where it is shown, of the accepted part (from its beginning) where it is accepted.
    pub lines: Option<u64>,
    /// Characters likewise.
    pub characters: Option<u64>,
    /// Lower-case editor language id.
    pub language: Option<String>,
    /// Model or engine as the client names it.
    pub model: Option<String>,
    /// `Editor-Version` as in requests: `vscode/1.119.0`.
    pub editor_version: Option<String>,
    /// The client's clock.
    pub time: Option<DateTime<Utc>>,
}

/// The two kinds of suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuggestionKind {
    /// Ghost text.
    Completion,
    /// A next-edit suggestion.
    NextEdit,
}

/// What happened to a suggestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was displayed.
    Shown,
    /// It was accepted, from its beginning to its end or in part.
    Accepted {
        /// Whether no more than a part of it was, as far as this report tells: Microsoft's copies do not tell of the whole.
        partially: bool,
    },
    /// It was dismissed, or typed over.
    Rejected,
    /// Whether it was still in the code some time after it was accepted.
    StillInCode {
        /// Seconds after the acceptance: 15, 30, 120, 300 or 600.
        after_s: u64,
        /// What the client's heuristic says.
        kept: bool,
    },
}

/// What a person did with a part of a chat answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatAction {
    /// The same for every copy of the event, wherever it is sent: made of its time and what it tells.
    pub key: String,
    /// What was done.
    pub kind: ChatActionKind,
    /// The language server's `messageId`: the exchange's `X-Interaction-Id`.
    pub interaction_id: Option<String>,
    /// VS Code's `headerRequestId`: the exchange's `X-Request-Id`.
    pub request_id: Option<String>,
    /// Lower-case editor language id.
    pub language: Option<String>,
    /// Model as the client names it.
    pub model: Option<String>,
    /// Lines copied, inserted or applied.
    pub lines: Option<u64>,
    /// Characters likewise.
    pub characters: Option<u64>,
    /// The client's clock.
    pub time: Option<DateTime<Utc>>,
}

/// The ways to use an answer of chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatActionKind {
    /// A code block was copied with its button.
    Copied,
    /// A code block was inserted.
    Inserted,
    /// A code block was applied to a file.
    Applied,
    /// An agent's edit was kept.
    EditKept,
    /// An agent's edit was undone.
    EditUndone,
}

impl ChatActionKind {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Inserted => "inserted",
            Self::Applied => "applied",
            Self::EditKept => "edit_kept",
            Self::EditUndone => "edit_undone",
        }
    }
}

/// What a session of the CLI came to, told at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionTotals {
    /// The session's id; where the event has none, its key as in [`ChatAction::key`].
    pub session_id: String,
    /// Lines added to files.
    pub lines_added: Option<u64>,
    /// Lines removed from files.
    pub lines_removed: Option<u64>,
    /// Files changed.
    pub files_modified: Option<u64>,
    /// Premium requests spent.
    pub premium_requests: Option<f64>,
    /// Billionths of an AI credit spent.
    pub nano_aiu: Option<u64>,
    /// The client's clock.
    pub time: Option<DateTime<Utc>>,
}

/// What is known of the GitHub account that a client uses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// HMAC of the account's tracking id (a token's `tid`), which itself is kept nowhere. Set by the recorder's intake.
    pub key: Option<String>,
    /// GitHub login.
    pub login: Option<String>,
    /// GitHub's number of the user.
    pub github_id: Option<u64>,
    /// `sku` or `access_type_sku`: `copilot_for_business_seat_quota`.
    pub plan: Option<String>,
    /// Logins of the organisations.
    pub organizations: Vec<String>,
    /// Whether GitHub lets the client send enhanced telemetry (`restricted_telemetry`, `rt=1`).
    pub enhanced_telemetry: Option<bool>,
    /// What is left, from `quota_snapshots`.
    pub quotas: Vec<Quota>,
}

/// How much of an allowance is left. Written out, what is unknown is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// GitHub's name: `chat`, `completions`, `premium_interactions`, `premium_models`.
    pub name: String,
    /// The whole allowance; -1 is unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<f64>,
    /// Of it, per cent left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_remaining: Option<f64>,
    /// Units beyond the allowance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overage: Option<f64>,
    /// Whether more may be used than the allowance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overage_permitted: Option<bool>,
    /// When it begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
}
