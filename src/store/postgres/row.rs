//! A usage event as a row and back.

use chrono::{DateTime, NaiveDate, SubsecRound as _, Utc};
use postgres::Row;
use postgres::types::FromSql;
use serde::Deserialize;
use serde::Serialize;
use serde::de::value::{self, BorrowedStrDeserializer};

use super::error::Answer;
use super::json::Table;
use crate::copilot::vocabulary::{Edits, Tokens};
use crate::exchange::ExchangeId;
use crate::store::fact::digest;
use crate::usage::UsageEvent;

/// Counts beyond this are stored as this. No true one comes near, and a lie from upstream must not overflow a day's sum.
const LARGEST_COUNT: u64 = 1 << 40;
/// Likewise for billionths of a credit.
const LARGEST_NANO_AIU: u64 = 1 << 44;

/// The table.
pub(super) const EVENTS: Table = Table {
    name: "usage_event",
    key: &["id"],
    others: &[
        "day",
        "user_name",
        "started_at",
        "ended_at",
        "kind",
        "class",
        "reason",
        "outcome",
        "status",
        "feature",
        "ide",
        "editor",
        "plugin",
        "machine_id",
        "session_id",
        "account",
        "action",
        "language",
        "model",
        "model_version",
        "request_id",
        "interaction_id",
        "host",
        "streamed",
        "input_tokens",
        "output_tokens",
        "cached_tokens",
        "cache_written_tokens",
        "reasoning_tokens",
        "nano_aiu",
        "edit_files",
        "edit_lines_added",
        "edit_lines_removed",
        "generations",
        "lines_suggested",
        "characters_suggested",
        "first_byte_ms",
        "duration_ms",
        "request_bytes",
        "response_bytes",
        "origin",
    ],
};

/// The columns in the order in which [`read`] reads them.
pub(super) const COLUMNS: &str = "id, user_name, started_at, ended_at, kind, class, reason, outcome, status, feature, \
     ide, editor, plugin, machine_id, session_id, account, action, language, model, model_version, request_id, \
     interaction_id, host, streamed, input_tokens, output_tokens, cached_tokens, cache_written_tokens, reasoning_tokens, \
     nano_aiu, edit_files, edit_lines_added, edit_lines_removed, generations, lines_suggested, characters_suggested, \
     first_byte_ms, duration_ms, request_bytes, response_bytes";

/// A row of the table.
#[derive(Serialize)]
pub(super) struct EventRow<'a> {
    #[serde(with = "digest")]
    id: [u8; 16],
    day: NaiveDate,
    user_name: &'a str,
    started_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    kind: &'static str,
    class: &'static str,
    reason: Option<&'a str>,
    outcome: &'static str,
    status: Option<u16>,
    feature: &'a str,
    ide: Option<&'a str>,
    editor: Option<&'a str>,
    plugin: Option<&'a str>,
    machine_id: Option<&'a str>,
    session_id: Option<&'a str>,
    account: Option<&'a str>,
    action: Option<&'a str>,
    language: Option<&'a str>,
    model: Option<&'a str>,
    model_version: Option<&'a str>,
    request_id: Option<&'a str>,
    interaction_id: Option<&'a str>,
    host: &'a str,
    streamed: bool,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    cache_written_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    nano_aiu: Option<u64>,
    edit_files: u64,
    edit_lines_added: u64,
    edit_lines_removed: u64,
    generations: u64,
    lines_suggested: u64,
    characters_suggested: u64,
    first_byte_ms: Option<f64>,
    duration_ms: f64,
    request_bytes: u64,
    response_bytes: u64,
    origin: i32,
}

impl<'a> EventRow<'a> {
    /// Of an event whose records are in the log folder `origin`.
    pub(super) fn of(event: &'a UsageEvent, origin: i32) -> Self {
        let tokens = event.tokens;
        Self {
            id: *event.id.as_bytes(),
            day: event.day(),
            user_name: &event.user,
            // PostgreSQL would round, into the next day at worst.
            started_at: event.started_at.trunc_subsecs(6),
            ended_at: event.ended_at.trunc_subsecs(6),
            kind: event.kind.as_str(),
            class: event.class.as_str(),
            reason: event.reason.as_deref(),
            outcome: event.outcome.as_str(),
            status: event.status,
            feature: &event.feature,
            ide: event.ide.as_deref(),
            editor: event.editor.as_deref(),
            plugin: event.plugin.as_deref(),
            machine_id: event.machine_id.as_deref(),
            session_id: event.session_id.as_deref(),
            account: event.account.as_deref(),
            action: event.action.as_deref(),
            language: event.language.as_deref(),
            model: event.model.as_deref(),
            model_version: event.model_version.as_deref(),
            request_id: event.request_id.as_deref(),
            interaction_id: event.interaction_id.as_deref(),
            host: &event.host,
            streamed: event.streamed,
            input_tokens: tokens.input.map(count),
            output_tokens: tokens.output.map(count),
            cached_tokens: tokens.cached.map(count),
            cache_written_tokens: tokens.cache_written.map(count),
            reasoning_tokens: tokens.reasoning.map(count),
            nano_aiu: event.nano_aiu.map(|nano_aiu| nano_aiu.min(LARGEST_NANO_AIU)),
            edit_files: count(event.edits.files),
            edit_lines_added: count(event.edits.lines_added),
            edit_lines_removed: count(event.edits.lines_removed),
            generations: count(event.generations),
            lines_suggested: count(event.lines_suggested),
            characters_suggested: count(event.characters_suggested),
            first_byte_ms: event.first_byte_ms.filter(|ms| ms.is_finite()),
            duration_ms: if event.duration_ms.is_finite() { event.duration_ms } else { 0.0 },
            request_bytes: count(event.request_bytes),
            response_bytes: count(event.response_bytes),
            origin,
        }
    }
}

fn count(n: u64) -> u64 {
    n.min(LARGEST_COUNT)
}

/// The event of a row of [`COLUMNS`]. Its quotas are not in it.
pub(super) fn read(row: &Row) -> Answer<UsageEvent> {
    let mut columns = Columns::of(row);
    Ok(UsageEvent {
        id: ExchangeId::from_bytes(columns.digest()?),
        user: columns.next()?,
        started_at: columns.next()?,
        ended_at: columns.next()?,
        kind: columns.word()?,
        class: columns.word()?,
        reason: columns.next()?,
        outcome: columns.word()?,
        status: columns.next::<Option<i32>>()?.and_then(|status| status.try_into().ok()),
        feature: columns.next()?,
        ide: columns.next()?,
        editor: columns.next()?,
        plugin: columns.next()?,
        machine_id: columns.next()?,
        session_id: columns.next()?,
        account: columns.next()?,
        action: columns.next()?,
        language: columns.next()?,
        model: columns.next()?,
        model_version: columns.next()?,
        request_id: columns.next()?,
        interaction_id: columns.next()?,
        host: columns.next()?,
        streamed: columns.next()?,
        tokens: columns.tokens()?,
        nano_aiu: columns.count_or_null()?,
        edits: columns.edits()?,
        quotas: Vec::new(),
        generations: columns.count()?,
        lines_suggested: columns.count()?,
        characters_suggested: columns.count()?,
        first_byte_ms: columns.next()?,
        duration_ms: columns.next()?,
        request_bytes: columns.count()?,
        response_bytes: columns.count()?,
    })
}

/// The values of a row, one after the other.
pub(super) struct Columns<'row> {
    row: &'row Row,
    next: usize,
}

impl<'row> Columns<'row> {
    /// From the row's first column on.
    pub(super) fn of(row: &'row Row) -> Self {
        Self { row, next: 0 }
    }

    /// The next column's value.
    pub(super) fn next<T: FromSql<'row>>(&mut self) -> Answer<T> {
        let index = self.next;
        self.next += 1;
        Ok(self.row.try_get(index)?)
    }

    /// The next column's 16 bytes.
    pub(super) fn digest(&mut self) -> Answer<[u8; 16]> {
        Ok(self.next::<&[u8]>()?.try_into()?)
    }

    /// The next column's count; below 0 it is 0.
    pub(super) fn count(&mut self) -> Answer<u64> {
        Ok(self.count_or_null()?.unwrap_or_default())
    }

    /// As [`Columns::count`]; `None` where it is NULL.
    pub(super) fn count_or_null(&mut self) -> Answer<Option<u64>> {
        Ok(self.next::<Option<i64>>()?.map(|count| u64::try_from(count).unwrap_or_default()))
    }

    /// The next five columns as tokens.
    pub(super) fn tokens(&mut self) -> Answer<Tokens> {
        Ok(Tokens {
            input: self.count_or_null()?,
            output: self.count_or_null()?,
            cached: self.count_or_null()?,
            cache_written: self.count_or_null()?,
            reasoning: self.count_or_null()?,
        })
    }

    /// The next three columns as what is edited.
    pub(super) fn edits(&mut self) -> Answer<Edits> {
        Ok(Edits { files: self.count()?, lines_added: self.count()?, lines_removed: self.count()? })
    }

    /// The next column's value as one of the words that `T` knows.
    pub(super) fn word<T: Deserialize<'row>>(&mut self) -> Answer<T> {
        let text: &'row str = self.next()?;
        Ok(T::deserialize(BorrowedStrDeserializer::<value::Error>::new(text))?)
    }
}
