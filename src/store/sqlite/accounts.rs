//! GitHub accounts and what is left of their allowances, as rows and back.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::row::Columns;
use crate::copilot::observation::{Account, Quota};
use crate::exchange::ExchangeId;
use crate::store::AccountUse;
use crate::store::account::{Known, uses};
use crate::usage::UsageEvent;

const ACCOUNT: &str = "SELECT account, first_day, last_day, facts FROM account WHERE user = ?1 AND account = ?2";

/// All accounts of the users who used any within the range: what is known of one may stand beside another.
const ACCOUNTS: &str = "
    SELECT account, first_day, last_day, facts, user FROM account
    WHERE user IN (SELECT user FROM account WHERE last_day >= ?1 AND first_day <= ?2)";

const QUOTAS: &str = "
    SELECT user, name, entitlement, percent_remaining, overage, overage_permitted, resets_at
    FROM quota ORDER BY user, name";

/// The questions, for the test that they go by an index.
#[cfg(test)]
pub(super) const ALL: [&str; 3] = [ACCOUNT, ACCOUNTS, QUOTAS];

/// Takes in the account and the allowances that an event tells.
pub(super) fn take_event(connection: &Connection, event: &UsageEvent) -> rusqlite::Result<()> {
    let account = Account { key: event.account.clone(), quotas: event.quotas.clone(), ..Account::default() };
    take(connection, &event.user, event.ended_at, event.id, &account)
}

/// Takes in what exchange `id` of `user`, which ended at `at`, told of an account.
pub(super) fn take(
    connection: &Connection,
    user: &str,
    at: DateTime<Utc>,
    id: ExchangeId,
    account: &Account,
) -> rusqlite::Result<()> {
    for quota in &account.quotas {
        write_quota(connection, user, at, id, quota)?;
    }
    let Some(told) = Known::of(account, at) else { return Ok(()) };
    let find = |row: &Row<'_>| read(row);
    let before = connection.prepare_cached(ACCOUNT)?.query_row(params![user, told.key], find).optional()?;
    let mut after = told;
    if let Some(before) = &before {
        after.merge(before.clone());
    }
    if before.as_ref() == Some(&after) { Ok(()) } else { write(connection, user, &after) }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Known> {
    let mut columns = Columns::of(row);
    Ok(Known {
        key: columns.next()?,
        first_day: columns.word()?,
        last_day: columns.word()?,
        facts: serde_json::from_str(columns.text()?.unwrap_or_default())
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, error.into()))?,
    })
}

fn write(connection: &Connection, user: &str, known: &Known) -> rusqlite::Result<()> {
    let facts =
        serde_json::to_string(&known.facts).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO account (user, account, first_day, last_day, facts) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let (first, last) = (known.first_day.to_string(), known.last_day.to_string());
    statement.execute(params![user, known.key, first, last, facts]).map(drop)
}

/// Of one allowance, what came last stays; of what came in the same exchange, the first.
fn write_quota(
    connection: &Connection,
    user: &str,
    at: DateTime<Utc>,
    id: ExchangeId,
    quota: &Quota,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO quota (user, name, seen_us, seen_in, entitlement, percent_remaining, overage, overage_permitted,
             resets_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (user, name) DO UPDATE SET
             seen_us = excluded.seen_us, seen_in = excluded.seen_in, entitlement = excluded.entitlement,
             percent_remaining = excluded.percent_remaining, overage = excluded.overage,
             overage_permitted = excluded.overage_permitted, resets_at = excluded.resets_at
         WHERE (excluded.seen_us, excluded.seen_in) > (seen_us, seen_in)",
    )?;
    let written = statement.execute(params![
        user,
        quota.name,
        at.timestamp_micros(),
        id.as_bytes(),
        quota.entitlement,
        quota.percent_remaining,
        quota.overage,
        quota.overage_permitted,
        quota.resets_at,
    ]);
    written.map(drop)
}

/// The accounts seen in a range of days, by user and account.
pub(super) fn of_days(connection: &Connection, from: NaiveDate, to: NaiveDate) -> rusqlite::Result<Vec<AccountUse>> {
    let mut statement = connection.prepare_cached(ACCOUNTS)?;
    let mut rows = statement.query([from.to_string(), to.to_string()])?;
    let mut users: BTreeMap<String, Vec<Known>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        users.entry(row.get(4)?).or_default().push(read(row)?);
    }
    Ok(users.into_iter().flat_map(|(user, known)| uses(&user, known, from, to)).collect())
}

/// What is left of each user's allowances, by user and name.
pub(super) fn quotas(connection: &Connection) -> rusqlite::Result<Vec<(String, Quota)>> {
    let mut statement = connection.prepare_cached(QUOTAS)?;
    let quotas = statement.query_map([], |row| {
        let mut columns = Columns::of(row);
        let user = columns.next()?;
        let quota = Quota {
            name: columns.next()?,
            entitlement: columns.next()?,
            percent_remaining: columns.next()?,
            overage: columns.next()?,
            overage_permitted: columns.next()?,
            resets_at: columns.next()?,
        };
        Ok((user, quota))
    })?;
    quotas.collect()
}
