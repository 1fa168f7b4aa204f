//! A usage event as a row and back.

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, Type};
use rusqlite::{CachedStatement, Row, params};
use serde::Deserialize;
use serde::de::value::{self, BorrowedStrDeserializer};

use crate::copilot::vocabulary::{Edits, Tokens};
use crate::exchange::ExchangeId;
use crate::usage::UsageEvent;

/// The columns in the order in which [`execute`] binds and [`read`] reads them. `day`, which follows from `ended_us`, is last.
pub(super) const COLUMNS: &str = "id, user, started_us, ended_us, kind, class, reason, outcome, status, feature, \
     ide, editor, plugin, machine_id, language, model, model_version, request_id, interaction_id, host, streamed, \
     input_tokens, output_tokens, cached_tokens, generations, lines_suggested, characters_suggested, \
     first_byte_ms, duration_ms, request_bytes, response_bytes, session_id, account, action, cache_written_tokens, \
     reasoning_tokens, nano_aiu, edit_files, edit_lines_added, edit_lines_removed, day";

/// A place for the value of each of [`COLUMNS`].
pub(super) const PLACES: &str = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
     ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34, ?35, ?36, ?37, ?38, ?39, ?40, \
     ?41";

/// Counts beyond this are stored as this. No true one comes near, and a lie from upstream must not overflow a day's sum.
const LARGEST_COUNT: u64 = 1 << 40;
/// Likewise for billionths of a credit.
const LARGEST_NANO_AIU: u64 = 1 << 44;

/// Runs a statement that has [`PLACES`] with an event's values; gives the number of rows changed.
pub(super) fn execute(statement: &mut CachedStatement<'_>, event: &UsageEvent) -> rusqlite::Result<usize> {
    statement.execute(params![
        event.id.as_bytes(),
        event.user,
        event.started_at.timestamp_micros(),
        event.ended_at.timestamp_micros(),
        event.kind.as_str(),
        event.class.as_str(),
        event.reason,
        event.outcome.as_str(),
        event.status,
        event.feature,
        event.ide,
        event.editor,
        event.plugin,
        event.machine_id,
        event.language,
        event.model,
        event.model_version,
        event.request_id,
        event.interaction_id,
        event.host,
        event.streamed,
        event.tokens.input.map(count),
        event.tokens.output.map(count),
        event.tokens.cached.map(count),
        count(event.generations),
        count(event.lines_suggested),
        count(event.characters_suggested),
        event.first_byte_ms,
        event.duration_ms,
        count(event.request_bytes),
        count(event.response_bytes),
        event.session_id,
        event.account,
        event.action,
        event.tokens.cache_written.map(count),
        event.tokens.reasoning.map(count),
        event.nano_aiu.map(|nano_aiu| nano_aiu.min(LARGEST_NANO_AIU)),
        count(event.edits.files),
        count(event.edits.lines_added),
        count(event.edits.lines_removed),
        event.day().to_string(),
    ])
}

fn count(n: u64) -> u64 {
    n.min(LARGEST_COUNT)
}

/// The event of a row of [`COLUMNS`]. Its quotas are not in it.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<UsageEvent> {
    let mut columns = Columns::of(row);
    let mut event = UsageEvent {
        id: ExchangeId::from_bytes(columns.next()?),
        user: columns.next()?,
        started_at: columns.time()?,
        ended_at: columns.time()?,
        kind: columns.word()?,
        class: columns.word()?,
        reason: columns.next()?,
        outcome: columns.word()?,
        status: columns.next()?,
        feature: columns.next()?,
        ide: columns.next()?,
        editor: columns.next()?,
        plugin: columns.next()?,
        machine_id: columns.next()?,
        session_id: None,
        account: None,
        action: None,
        language: columns.next()?,
        model: columns.next()?,
        model_version: columns.next()?,
        request_id: columns.next()?,
        interaction_id: columns.next()?,
        host: columns.next()?,
        streamed: columns.next()?,
        tokens: Tokens {
            input: columns.next()?,
            output: columns.next()?,
            cached: columns.next()?,
            ..Tokens::default()
        },
        nano_aiu: None,
        edits: Edits::default(),
        quotas: Vec::new(),
        generations: columns.next()?,
        lines_suggested: columns.next()?,
        characters_suggested: columns.next()?,
        first_byte_ms: columns.next()?,
        duration_ms: columns.next()?,
        request_bytes: columns.next()?,
        response_bytes: columns.next()?,
    };
    read_second_version(&mut columns, &mut event)?;
    Ok(event)
}

/// The columns that the schema's second version brought.
fn read_second_version(columns: &mut Columns<'_>, event: &mut UsageEvent) -> rusqlite::Result<()> {
    event.session_id = columns.next()?;
    event.account = columns.next()?;
    event.action = columns.next()?;
    event.tokens.cache_written = columns.next()?;
    event.tokens.reasoning = columns.next()?;
    event.nano_aiu = columns.next()?;
    event.edits = columns.edits()?;
    Ok(())
}

/// The values of a row, one after the other.
pub(super) struct Columns<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> Columns<'row> {
    /// From the row's first column on.
    pub(super) fn of(row: &'row Row<'_>) -> Self {
        Self { row, next: 0 }
    }

    /// The next column's value.
    pub(super) fn next<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let index = self.next;
        self.next += 1;
        self.row.get(index)
    }

    /// The next column's microseconds as a time.
    fn time(&mut self) -> rusqlite::Result<DateTime<Utc>> {
        let (index, micros) = (self.next, self.next()?);
        DateTime::from_timestamp_micros(micros).ok_or(rusqlite::Error::IntegralValueOutOfRange(index, micros))
    }

    /// The next three columns as what is edited.
    pub(super) fn edits(&mut self) -> rusqlite::Result<Edits> {
        Ok(Edits { files: self.next()?, lines_added: self.next()?, lines_removed: self.next()? })
    }

    /// The next column's text, borrowed; `None` where it is NULL.
    pub(super) fn text(&mut self) -> rusqlite::Result<Option<&'row str>> {
        let index = self.next;
        self.next += 1;
        Ok(self.row.get_ref(index)?.as_str_or_null()?)
    }

    /// The next column's value as one of the words that `T` knows.
    pub(super) fn word<T: Deserialize<'row>>(&mut self) -> rusqlite::Result<T> {
        let index = self.next;
        word(index, self.text()?.unwrap_or_default())
    }

    /// As [`Columns::word`]; `None` where it is NULL.
    pub(super) fn word_or_null<T: Deserialize<'row>>(&mut self) -> rusqlite::Result<Option<T>> {
        let index = self.next;
        self.text()?.map(|text| word(index, text)).transpose()
    }
}

fn word<'row, T: Deserialize<'row>>(index: usize, text: &'row str) -> rusqlite::Result<T> {
    T::deserialize(BorrowedStrDeserializer::<value::Error>::new(text))
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into()))
}
