//! What became of suggestions, by day and user, as rows and back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::rollups;
use super::row::Columns;
use crate::store::rollup::DayOf;
use crate::store::sums::{Changes, Sums};
use crate::usage::Acceptance;

/// The order of the counts is that of [`Acceptance::counters`].
const OF_USER: &str = "SELECT * FROM acceptance WHERE day = ?1 AND user = ?2";

const OF_DAY: &str = "SELECT * FROM acceptance WHERE day = ?1";

const FORGET: &str = "DELETE FROM acceptance WHERE day = ?1 AND user = ?2";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 2] = [OF_USER, OF_DAY];

fn read(row: &Row<'_>) -> rusqlite::Result<(String, Sums)> {
    let mut columns = Columns::of(row);
    let _day: String = columns.next()?;
    let user = columns.next()?;
    let mut sums = Sums { telemetry: columns.next()?, facts: columns.next()?, counts: Acceptance::default() };
    for count in sums.counts.counters() {
        *count = columns.next()?;
    }
    Ok((user, sums))
}

/// Stores sums; empty ones are removed.
fn write(connection: &Connection, (day, user): &DayOf, mut sums: Sums) -> rusqlite::Result<()> {
    if sums.is_empty() {
        return connection.prepare_cached(FORGET)?.execute(params![day.to_string(), user]).map(drop);
    }
    let mut values = vec![Value::Text(day.to_string()), Value::Text(user.clone()), integer(sums.telemetry.into())];
    values.push(integer(sums.facts));
    values.extend(sums.counts.counters().map(|count| integer(*count)));
    let sql = format!("INSERT OR REPLACE INTO acceptance VALUES (?{})", ", ?".repeat(values.len() - 1));
    connection.prepare_cached(&sql)?.execute(params_from_iter(values)).map(drop)
}

fn integer(count: u64) -> Value {
    Value::Integer(count.try_into().unwrap_or(i64::MAX))
}

/// Brings the sums in step, and notes which roll-ups are not. Gives the days on which sums are other than before.
pub(super) fn apply(connection: &Connection, changes: Changes) -> rusqlite::Result<BTreeSet<NaiveDate>> {
    let mut before = BTreeMap::new();
    for (day, user) in changes.keys() {
        if let Some(sums) = of_user(connection, *day, user)? {
            before.insert((*day, user.clone()), sums);
        }
    }
    let changed = changes.apply(&before);
    changed.sums.into_iter().try_for_each(|(of, sums)| write(connection, &of, sums))?;
    rollups::mark_stale(connection, &changed.stale)?;
    Ok(changed.days)
}

fn of_user(connection: &Connection, day: NaiveDate, user: &str) -> rusqlite::Result<Option<Sums>> {
    let mut statement = connection.prepare_cached(OF_USER)?;
    let sums = statement.query_row(params![day.to_string(), user], read).optional()?;
    Ok(sums.map(|(_, sums)| sums))
}

/// What became of suggestions on a day, by user.
pub(super) fn of_day(connection: &Connection, day: NaiveDate) -> rusqlite::Result<BTreeMap<String, Acceptance>> {
    let mut statement = connection.prepare_cached(OF_DAY)?;
    let users = statement.query_map([day.to_string()], read)?;
    users.map(|row| row.map(|(user, sums)| (user, sums.known()))).collect()
}

/// Whether telemetry of an editor came from a user on a day.
pub(super) fn telemetry_came(connection: &Connection, day: NaiveDate, user: &str) -> rusqlite::Result<bool> {
    Ok(of_user(connection, day, user)?.is_some_and(|sums| sums.telemetry))
}

/// Books the sums of a day on another name, too, and takes the first one out.
pub(super) fn rename(connection: &Connection, day: NaiveDate, [user, other]: [&str; 2]) -> rusqlite::Result<()> {
    let Some(mut sums) = of_user(connection, day, user)? else { return Ok(()) };
    if let Some(known) = of_user(connection, day, other)? {
        sums.telemetry |= known.telemetry;
        sums.facts += known.facts;
        sums.counts.add(&known.counts);
    }
    write(connection, &(day, other.to_owned()), sums)?;
    write(connection, &(day, user.to_owned()), Sums::default())
}
