//! Usage events in a PostgreSQL database that several proxies share.
//!
//! A transaction reads and writes in batches, a round trip a table, and keeps out others that change what is known of the same
//! users (see `locks`). Any error ends its connection; the next call makes a new one.

mod acceptance;
mod accounts;
mod error;
mod examine;
mod facts;
mod forget;
mod json;
mod locks;
mod pool;
mod questions;
mod reach;
mod rollups;
mod row;
mod schema;
#[cfg(test)]
pub(in crate::store) mod tests;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use chrono::{DateTime, NaiveDate, Utc};
use postgres::Transaction;
use postgres::types::{ToSql, Type};

use self::error::Answer;
use self::pool::{Access, Pool};
use self::rollups::Rows;
use self::row::EventRow;
use super::disguise::Disguise;
use super::rollup::{self, DayOf};
use super::sums::Changes;
use super::{AccountUse, Inserted, LastEditor, Noticed, Result, StoreError, Taken, UsageStore};
use crate::config::PostgresUrl;
use crate::copilot::observation::{Notice, Quota};
use crate::exchange::ExchangeId;
use crate::usage::{
    Acceptance, Activity, Client as LastClient, DayUsage, IdDigest, OrganizationDay, OrganizationSums, Totals,
    UsageEvent, UserDay,
};

/// Events written at once where there are many.
const BATCH: usize = 1000;

/// A [`UsageStore`] in a PostgreSQL database.
pub struct PostgresStore {
    url: PostgresUrl,
    /// Id of the log folder whose events it writes; `None` in a store that is only read.
    origin: Option<String>,
    pool: Pool,
}

impl PostgresStore {
    /// A store for writing what the log folder `origin` has. The server is asked nothing until the first call, which makes
    /// the tables where they are missing.
    #[must_use]
    pub fn new(url: &PostgresUrl, origin: String) -> Self {
        Self { url: url.clone(), origin: Some(origin), pool: Pool::new(url, Access::Write) }
    }

    /// A store for reading alone.
    ///
    /// # Errors
    /// [`StoreError::NoTables`], [`StoreError::Older`], [`StoreError::Newer`], or what the server says.
    pub fn open_to_read(url: &PostgresUrl) -> Result<Self> {
        let store = Self { url: url.clone(), origin: None, pool: Pool::new(url, Access::Read) };
        store.pool.with(|_| Ok(()))?;
        Ok(store)
    }

    /// See [`SqliteStore::put_days`](super::SqliteStore::put_days).
    ///
    /// # Errors
    /// See [`StoreError`].
    #[cfg(feature = "sim")]
    pub fn put_days(&self, days: BTreeMap<DayOf, UserDay>) -> Result<()> {
        self.write(|transaction, _| Rows::new(transaction).put(days))
    }

    /// Asks of roll-ups, in one snapshot.
    fn ask_rows<T>(&self, question: impl FnOnce(&mut Rows<'_, '_>) -> Answer<T>) -> Result<T> {
        self.pool.with(|client| question(&mut Rows::new(&mut questions::snapshot(client)?)))
    }

    /// Runs `change` in a transaction, which an error undoes. It gets the number of our origin.
    fn write<T>(&self, change: impl FnOnce(&mut Transaction<'_>, i32) -> Answer<T>) -> Result<T> {
        let Some(origin) = &self.origin else {
            return Err(StoreError::Failed {
                store: self.url.to_string().into(),
                source: "it is not open for writing".into(),
            });
        };
        self.pool.with(|client| {
            let mut transaction = client.transaction()?;
            let origin = number_of(&mut transaction, origin)?;
            let result = change(&mut transaction, origin)?;
            transaction.commit()?;
            Ok(result)
        })
    }
}

/// The number of an origin, which it gets the first time.
fn number_of(transaction: &mut Transaction<'_>, origin: &str) -> Answer<i32> {
    let asked: [(&(dyn ToSql + Sync), Type); 1] = [(&origin, Type::TEXT)];
    if let Some(row) = transaction.query_typed_opt("SELECT id FROM origin WHERE name = $1", &asked)? {
        return Ok(row.try_get(0)?);
    }
    let insert =
        "INSERT INTO origin (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING id";
    Ok(transaction.query_typed_one(insert, &asked)?.try_get(0)?)
}

fn users(events: &[UsageEvent]) -> impl Iterator<Item = &str> {
    events.iter().map(|event| &*event.user)
}

/// Stores those that are not there yet; says for each whether it was not.
fn insert(transaction: &mut Transaction<'_>, origin: i32, events: &[UsageEvent]) -> Answer<Inserted> {
    const INSERT: &str = "
        INSERT INTO usage_event SELECT * FROM json_populate_recordset(NULL::usage_event, $1::json)
        ON CONFLICT (id) DO NOTHING RETURNING id";
    let rows: Vec<_> = events.iter().map(|event| EventRow::of(event, origin)).collect();
    let mut stored = BTreeSet::new();
    for row in json::query(transaction, INSERT, &rows)? {
        stored.insert(row::Columns::of(&row).digest()?);
    }
    // Of several with the same id the first one was.
    let new: Vec<bool> = events.iter().map(|event| stored.remove(event.id.as_bytes())).collect();
    let fresh = || events.iter().zip(&new).filter(|(_, new)| **new).map(|(event, _)| event);
    let mut told = accounts::Told::default();
    fresh().for_each(|event| told.take_event(event));
    told.write(transaction)?;
    let mut changes = Changes::default();
    fresh().for_each(|event| changes.events_changed(&event.user, event.day()));
    facts::rebook(transaction, &mut changes, fresh())?;
    Ok(Inserted { rebooked: acceptance::apply(transaction, changes)?, new })
}

/// Stores events in the place of those with the same id.
fn put(transaction: &mut Transaction<'_>, origin: i32, events: &[UsageEvent]) -> Answer<()> {
    // Of several with the same id the last one stays.
    let last: BTreeMap<_, _> = events.iter().map(|event| (event.id, event)).collect();
    let mut changes = Changes::default();
    events.iter().for_each(|event| changes.events_changed(&event.user, event.day()));
    for (day, user) in booked(transaction, last.keys())? {
        changes.events_changed(&user, day);
    }
    let rows: Vec<_> = last.values().map(|event| EventRow::of(event, origin)).collect();
    row::EVENTS.put(transaction, &rows, "")?;
    let mut told = accounts::Told::default();
    events.iter().for_each(|event| told.take_event(event));
    told.write(transaction)?;
    facts::rebook(transaction, &mut changes, events.iter())?;
    acceptance::apply(transaction, changes).map(drop)
}

/// The days and users that events with these ids are booked on, where they are stored.
fn booked<'a>(transaction: &mut Transaction<'_>, ids: impl Iterator<Item = &'a ExchangeId>) -> Answer<Vec<DayOf>> {
    let ids: Vec<&[u8]> = ids.map(|id| id.as_bytes().as_slice()).collect();
    let sql = "SELECT DISTINCT day, user_name FROM usage_event WHERE id = ANY($1)";
    let rows = transaction.query_typed(sql, &[(&ids, Type::BYTEA_ARRAY)])?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Which of the events are stored under their id with another class, or not at all.
fn are_of_another_class(transaction: &mut Transaction<'_>, events: &[UsageEvent]) -> Answer<Vec<bool>> {
    let ids: Vec<&[u8]> = events.iter().map(|event| event.id.as_bytes().as_slice()).collect();
    let found = transaction
        .query_typed("SELECT id, class FROM usage_event WHERE id = ANY($1)", &[(&ids, Type::BYTEA_ARRAY)])?;
    let mut classes = BTreeMap::new();
    for row in &found {
        let mut columns = row::Columns::of(row);
        classes.insert(columns.digest()?, columns.next::<&str>()?);
    }
    Ok(events.iter().map(|event| classes.get(event.id.as_bytes()) != Some(&event.class.as_str())).collect())
}

fn take_notice(transaction: &mut Transaction<'_>, notices: &[Noticed]) -> Answer<Taken> {
    let (mut changes, mut accounts, mut told) = (Changes::default(), accounts::Told::default(), Vec::new());
    for Noticed { id, user, at, notice } in notices {
        let day = at.date_naive();
        match notice {
            Notice::Account(account) => accounts.take(user, *at, *id, account),
            Notice::CliTelemetry(observations) => told.extend(observations.iter().map(|one| (&**user, day, one))),
            Notice::Telemetry(observations) => {
                changes.telemetry_came(user, day);
                told.extend(observations.iter().map(|one| (&**user, day, one)));
            }
        }
    }
    accounts.write(transaction)?;
    facts::take(transaction, &mut changes, &told)?;
    let gains = changes.take_gains();
    Ok(Taken { days: acceptance::apply(transaction, changes)?, gains })
}

fn replace_all(
    transaction: &mut Transaction<'_>,
    origin: i32,
    events: &mut dyn Iterator<Item = UsageEvent>,
) -> Answer<()> {
    transaction.batch_execute("SET LOCAL statement_timeout = 0")?;
    locks::for_everybody(transaction)?;
    loop {
        let batch: Vec<_> = events.take(BATCH).collect();
        if batch.is_empty() {
            return Ok(());
        }
        put(transaction, origin, &batch)?;
    }
}

impl UsageStore for PostgresStore {
    fn insert(&self, events: &[UsageEvent]) -> Result<Inserted> {
        self.write(|transaction, origin| {
            locks::for_users(transaction, users(events))?;
            insert(transaction, origin, events)
        })
    }

    fn replace(&self, events: &[UsageEvent]) -> Result<Vec<bool>> {
        self.write(|transaction, origin| {
            locks::for_users(transaction, users(events))?;
            let changed = are_of_another_class(transaction, events)?;
            put(transaction, origin, events)?;
            Ok(changed)
        })
    }

    fn take_notice(&self, notices: &[Noticed]) -> Result<Taken> {
        self.write(|transaction, _| {
            locks::for_users(transaction, notices.iter().map(|noticed| &*noticed.user))?;
            take_notice(transaction, notices)
        })
    }

    fn was_shown(&self, user: &str, request_id: &str) -> Result<bool> {
        self.pool.with(|client| questions::was_shown(client, user, request_id))
    }

    fn were_shown(&self, requests: &BTreeSet<(String, IdDigest)>) -> Result<BTreeSet<(String, IdDigest)>> {
        self.pool.with(|client| facts::shown_of(client, requests))
    }

    fn had_turn(&self, user: &str, interaction_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool> {
        self.pool.with(|client| questions::had_turn(client, user, interaction_id, before))
    }

    fn last_editor(&self, user: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<Option<LastEditor>> {
        self.pool.with(|client| questions::last_editor(client, user, before))
    }

    fn acceptance(&self, day: NaiveDate) -> Result<BTreeMap<String, Acceptance>> {
        self.pool.with(|client| acceptance::of_day(client, day))
    }

    fn accounts(&self, from: NaiveDate, to: NaiveDate) -> Result<Vec<AccountUse>> {
        self.pool.with(|client| accounts::of_days(client, from, to))
    }

    fn quotas(&self) -> Result<Vec<(String, Quota)>> {
        self.pool.with(accounts::quotas)
    }

    fn knows(&self, events: &[UsageEvent]) -> Result<Vec<bool>> {
        self.pool.with(|client| questions::knows(client, events))
    }

    fn reopen(&self, _error: &StoreError) -> Result<()> {
        self.pool.close();
        self.pool.with(|_| Ok(()))
    }

    fn is_whole(&self) -> Result<bool> {
        let Some(origin) = &self.origin else { return Ok(false) };
        let asked = "SELECT EXISTS (SELECT 1 FROM origin WHERE name = $1 AND is_whole)";
        self.pool.with(|client| Ok(client.query_typed_one(asked, &[(origin, Type::TEXT)])?.try_get(0)?))
    }

    fn mark_whole(&self) -> Result<()> {
        self.write(|transaction, origin| {
            transaction.execute_typed("UPDATE origin SET is_whole = TRUE WHERE id = $1", &[(&origin, Type::INT4)])?;
            Ok(())
        })
    }

    fn was_answered(&self, user: &str, request_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool> {
        self.pool.with(|client| questions::was_answered(client, user, request_id, before))
    }

    fn day(&self, day: NaiveDate) -> Result<DayUsage> {
        self.pool.with(|client| questions::day(client, day))
    }

    fn days(&self) -> Result<Vec<NaiveDate>> {
        self.pool.with(questions::days)
    }

    fn events(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        user: Option<&str>,
        each: &mut dyn FnMut(UsageEvent) -> ControlFlow<()>,
    ) -> Result<()> {
        self.pool.with(|client| questions::events(client, from, to, user, each))
    }

    fn noise_counts(&self, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> Result<BTreeMap<String, u64>> {
        self.pool.with(|client| questions::noise_counts(client, from, to, user))
    }

    fn replace_all(&self, events: &mut dyn Iterator<Item = UsageEvent>) -> Result<()> {
        self.write(|transaction, origin| replace_all(transaction, origin, events))
    }

    fn refresh(&self, limit: usize) -> Result<bool> {
        self.write(|transaction, _| {
            // Another proxy that is at it does it for us.
            let is_ours = locks::try_for_rollups(transaction)?;
            if is_ours { Rows::new(transaction).refresh(limit) } else { Ok(false) }
        })
    }

    fn user_days(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        users: Option<&BTreeSet<String>>,
        each: &mut dyn FnMut(NaiveDate, &str, UserDay) -> ControlFlow<()>,
    ) -> Result<()> {
        self.pool.with(|client| {
            let mut snapshot = questions::patient_snapshot(client)?;
            rollup::user_days(&mut Rows::new(&mut snapshot), from, to, users, each)
        })
    }

    fn organization_days(&self, from: NaiveDate, to: NaiveDate) -> Result<BTreeMap<NaiveDate, OrganizationDay>> {
        self.ask_rows(|rows| rollup::organization_days(rows, from, to))
    }

    fn organization_sums(&self, from: NaiveDate, to: NaiveDate) -> Result<BTreeMap<NaiveDate, OrganizationSums>> {
        self.ask_rows(|rows| rollup::organization_sums(rows, from, to))
    }

    fn totals(&self, from: NaiveDate, to: NaiveDate) -> Result<BTreeMap<String, Totals>> {
        self.ask_rows(|rows| rollup::totals(rows, from, to))
    }

    fn activity(&self, to: NaiveDate) -> Result<Vec<Activity>> {
        self.ask_rows(|rows| rollup::activity(rows, to))
    }

    fn last_seen(&self) -> Result<BTreeMap<String, LastClient>> {
        self.ask_rows(|rows| rollup::last_seen(rows))
    }

    fn forget(&self, user: &str, pseudonym: &str) -> Result<BTreeSet<NaiveDate>> {
        self.write(|transaction, _| {
            let disguise = Disguise::new().map_err(|error| error.to_string())?;
            forget::forget(transaction, [user, pseudonym], &disguise)
        })
    }

    fn is_shared(&self) -> bool {
        true
    }
}
