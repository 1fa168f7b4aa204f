//! The record file's content: the legacy add-on's keys in its order, then ours. The usage event is made from the record
//! and from nothing else, so `rebuild` cannot come to other numbers than the live path did.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::copilot::observation::Quota;
use crate::copilot::vocabulary::{Class, Edits, Kind, Outcome, Tokens};
use crate::copilot::{Understanding, Verdict, editor_label};
use crate::exchange::{ExchangeId, Head};
use crate::usage::UsageEvent;

/// Form of `timestamp`: UTC with microseconds and no zone, as Python's `isoformat` writes it.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.6f";

/// One exchange as its record file tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The user's name alone; the legacy add-on wrote the password, too.
    #[serde(rename = "proxy-authorization")]
    pub user: String,
    /// The exchange's end, UTC.
    pub timestamp: String,
    /// From request to end of the answer, as `188.35ms`.
    #[serde(rename = "proxy-time-consumed")]
    pub time_consumed: String,
    /// What was asked.
    pub request: RecordedRequest,
    /// What was answered.
    pub response: RecordedResponse,
    /// The exchange's id, the same as in the log and in the store.
    pub id: ExchangeId,
    /// Turn, step or noise.
    pub class: Class,
    /// Why it is a step or noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Completions or chat.
    pub kind: Kind,
    /// GitHub's feature name.
    pub feature: String,
    /// GitHub's editor name.
    pub editor: Option<String>,
    /// Lower-case editor language id.
    pub language: Option<String>,
    /// Model as the answer resolved it, without date.
    pub model: Option<String>,
    /// The date in the model's name, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    /// The legacy add-on's action type, such as `nes` or `commit-message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Editor, plugin and machine of the user's request before, where this one does not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inferred: Option<Inferred>,
    /// How the legacy add-on counted it, where it is imported from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_as: Option<CountedAs>,
    /// Key of the GitHub account whose token was used: an HMAC that tells nothing but whether two are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Token counts, as far as known.
    pub tokens: Tokens,
    /// Billionths of an AI credit that GitHub charges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_aiu: Option<u64>,
    /// What is left of the account's allowances after this exchange.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// When, and how long.
    pub timings: RecordedTimings,
    /// How it came out.
    pub outcome: Outcome,
    /// What was suggested.
    pub suggested: Suggested,
    /// What the answer's tool calls change in files.
    #[serde(default, skip_serializing_if = "Edits::is_none")]
    pub edits: Edits,
    /// Whether the answer was streamed: as server-sent events, or as messages of a WebSocket.
    pub streamed: bool,
    /// Sizes of the bodies on the wire, in bytes.
    pub bytes: Bytes,
    /// What could not be made out, such as `response: cut off`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// What a client is, from another request of its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inferred {
    /// As in the daily file: `vscode-1.96.2`.
    pub editor_version: Option<String>,
    /// As the client says it: `copilot-chat/0.31.1`.
    pub plugin: Option<String>,
    /// As the client says it.
    pub machine_id: Option<String>,
}

/// How the legacy add-on counted an exchange, where that is not told by the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedAs {
    /// As in its day files: `vscode-1.96.2`; `-` for a client that does not tell, or tells it in capitals.
    pub editor: String,
}

/// The request of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// Absolute URL.
    pub url: String,
    /// Request method.
    pub method: String,
    /// Header fields, names in lower case; repeated fields joined by a comma.
    pub headers: Map<String, Value>,
    /// JSON bodies as JSON, anything else as text.
    pub content: Value,
}

/// The answer of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedResponse {
    /// HTTP status code; `null` where no answer came.
    pub status_code: Option<u16>,
    /// Header fields like those of the request.
    pub headers: Map<String, Value>,
    /// One element for each server-sent event, or one for the whole body.
    pub content: Vec<Value>,
}

/// When an exchange happened, in milliseconds where a length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedTimings {
    /// Arrival of the request, RFC 3339.
    pub started_at: DateTime<Utc>,
    /// From request to first byte of the answer's body.
    pub first_byte_ms: Option<f64>,
    /// From request to end of the answer.
    pub duration_ms: f64,
}

/// Amounts that were suggested to the developer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggested {
    /// Suggestions with any text, or fenced code blocks of a chat answer.
    pub generations: u64,
    /// Lines in them.
    pub lines: u64,
    /// Characters in them.
    pub characters: u64,
}

/// Sizes on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Of the request's body.
    pub request: u64,
    /// Of the answer's body.
    pub response: u64,
}

/// A record whose `timestamp` or URL is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// `timestamp` has another form.
    #[error("`timestamp` is not of the form 2024-12-30T02:13:14.189603: {0}")]
    Timestamp(#[from] chrono::ParseError),
}

impl Record {
    /// The record of an exchange.
    #[must_use]
    pub fn new(head: &Head, understanding: Understanding, verdict: &Verdict) -> Self {
        let Understanding { request_content, response_content, facts } = understanding;
        let problems = facts.problems();
        let inferred = facts.editor_inferred.then(|| Inferred {
            editor_version: facts.editor.clone(),
            plugin: facts.plugin.clone(),
            machine_id: facts.machine_id.clone(),
        });
        let duration_ms = milliseconds(head.timings.duration_us);
        Self {
            user: head.user.clone(),
            timestamp: head.timings.ended_at.format(TIMESTAMP).to_string(),
            time_consumed: format!("{duration_ms:.2}ms"),
            request: RecordedRequest {
                url: head.url.clone(),
                method: head.method.clone(),
                headers: joined(&head.request_headers),
                content: request_content,
            },
            response: RecordedResponse {
                status_code: head.status(),
                headers: head.response.as_ref().map(|answer| joined(&answer.headers)).unwrap_or_default(),
                content: response_content,
            },
            id: head.id,
            class: verdict.class,
            reason: verdict.reason.map(|reason| reason.as_str().to_owned()),
            kind: facts.kind,
            feature: facts.feature.as_str().to_owned(),
            editor: facts.ide.map(|ide| ide.as_str().to_owned()),
            language: facts.language,
            model: facts.model,
            model_version: facts.model_version,
            action: facts.action,
            inferred,
            counted_as: None,
            account: head.account.clone(),
            tokens: facts.tokens,
            nano_aiu: facts.nano_aiu,
            quotas: facts.quotas,
            timings: RecordedTimings {
                started_at: head.timings.started_at,
                first_byte_ms: head.timings.first_byte_us.map(milliseconds),
                duration_ms,
            },
            outcome: facts.outcome,
            suggested: Suggested {
                generations: facts.generations,
                lines: facts.lines_suggested,
                characters: facts.characters_suggested,
            },
            edits: facts.edits,
            streamed: facts.streamed,
            bytes: Bytes { request: head.request_size.bytes, response: head.response_size.bytes },
            problems,
        }
    }

    /// The end of the exchange.
    ///
    /// # Errors
    /// Where `timestamp` was edited into something else.
    pub fn ended_at(&self) -> Result<DateTime<Utc>, RecordError> {
        Ok(NaiveDateTime::parse_from_str(&self.timestamp, "%Y-%m-%dT%H:%M:%S%.f")?.and_utc())
    }

    /// What is counted of the exchange.
    ///
    /// # Errors
    /// As [`Record::ended_at`].
    pub fn event(&self) -> Result<UsageEvent, RecordError> {
        let header = |name: &str| self.header(name).map(str::to_owned);
        Ok(UsageEvent {
            id: self.id,
            user: self.user.clone(),
            started_at: self.timings.started_at,
            ended_at: self.ended_at()?,
            kind: self.kind,
            class: self.class,
            reason: self.reason.clone(),
            outcome: self.outcome,
            status: self.response.status_code,
            feature: self.feature.clone(),
            ide: self.editor.clone(),
            editor: self.editor_label(),
            plugin: header("editor-plugin-version").or_else(|| self.inferred.as_ref()?.plugin.clone()),
            machine_id: self.machine_id().map(str::to_owned),
            session_id: header("vscode-sessionid").or_else(|| header("x-client-session-id")),
            account: self.account.clone().filter(|_| self.was_taken()),
            action: self.action.clone(),
            language: self.language.clone(),
            model: self.model.clone(),
            model_version: self.model_version.clone(),
            request_id: header("x-request-id"),
            interaction_id: header("x-interaction-id"),
            host: host(&self.request.url).to_owned(),
            streamed: self.streamed,
            tokens: self.tokens,
            nano_aiu: self.nano_aiu,
            edits: self.edits,
            quotas: self.quotas.clone(),
            generations: self.suggested.generations,
            lines_suggested: self.suggested.lines,
            characters_suggested: self.suggested.characters,
            first_byte_ms: self.timings.first_byte_ms,
            duration_ms: self.timings.duration_ms,
            request_bytes: self.bytes.request,
            response_bytes: self.bytes.response,
        })
    }

    /// Whether upstream took the request, and with it the token. One that GitHub refuses tells of no account: anybody can make
    /// one up.
    fn was_taken(&self) -> bool {
        matches!(self.response.status_code, Some(101 | 200..=299))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name).and_then(Value::as_str)
    }

    /// The editor and its version as in the daily file: `vscode-1.96.2`.
    pub(super) fn editor_label(&self) -> Option<String> {
        let counted = self.counted_as.as_ref().map(|counted| counted.editor.clone());
        let told = counted.or_else(|| self.header("editor-version").map(editor_label));
        told.or_else(|| self.inferred.as_ref()?.editor_version.clone())
    }

    /// The client's machine id, as sent.
    pub(super) fn machine_id(&self) -> Option<&str> {
        let told = self.header("vscode-machineid").or_else(|| self.header("x-client-machine-id"));
        told.or_else(|| self.inferred.as_ref()?.machine_id.as_deref())
    }

    /// The file's text: indented by four like the legacy add-on's, and text in its own script rather than escaped.
    #[must_use]
    pub fn to_json(&self) -> String {
        indented(self)
    }

    /// The time part of the file's name: `2024-12-30T02-13-14.189603`.
    #[must_use]
    pub fn file_stamp(&self) -> String {
        self.timestamp.replace(':', "-")
    }
}

/// What has string keys and finite numbers, in the layout of record files.
pub(super) fn indented(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter));
    debug_assert!(written.is_ok(), "string keys and finite numbers");
    String::from_utf8(text).unwrap_or_default()
}

/// With two decimals: finer is noise, and the number stays readable.
#[expect(clippy::cast_precision_loss, reason = "microseconds of an exchange fit an f64 exactly for 285 years")]
fn milliseconds(micros: u64) -> f64 {
    (micros as f64 / 10.0).round() / 100.0
}

fn joined(headers: &[(String, String)]) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in headers {
        match map.get_mut(name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(value);
            }
            _ => {
                map.insert(name.clone(), Value::String(value.clone()));
            }
        }
    }
    map
}

fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}
