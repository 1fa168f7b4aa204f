//! What is told of clients: versions, and the totals of those that are no editors.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::activity::{APP, CLI};
use super::breakdown::Source;
use super::{Gaps, milliseconds};
use crate::usage::{Client, Counts};

/// What GitHub says for a CLI whose version nobody told.
const UNKNOWN_VERSION: &str = "unknown";

/// `last_known_ide_version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct IdeVersion<'a> {
    ide_version: &'a str,
    #[serde(serialize_with = "milliseconds")]
    sampled_at: DateTime<Utc>,
}

impl<'a> IdeVersion<'a> {
    pub(super) fn of(client: &'a Client) -> Option<Self> {
        Some(Self { ide_version: client.version.as_deref()?, sampled_at: client.seen_at })
    }
}

/// `last_known_plugin_version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct PluginVersion<'a> {
    plugin: &'a str,
    plugin_version: &'a str,
    #[serde(serialize_with = "milliseconds")]
    sampled_at: DateTime<Utc>,
}

impl<'a> PluginVersion<'a> {
    pub(super) fn of(client: &'a Client) -> Option<Self> {
        let told = client.plugin.as_deref()?;
        let (plugin, plugin_version) = told.split_once('/').unwrap_or((told, ""));
        Some(Self { plugin, plugin_version, sampled_at: client.seen_at })
    }
}

/// `last_known_cli_version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct CliVersion<'a> {
    cli_version: &'a str,
    #[serde(serialize_with = "milliseconds")]
    sampled_at: DateTime<Utc>,
}

impl<'a> CliVersion<'a> {
    fn of(client: &'a Client) -> Self {
        Self { cli_version: client.version.as_deref().unwrap_or(UNKNOWN_VERSION), sampled_at: client.seen_at }
    }
}

/// `totals_by_cli` and `totals_by_copilot_app`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ClientTotals<'a> {
    /// Unknown where no request told its session.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_count: Option<u64>,
    request_count: u64,
    prompt_count: u64,
    token_usage: TokenUsage,
    /// Of one user's CLI alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_known_cli_version: Option<CliVersion<'a>>,
}

/// `token_usage`. Sums are unknown where no answer told any tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct TokenUsage {
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_sum: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_sum: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg_tokens_per_request: Option<f64>,
}

impl<'a> ClientTotals<'a> {
    /// Of the CLI, where there are any.
    pub(super) fn of_cli(source: &Source<'a>, sessions: u64, gaps: Gaps) -> Option<Self> {
        let version = source.clients.and_then(|clients| clients.get(CLI)).map(CliVersion::of);
        let counts = source.feature(CLI)?;
        Some(Self { last_known_cli_version: version, ..Self::new(&counts, sessions, gaps) })
    }

    /// Of the Copilot app, where there are any.
    pub(super) fn of_app(source: &Source<'a>, sessions: u64, gaps: Gaps) -> Option<Self> {
        source.feature(APP).map(|counts| Self::new(&counts, sessions, gaps))
    }

    fn new(counts: &Counts, sessions: u64, gaps: Gaps) -> Self {
        let tokens = counts.input_tokens.saturating_add(counts.output_tokens);
        let average = (tokens > 0 && counts.requests > 0).then(|| tokens as f64 / counts.requests as f64);
        Self {
            session_count: gaps.told(sessions),
            request_count: counts.requests,
            prompt_count: counts.interactions,
            token_usage: TokenUsage {
                output_tokens_sum: gaps.told(counts.output_tokens),
                prompt_tokens_sum: gaps.told(counts.input_tokens),
                avg_tokens_per_request: gaps.fill(average).filter(|_| counts.requests > 0),
            },
            last_known_cli_version: None,
        }
    }
}
