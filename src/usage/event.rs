//! The usage event: one row an exchange, and the only thing any report, metric or dashboard is computed from.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::copilot::Feature;
use crate::copilot::observation::Quota;
use crate::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use crate::exchange::ExchangeId;

/// Reason of a turn whose record is imported from a legacy add-on, which decided that it is one.
pub const IMPORTED: &str = "imported";

/// Reason of a turn that only a day file of a legacy add-on tells of: it has no content, and all that the file does not count
/// by is unknown. As noise: a record of it came later.
pub const IMPORTED_COUNT: &str = "imported_count";

/// What is counted of one exchange. `None` is unknown, which is not zero. Holds no text of prompts or answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// The exchange's id; inserting the same id again changes nothing.
    pub id: ExchangeId,
    /// Allowlist name of the user.
    pub user: String,
    /// Arrival of the request.
    pub started_at: DateTime<Utc>,
    /// End of the exchange; its UTC date is the event's day.
    pub ended_at: DateTime<Utc>,
    /// Completions or chat.
    pub kind: Kind,
    /// Turn, step or noise.
    pub class: Class,
    /// Reason code of a step or of noise, and of turns that are imported ([`IMPORTED`], [`IMPORTED_COUNT`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How it came out.
    pub outcome: Outcome,
    /// HTTP status of the answer; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// GitHub's feature name, such as `code_completion` or `chat_panel_ask_mode`.
    pub feature: String,
    /// GitHub's editor name, such as `vscode` or `intellij`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ide: Option<String>,
    /// The editor and its version as the client says it, `/` replaced by `-`: `vscode-1.96.2`. Key of the daily file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub editor: Option<String>,
    /// The plugin and its version as the client says it: `copilot-chat/0.31.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The client's machine id, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// The client's session id, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Key of the GitHub account whose token was used (see [`crate::copilot::observation::Account::key`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The legacy add-on's action type, such as `nes`, `agent` or `commit-message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Lower-case editor language id, such as `python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Model as resolved by the answer, without a date suffix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The model's date suffix (`2024-05-13`), where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The client's `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The client's `X-Interaction-Id`: one for all requests of one user prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction_id: Option<String>,
    /// Host that was asked.
    pub host: String,
    /// Whether the answer was streamed: as server-sent events, or as messages of a WebSocket.
    pub streamed: bool,
    /// Token counts.
    #[serde(default, skip_serializing_if = "Tokens::is_unknown")]
    pub tokens: Tokens,
    /// Billionths of an AI credit that GitHub charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_aiu: Option<u64>,
    /// What an agent's tool calls change in files.
    pub edits: Edits,
    /// What is left of the account's allowances after this exchange.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// Suggestions with any text (completions), or fenced code blocks (chat).
    pub generations: u64,
    /// Lines suggested: of the completions' text, or of the chat answer's code blocks.
    pub lines_suggested: u64,
    /// Characters suggested, counted like the lines.
    pub characters_suggested: u64,
    /// From request to first byte of the answer's body, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
    /// From request to end of the answer, milliseconds; 0 where it is unknown, which only imported turns are.
    pub duration_ms: f64,
    /// Size of the request's body on the wire.
    pub request_bytes: u64,
    /// Size of the answer's body on the wire.
    pub response_bytes: u64,
}

impl UsageEvent {
    /// The UTC day that the event is booked on: that of the exchange's end.
    #[must_use]
    pub fn day(&self) -> NaiveDate {
        self.ended_at.date_naive()
    }

    /// Whether the CLI or the Copilot app sent it, which GitHub counts beside the editors.
    #[must_use]
    pub fn is_of_no_editor(&self) -> bool {
        [Feature::CopilotCli, Feature::CopilotApp].iter().any(|feature| feature.as_str() == self.feature)
    }
}
