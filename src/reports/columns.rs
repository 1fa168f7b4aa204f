//! The columns of tables: one list of names, types and values for every format that has columns.

use std::borrow::Cow;
use std::rc::Rc;

use chrono::{DateTime, NaiveDate, Utc};

use super::Person;
use crate::copilot::Feature;
use crate::usage::{Cell, Counts, UNKNOWN, UsageEvent};

/// A column of a table whose rows are made of `R`s.
pub(super) struct Column<R> {
    /// Lower case, words joined by `_`.
    pub(super) name: &'static str,
    /// Its type, and how a row's value is had.
    pub(super) value: Get<R>,
}

/// How a value is had. `None` is unknown, which tables leave empty.
pub(super) enum Get<R> {
    /// Text, which clients may have chosen.
    Text(for<'r> fn(&'r R) -> Option<Cow<'r, str>>),
    /// A count or an amount.
    Count(fn(&R) -> Option<u64>),
    /// A measure with a fraction.
    Measure(fn(&R) -> Option<f64>),
    /// Yes or no.
    Flag(fn(&R) -> bool),
    /// An instant, to the microsecond.
    Time(fn(&R) -> DateTime<Utc>),
    /// A UTC day.
    Day(fn(&R) -> NaiveDate),
}

/// What one user did in one cell on one day.
pub(super) struct UsageRow {
    pub(super) day: NaiveDate,
    pub(super) person: Rc<Person>,
    /// Whether the user's editors sent telemetry that day.
    pub(super) telemetry: bool,
    pub(super) cell: Cell,
    pub(super) counts: Counts,
}

impl UsageRow {
    /// A count of what only an editor's telemetry tells. The CLI, the app and file edits have none and need none: what they do
    /// is known without.
    fn told(&self, count: u64) -> Option<u64> {
        let needs_none = self.cell.ide.is_empty() || self.cell.feature == Feature::AgentEdit.as_str();
        (self.telemetry || needs_none).then_some(count)
    }

    /// An amount of tokens. No call of a model takes none, so without any of either direction nothing was told.
    fn tokens(&self, count: u64) -> Option<u64> {
        (self.counts.input_tokens > 0 || self.counts.output_tokens > 0).then_some(count)
    }
}

/// The columns of daily usage: who and when, what it is told apart by, and the counts as [`Counts`] defines them.
pub(super) fn of_usage() -> [Column<UsageRow>; 23] {
    use Get::{Count, Day, Flag, Text};
    [
        column("day", Day(|row| row.day)),
        column("user", Text(|row| text(&row.person.name))),
        column("login", Text(|row| text(&row.person.login))),
        column("teams", Text(|row| some(row.person.teams.join(";")))),
        column("telemetry", Flag(|row| row.telemetry)),
        column("ide", Text(|row| text(&row.cell.ide))),
        column("feature", Text(|row| text(&row.cell.feature))),
        column("language", Text(|row| known(&row.cell.language))),
        column("model", Text(|row| known(&row.cell.model))),
        column("requests", Count(|row| Some(row.counts.requests))),
        column("turns", Count(|row| Some(row.counts.turns))),
        column("interactions", Count(|row| Some(row.counts.interactions))),
        column("generations", Count(|row| Some(row.counts.generations))),
        column("acceptances", Count(|row| row.told(row.counts.acceptances))),
        column("lines_suggested", Count(|row| Some(row.counts.lines_suggested))),
        column("lines_added", Count(|row| row.told(row.counts.lines_added))),
        column("lines_removed", Count(|row| Some(row.counts.lines_removed))),
        column("copied", Count(|row| row.told(row.counts.copied))),
        column("inserted", Count(|row| row.told(row.counts.inserted))),
        column("input_tokens", Count(|row| row.tokens(row.counts.input_tokens))),
        column("output_tokens", Count(|row| row.tokens(row.counts.output_tokens))),
        column("cached_tokens", Count(|row| row.tokens(row.counts.cached_tokens))),
        // Many calls cost nothing and many tell no price; the sum knows no difference.
        column("nano_aiu", Count(|row| Some(row.counts.nano_aiu).filter(|price| *price > 0))),
    ]
}

/// The columns of events: the day, and the fields of [`UsageEvent`] but for its quotas, of which stores keep the newest alone.
pub(super) fn of_events() -> [Column<UsageEvent>; 41] {
    use Get::{Count, Day, Flag, Measure, Text, Time};
    [
        column("day", Day(UsageEvent::day)),
        column("id", Text(|event| some(event.id.to_string()))),
        column("user", Text(|event| text(&event.user))),
        column("started_at", Time(|event| event.started_at)),
        column("ended_at", Time(|event| event.ended_at)),
        column("kind", Text(|event| text(event.kind.as_str()))),
        column("class", Text(|event| text(event.class.as_str()))),
        column("reason", Text(|event| told(&event.reason))),
        column("outcome", Text(|event| text(event.outcome.as_str()))),
        column("status", Count(|event| event.status.map(u64::from))),
        column("feature", Text(|event| text(&event.feature))),
        column("ide", Text(|event| told(&event.ide))),
        column("editor", Text(|event| told(&event.editor))),
        column("plugin", Text(|event| told(&event.plugin))),
        column("machine_id", Text(|event| told(&event.machine_id))),
        column("session_id", Text(|event| told(&event.session_id))),
        column("account", Text(|event| told(&event.account))),
        column("action", Text(|event| told(&event.action))),
        column("language", Text(|event| told(&event.language))),
        column("model", Text(|event| told(&event.model))),
        column("model_version", Text(|event| told(&event.model_version))),
        column("request_id", Text(|event| told(&event.request_id))),
        column("interaction_id", Text(|event| told(&event.interaction_id))),
        column("host", Text(|event| text(&event.host))),
        column("streamed", Flag(|event| event.streamed)),
        column("tokens_input", Count(|event| event.tokens.input)),
        column("tokens_output", Count(|event| event.tokens.output)),
        column("tokens_cached", Count(|event| event.tokens.cached)),
        column("tokens_cache_written", Count(|event| event.tokens.cache_written)),
        column("tokens_reasoning", Count(|event| event.tokens.reasoning)),
        column("nano_aiu", Count(|event| event.nano_aiu)),
        column("edits_files", Count(|event| Some(event.edits.files))),
        column("edits_lines_added", Count(|event| Some(event.edits.lines_added))),
        column("edits_lines_removed", Count(|event| Some(event.edits.lines_removed))),
        column("generations", Count(|event| Some(event.generations))),
        column("lines_suggested", Count(|event| Some(event.lines_suggested))),
        column("characters_suggested", Count(|event| Some(event.characters_suggested))),
        column("first_byte_ms", Measure(|event| event.first_byte_ms)),
        column("duration_ms", Measure(|event| Some(event.duration_ms))),
        column("request_bytes", Count(|event| Some(event.request_bytes))),
        column("response_bytes", Count(|event| Some(event.response_bytes))),
    ]
}

fn column<R>(name: &'static str, value: Get<R>) -> Column<R> {
    Column { name, value }
}

#[expect(clippy::unnecessary_wraps, reason = "what `Get::Text` wants")]
fn text(text: &str) -> Option<Cow<'_, str>> {
    Some(text.into())
}

fn told(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::from)
}

fn some(text: String) -> Option<Cow<'static, str>> {
    Some(text).filter(|text| !text.is_empty()).map(Cow::from)
}

/// A cell's language or model.
fn known(text: &str) -> Option<Cow<'_, str>> {
    (text != UNKNOWN).then_some(text.into())
}
