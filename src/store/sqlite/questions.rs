//! What is asked of the events, as SQL. Each question goes by an index.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::acceptance;
use super::row::{self, Columns};
use crate::copilot::vocabulary::Tokens;
use crate::exchange::ExchangeId;
use crate::store::{LastEditor, NO_REASON};
use crate::usage::{DayUsage, EventGroup, Fold, UsageEvent, id_digest};

const WAS_ANSWERED: &str = "
    SELECT EXISTS (
        SELECT 1 FROM usage_event
        WHERE user = ?1 AND request_id = ?2 AND status BETWEEN 200 AND 299 AND (ended_us, id) < (?3, ?4)
    )";

const HAD_TURN: &str = "
    SELECT EXISTS (
        SELECT 1 FROM usage_event
        WHERE user = ?1 AND interaction_id = ?2 AND class = 'turn' AND kind = 'chat' AND (ended_us, id) < (?3, ?4)
    )";

const WAS_SHOWN: &str =
    "SELECT EXISTS (SELECT 1 FROM suggestion WHERE user = ?1 AND request = ?2 AND (shown OR accepted))";

/// Goes back through the newest exchanges of a user's day until one tells the editor. The CLI is none, and asks for no suggestions.
const LAST_EDITOR: &str = "
    SELECT editor, plugin, machine_id FROM (
        SELECT ide, editor, plugin, machine_id FROM usage_event
        WHERE user = ?1 AND day = ?2 AND (ended_us, id) < (?3, ?4)
        ORDER BY id DESC LIMIT 1000
    )
    WHERE ide IS NOT NULL LIMIT 1";

const GROUPS_OF_DAY: &str = "
    SELECT user, class, kind, editor, language, model, feature, action, COUNT(*),
           SUM(input_tokens), SUM(output_tokens), SUM(cached_tokens), SUM(cache_written_tokens), SUM(reasoning_tokens),
           SUM(nano_aiu), SUM(edit_files), SUM(edit_lines_added), SUM(edit_lines_removed), SUM(lines_suggested)
    FROM usage_event
    WHERE day = ?1 AND class <> 'noise'
    GROUP BY user, class, kind, editor, language, model, feature, action";

const INTERACTIONS_OF_DAY: &str = "
    SELECT user, interaction_id, COUNT(*)
    FROM usage_event
    WHERE day = ?1 AND class = 'turn' AND kind = 'chat'
    GROUP BY user, interaction_id";

/// From each day to the next one in the indexes, rather than through all rows.
const DAYS: &str = "
    WITH RECURSIVE
        used (day) AS (
            SELECT MIN(day) FROM usage_event
            UNION ALL
            SELECT (SELECT MIN(day) FROM usage_event WHERE day > used.day) FROM used WHERE used.day IS NOT NULL
        ),
        told (day) AS (
            SELECT MIN(day) FROM acceptance
            UNION ALL
            SELECT (SELECT MIN(day) FROM acceptance WHERE day > told.day) FROM told WHERE told.day IS NOT NULL
        )
    SELECT day FROM used WHERE day IS NOT NULL
    UNION
    SELECT day FROM told WHERE day IS NOT NULL
    ORDER BY 1";

/// The order is that of the index on day and user, so nothing is sorted and the first event comes at once.
const EVENTS: &str = "
    FROM usage_event
    WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR user = ?3)
    ORDER BY day, user, id";

const HAS_DAY: &str = "
    SELECT EXISTS (SELECT 1 FROM usage_event WHERE day = ?1 AND user = ?2)
        OR EXISTS (SELECT 1 FROM acceptance WHERE day = ?1 AND user = ?2)";

const BOOKED: &str = "SELECT day, user FROM usage_event WHERE id = ?1";

/// As [`EVENTS`], of one user and day.
const EVENTS_OF_USER: &str = "FROM usage_event WHERE day = ?1 AND user = ?2 ORDER BY id";

const NOISE: &str = "
    SELECT COALESCE(reason, ?4), COUNT(*)
    FROM usage_event
    WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR user = ?3) AND class = 'noise'
    GROUP BY 1";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    let of_user = [WAS_ANSWERED, HAD_TURN, WAS_SHOWN, LAST_EDITOR, BOOKED, HAS_DAY];
    let of_days = [GROUPS_OF_DAY, INTERACTIONS_OF_DAY, DAYS, NOISE];
    let asked = [of_user.as_slice(), &of_days].concat();
    let events = [EVENTS, EVENTS_OF_USER].map(|events| format!("SELECT * {events}"));
    asked.into_iter().map(str::to_owned).chain(events).collect()
}

pub(super) fn was_answered(
    connection: &Connection,
    user: &str,
    request_id: &str,
    (ended_at, id): (DateTime<Utc>, ExchangeId),
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(WAS_ANSWERED)?
        .query_row(params![user, request_id, ended_at.timestamp_micros(), id.as_bytes()], |row| row.get(0))
}

pub(super) fn had_turn(
    connection: &Connection,
    user: &str,
    interaction_id: &str,
    (ended_at, id): (DateTime<Utc>, ExchangeId),
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(HAD_TURN)?
        .query_row(params![user, interaction_id, ended_at.timestamp_micros(), id.as_bytes()], |row| row.get(0))
}

pub(super) fn was_shown(connection: &Connection, user: &str, request_id: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached(WAS_SHOWN)?.query_row(params![user, id_digest(request_id)], |row| row.get(0))
}

pub(super) fn last_editor(
    connection: &Connection,
    user: &str,
    (ended_at, id): (DateTime<Utc>, ExchangeId),
) -> rusqlite::Result<Option<LastEditor>> {
    let mut statement = connection.prepare_cached(LAST_EDITOR)?;
    for day in [Some(ended_at.date_naive()), ended_at.date_naive().pred_opt()].into_iter().flatten() {
        let asked = params![user, day.to_string(), ended_at.timestamp_micros(), id.as_bytes()];
        let editor = statement.query_row(asked, |row| {
            let mut columns = Columns::of(row);
            Ok(LastEditor { editor: columns.next()?, plugin: columns.next()?, machine_id: columns.next()? })
        });
        if let Some(editor) = editor.optional()? {
            return Ok(Some(editor));
        }
    }
    Ok(None)
}

pub(super) fn day(connection: &Connection, day: NaiveDate) -> rusqlite::Result<DayUsage> {
    let mut usage = DayUsage::new(day);
    // One transaction, so that all questions see the same state.
    let snapshot = connection.unchecked_transaction()?;
    for_each(&snapshot, GROUPS_OF_DAY, day, |row| add_group(&mut usage, row))?;
    for_each(&snapshot, INTERACTIONS_OF_DAY, day, |row| add_interaction(&mut usage, row))?;
    usage.set_acceptance(acceptance::of_day(&snapshot, day)?);
    Ok(usage)
}

fn for_each(
    connection: &Connection,
    sql: &str,
    day: NaiveDate,
    mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([day.to_string()])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

fn add_group(usage: &mut DayUsage, row: &Row<'_>) -> rusqlite::Result<()> {
    let mut columns = Columns::of(row);
    let user = columns.text()?.unwrap_or_default();
    let group = EventGroup {
        class: columns.word()?,
        kind: columns.word()?,
        editor: columns.text()?,
        language: columns.text()?,
        model: columns.text()?,
        feature: columns.text()?.unwrap_or_default(),
        action: columns.text()?,
        count: columns.next()?,
        tokens: Tokens {
            input: columns.next()?,
            output: columns.next()?,
            cached: columns.next()?,
            cache_written: columns.next()?,
            reasoning: columns.next()?,
        },
        nano_aiu: columns.next()?,
        edits: columns.edits()?,
        lines_suggested: columns.next()?,
    };
    usage.add_group(user, &group);
    Ok(())
}

fn add_interaction(usage: &mut DayUsage, row: &Row<'_>) -> rusqlite::Result<()> {
    let mut columns = Columns::of(row);
    usage.add_interaction(columns.text()?.unwrap_or_default(), columns.text()?, columns.next()?);
    Ok(())
}

pub(super) fn days(connection: &Connection) -> rusqlite::Result<Vec<NaiveDate>> {
    let mut statement = connection.prepare_cached(DAYS)?;
    let days = statement.query_map([], |row| Columns::of(row).word())?;
    days.collect()
}

pub(super) fn events(
    connection: &Connection,
    from: NaiveDate,
    to: NaiveDate,
    user: Option<&str>,
    each: &mut dyn FnMut(UsageEvent) -> ControlFlow<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!("SELECT {} {EVENTS}", row::COLUMNS))?;
    let mut rows = statement.query(params![from.to_string(), to.to_string(), user])?;
    while let Some(row) = rows.next()? {
        if each(row::read(row)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Whether there is anything of a user's day, be it noise.
pub(super) fn has_day(connection: &Connection, user: &str, day: NaiveDate) -> rusqlite::Result<bool> {
    connection.prepare_cached(HAS_DAY)?.query_row(params![day.to_string(), user], |row| row.get(0))
}

/// The day and the user that an event is booked on, where it is stored.
pub(super) fn booked(connection: &Connection, id: ExchangeId) -> rusqlite::Result<Option<(NaiveDate, String)>> {
    let booked = |row: &Row<'_>| {
        let mut columns = Columns::of(row);
        Ok((columns.word()?, columns.next()?))
    };
    connection.prepare_cached(BOOKED)?.query_row([id.as_bytes()], booked).optional()
}

/// Adds the events of one user and day to a roll-up.
pub(super) fn fold(connection: &Connection, day: NaiveDate, user: &str, fold: &mut Fold) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!("SELECT {} {EVENTS_OF_USER}", row::COLUMNS))?;
    let mut rows = statement.query(params![day.to_string(), user])?;
    while let Some(row) = rows.next()? {
        fold.add(&row::read(row)?);
    }
    Ok(())
}

pub(super) fn noise_counts(
    connection: &Connection,
    from: NaiveDate,
    to: NaiveDate,
    user: Option<&str>,
) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut statement = connection.prepare_cached(NOISE)?;
    let counts = statement
        .query_map(params![from.to_string(), to.to_string(), user, NO_REASON], |row| Ok((row.get(0)?, row.get(1)?)))?;
    counts.collect()
}

pub(super) fn quick_check(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
}

/// Written into the file's header (`PRAGMA application_id`) when it has all that the records tell: "CPLS".
const WHOLE: i32 = 0x4350_4C53;

pub(super) fn is_whole(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_query_value(None, "application_id", |row| Ok(row.get::<_, i32>(0)? == WHOLE))
}

pub(super) fn mark_whole(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", WHOLE)
}
