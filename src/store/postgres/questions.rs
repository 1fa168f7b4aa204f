//! What is asked of the events, as SQL. Each question goes by an index.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, SubsecRound as _, Utc};
use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient, IsolationLevel, Row, Transaction};

use super::acceptance;
use super::error::Answer;
use super::json::{self, text};
use super::rollups::DayRow;
use super::row::{self, Columns};
use crate::exchange::ExchangeId;
use crate::store::{LastEditor, NO_REASON};
use crate::usage::{DayUsage, EventGroup, UsageEvent, id_digest};

const WAS_ANSWERED: &str = "
    SELECT EXISTS (
        SELECT 1 FROM usage_event
        WHERE user_name = $1 AND request_id = $2 AND hashtextextended(request_id, 0) = hashtextextended($2 COLLATE \"C\", 0)
            AND status BETWEEN 200 AND 299 AND (ended_at, id) < ($3, $4)
    )";

const HAD_TURN: &str = "
    SELECT EXISTS (
        SELECT 1 FROM usage_event
        WHERE user_name = $1 AND interaction_id = $2
            AND hashtextextended(interaction_id, 0) = hashtextextended($2 COLLATE \"C\", 0)
            AND class = 'turn' AND kind = 'chat' AND (ended_at, id) < ($3, $4)
    )";

const KNOWN: &str = "SELECT id FROM usage_event WHERE id = ANY($1)";

const WAS_SHOWN: &str =
    "SELECT EXISTS (SELECT 1 FROM suggestion WHERE user_name = $1 AND request = $2 AND (shown OR accepted))";

/// Goes back through the newest exchanges of a user's day until one tells the editor. The CLI is none, and asks for no suggestions.
const LAST_EDITOR: &str = "
    SELECT editor, plugin, machine_id FROM (
        SELECT ide, editor, plugin, machine_id FROM usage_event
        WHERE user_name = $1 AND day = $2 AND (ended_at, id) < ($3, $4)
        ORDER BY id DESC LIMIT 1000
    ) AS newest
    WHERE ide IS NOT NULL LIMIT 1";

const GROUPS_OF_DAY: &str = "
    SELECT user_name, class, kind, editor, language, model, feature, action, COUNT(*),
           SUM(input_tokens)::BIGINT, SUM(output_tokens)::BIGINT, SUM(cached_tokens)::BIGINT,
           SUM(cache_written_tokens)::BIGINT, SUM(reasoning_tokens)::BIGINT, SUM(nano_aiu)::BIGINT,
           SUM(edit_files)::BIGINT, SUM(edit_lines_added)::BIGINT, SUM(edit_lines_removed)::BIGINT,
           SUM(lines_suggested)::BIGINT
    FROM usage_event
    WHERE day = $1 AND class <> 'noise'
    GROUP BY user_name, class, kind, editor, language, model, feature, action";

const INTERACTIONS_OF_DAY: &str = "
    SELECT user_name, interaction_id, COUNT(*)
    FROM usage_event
    WHERE day = $1 AND class = 'turn' AND kind = 'chat'
    GROUP BY user_name, interaction_id";

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

/// A page of a day's events. The order is that of the index, so nothing is sorted.
const EVENTS_OF_DAY: &str = "
    FROM usage_event
    WHERE day = $1 AND (user_name, id) > ($2, $3)
    ORDER BY user_name, id LIMIT 2000";

/// Likewise, of one user.
const EVENTS_OF_USER: &str = "
    FROM usage_event
    WHERE day = $1 AND user_name = $2 AND id > $3
    ORDER BY id LIMIT 2000";

/// All events of some days of users, of each in the order of their ids.
const EVENTS_OF_DAYS: &str = "
    FROM usage_event
    JOIN json_to_recordset($1::json) AS asked (day DATE, user_name TEXT) USING (day, user_name)
    ORDER BY id";

/// Events of a page.
const PAGE: usize = 2000;

const NOISE: &str = "
    SELECT COALESCE(reason, $4), COUNT(*)
    FROM usage_event
    WHERE day BETWEEN $1 AND $2 AND ($3::TEXT IS NULL OR user_name = $3) AND class = 'noise'
    GROUP BY 1";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) fn all() -> Vec<String> {
    let events = [format!("SELECT * {EVENTS_OF_DAY}"), format!("SELECT * {EVENTS_OF_USER}")];
    let asked =
        [WAS_ANSWERED, HAD_TURN, KNOWN, WAS_SHOWN, LAST_EDITOR, GROUPS_OF_DAY, INTERACTIONS_OF_DAY, DAYS, NOISE];
    asked.map(str::to_owned).into_iter().chain(events).collect()
}

/// When an exchange ended; ties are broken by its id.
type End = (DateTime<Utc>, ExchangeId);

/// Asks a question of a user, an id and the time before an exchange.
fn before(client: &mut Client, sql: &str, user: &str, id: &str, (ended_at, exchange): End) -> Answer<bool> {
    let (id, ended_at, exchange) = (text(id), ended_at.trunc_subsecs(6), exchange.as_bytes().as_slice());
    let asked: [(&(dyn ToSql + Sync), Type); 4] =
        [(&user, Type::TEXT), (&id, Type::TEXT), (&ended_at, Type::TIMESTAMPTZ), (&exchange, Type::BYTEA)];
    Ok(client.query_typed_one(sql, &asked)?.try_get(0)?)
}

pub(super) fn was_answered(client: &mut Client, user: &str, request_id: &str, end: End) -> Answer<bool> {
    before(client, WAS_ANSWERED, user, request_id, end)
}

pub(super) fn had_turn(client: &mut Client, user: &str, interaction_id: &str, end: End) -> Answer<bool> {
    before(client, HAD_TURN, user, interaction_id, end)
}

/// For each event whether one of its id is there.
pub(super) fn knows(client: &mut Client, events: &[UsageEvent]) -> Answer<Vec<bool>> {
    let ids: Vec<&[u8]> = events.iter().map(|event| event.id.as_bytes().as_slice()).collect();
    let found = client.query_typed(KNOWN, &[(&ids, Type::BYTEA_ARRAY)])?;
    let known = found.iter().map(|row| Columns::of(row).digest()).collect::<Answer<BTreeSet<_>>>()?;
    Ok(events.iter().map(|event| known.contains(event.id.as_bytes())).collect())
}

pub(super) fn was_shown(client: &mut Client, user: &str, request_id: &str) -> Answer<bool> {
    let digest = id_digest(request_id);
    let shown = client.query_typed_one(WAS_SHOWN, &[(&user, Type::TEXT), (&digest.as_slice(), Type::BYTEA)])?;
    Ok(shown.try_get(0)?)
}

pub(super) fn last_editor(client: &mut Client, user: &str, (ended_at, id): End) -> Answer<Option<LastEditor>> {
    let (end, id) = (ended_at.trunc_subsecs(6), id.as_bytes().as_slice());
    for day in [Some(ended_at.date_naive()), ended_at.date_naive().pred_opt()].into_iter().flatten() {
        let asked: [(&(dyn ToSql + Sync), Type); 4] =
            [(&user, Type::TEXT), (&day, Type::DATE), (&end, Type::TIMESTAMPTZ), (&id, Type::BYTEA)];
        if let Some(row) = client.query_typed_opt(LAST_EDITOR, &asked)? {
            let mut columns = Columns::of(&row);
            return Ok(Some(LastEditor {
                editor: columns.next()?,
                plugin: columns.next()?,
                machine_id: columns.next()?,
            }));
        }
    }
    Ok(None)
}

/// A transaction in which all questions see the same state.
pub(super) fn snapshot(client: &mut Client) -> Answer<Transaction<'_>> {
    Ok(client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start()?)
}

/// As [`snapshot`], for questions whose answer is handed out piece by piece: who takes them may be slow.
pub(super) fn patient_snapshot(client: &mut Client) -> Answer<Transaction<'_>> {
    let mut snapshot = snapshot(client)?;
    snapshot.batch_execute("SET LOCAL idle_in_transaction_session_timeout = 0")?;
    Ok(snapshot)
}

pub(super) fn day(client: &mut Client, day: NaiveDate) -> Answer<DayUsage> {
    let mut usage = DayUsage::new(day);
    let mut snapshot = snapshot(client)?;
    for row in snapshot.query_typed(GROUPS_OF_DAY, &[(&day, Type::DATE)])? {
        add_group(&mut usage, &row)?;
    }
    for row in snapshot.query_typed(INTERACTIONS_OF_DAY, &[(&day, Type::DATE)])? {
        let mut columns = Columns::of(&row);
        usage.add_interaction(columns.next()?, columns.next()?, columns.count()?);
    }
    usage.set_acceptance(acceptance::of_day(&mut snapshot, day)?);
    Ok(usage)
}

fn add_group(usage: &mut DayUsage, row: &Row) -> Answer<()> {
    let mut columns = Columns::of(row);
    let user: &str = columns.next()?;
    let group = EventGroup {
        class: columns.word()?,
        kind: columns.word()?,
        editor: columns.next()?,
        language: columns.next()?,
        model: columns.next()?,
        feature: columns.next()?,
        action: columns.next()?,
        count: columns.count()?,
        tokens: columns.tokens()?,
        nano_aiu: columns.count_or_null()?,
        edits: columns.edits()?,
        lines_suggested: columns.count()?,
    };
    usage.add_group(user, &group);
    Ok(())
}

pub(super) fn days(client: &mut impl GenericClient) -> Answer<Vec<NaiveDate>> {
    client.query_typed(DAYS, &[])?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub(super) fn events(
    client: &mut Client,
    from: NaiveDate,
    to: NaiveDate,
    user: Option<&str>,
    each: &mut dyn FnMut(UsageEvent) -> ControlFlow<()>,
) -> Answer<()> {
    let mut snapshot = patient_snapshot(client)?;
    let sql = format!("SELECT {} {}", row::COLUMNS, if user.is_some() { EVENTS_OF_USER } else { EVENTS_OF_DAY });
    for day in days(&mut snapshot)?.into_iter().filter(|day| (from..=to).contains(day)) {
        let mut last = (user.unwrap_or_default().to_owned(), Vec::new());
        loop {
            let asked: [(&(dyn ToSql + Sync), Type); 3] =
                [(&day, Type::DATE), (&last.0, Type::TEXT), (&last.1, Type::BYTEA)];
            let page = snapshot.query_typed(&sql, &asked)?;
            for row in &page {
                let event = row::read(row)?;
                last = (event.user.clone(), event.id.as_bytes().to_vec());
                if each(event).is_break() {
                    return Ok(());
                }
            }
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(())
}

/// Hands over the events of these days of users, of each in the order of their ids.
pub(super) fn each_of_days(
    client: &mut impl GenericClient,
    asked: &[DayRow<'_>],
    each: &mut dyn FnMut(UsageEvent),
) -> Answer<()> {
    let sql = format!("SELECT {} {EVENTS_OF_DAYS}", row::COLUMNS);
    json::query(client, &sql, asked)?.iter().try_for_each(|row| row::read(row).map(&mut *each))
}

pub(super) fn noise_counts(
    client: &mut Client,
    from: NaiveDate,
    to: NaiveDate,
    user: Option<&str>,
) -> Answer<BTreeMap<String, u64>> {
    let asked: [(&(dyn ToSql + Sync), Type); 4] =
        [(&from, Type::DATE), (&to, Type::DATE), (&user, Type::TEXT), (&NO_REASON, Type::TEXT)];
    let count = |row: &Row| {
        let mut columns = Columns::of(row);
        Ok((columns.next()?, columns.count()?))
    };
    client.query_typed(NOISE, &asked)?.iter().map(count).collect()
}
