//! Usage events in one SQLite file: nothing to install, and other commands read it beside `run`.

mod acceptance;
mod accounts;
mod error;
mod facts;
mod forget;
mod open;
mod questions;
mod readers;
mod rollups;
mod row;
#[cfg(test)]
pub(in crate::store) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use self::error::Context;
use self::readers::Readers;
use self::rollups::Rows;
use super::disguise::Disguise;
use super::sums::Changes;
use super::{AccountUse, Inserted, LastEditor, Noticed, Result, StoreError, Taken, UsageStore, rollup};
use crate::copilot::observation::{Notice, Quota};
use crate::exchange::ExchangeId;
use crate::identity::secret_file::FileId;
use crate::usage::{
    Acceptance, Activity, Client, DayUsage, OrganizationDay, OrganizationSums, Totals, UsageEvent, UserDay,
};

/// The file's name in the log folder.
pub const FILE_NAME: &str = "usage.sqlite3";

/// A [`UsageStore`] in an SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    /// `None` in a store that is only read, and from a failed opening to the next one.
    writer: Mutex<Option<Writer>>,
    readers: Readers,
}

/// The one connection that writes.
struct Writer {
    connection: Connection,
    /// What it has open: the database and its WAL.
    files: [(PathBuf, Option<FileId>); 2],
}

impl Writer {
    fn open(path: &Path) -> Result<Self> {
        let connection = open::writer(path)?;
        let files = [path.to_owned(), with_suffix(path, "-wal")].map(|path| {
            let id = FileId::at(&path).ok();
            (path, id)
        });
        Ok(Self { connection, files })
    }

    /// In place of a damaged file, which is set aside.
    fn open_anew(path: &Path) -> Result<Self> {
        open::set_aside(path)?;
        Self::open(path)
    }

    /// True where a file was removed or replaced: what is written to it is lost.
    fn is_gone(&self) -> bool {
        self.files.iter().any(|(path, open)| open.is_some_and(|open| open.is_gone_from(path)))
    }
}

impl SqliteStore {
    /// Opens the file for reading and writing; makes it (mode 0600) and its folder where they are missing, and brings an
    /// older schema up to date. One process at a time should write: the log folder's lock sees to that.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Corrupt`], or what keeps the file from being opened.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::of(path, Some(Writer::open(path)?)))
    }

    /// As [`SqliteStore::open`], but a damaged file is set aside and a new one made, which is not whole.
    ///
    /// # Errors
    /// Those of [`SqliteStore::open`] and [`SqliteStore::open_anew`].
    pub fn open_or_renew(path: &Path) -> Result<Self> {
        match Self::open(path) {
            Err(StoreError::Corrupt { .. }) => Ok(Self::open_anew(path)?.0),
            opened => opened,
        }
    }

    /// Opens the file for reading beside the process that writes it. Writing to this store fails.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Older`], and those of [`SqliteStore::open`].
    pub fn open_to_read(path: &Path) -> Result<Self> {
        let store = Self::of(path, None);
        store.readers.with(|_| Ok(()))?;
        Ok(store)
    }

    /// Sets a damaged file aside, as `<name>.corrupt-<timestamp>` with its WAL beside it, and opens a new one. Gives the
    /// store and where the damaged file is. What no record tells, such as the noise counts, begins anew.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the files cannot be renamed, and those of [`SqliteStore::open`].
    pub fn open_anew(path: &Path) -> Result<(Self, PathBuf)> {
        let aside = open::set_aside(path)?;
        Ok((Self::open(path)?, aside))
    }

    /// Reads the whole file and checks that it is consistent. Takes a few seconds for a million events.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with what is wrong.
    pub fn check(&self) -> Result<()> {
        let verdict = self.readers.with(|connection| questions::quick_check(connection).at(&self.path))?;
        match verdict.as_str() {
            "ok" => Ok(()),
            _ => Err(StoreError::Corrupt { store: self.path.clone(), source: verdict.into() }),
        }
    }

    /// Stores days of users that no events tell of, for measurements of stores that are years old.
    ///
    /// # Errors
    /// See [`StoreError`].
    #[cfg(feature = "sim")]
    pub fn put_days(&self, days: BTreeMap<(NaiveDate, String), UserDay>) -> Result<()> {
        let keys = days.keys().cloned().collect();
        self.write(|transaction| rollup::put(&mut Rows(transaction), &keys, days))
    }

    fn of(path: &Path, writer: Option<Writer>) -> Self {
        Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Readers::new(path) }
    }

    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.readers.with(|connection| question(connection).at(&self.path))
    }

    /// Asks of roll-ups, in one snapshot.
    fn ask_rows<T>(&self, question: impl FnOnce(&mut Rows<'_>) -> rusqlite::Result<T>) -> Result<T> {
        self.ask(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            question(&mut Rows(&snapshot))
        })
    }

    /// Takes what was overwritten out of the WAL, too. Where a reader is in the way, the next checkpoint does.
    fn empty_wal(&self) {
        if let Some(writer) = self.lock().as_ref() {
            let emptied = writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            if let Err(error) = emptied {
                tracing::warn!(%error, "the usage store's WAL keeps what was forgotten until its next checkpoint");
            }
        }
    }

    /// Runs `change` in a transaction, which an error undoes.
    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let mut writer = self.lock();
        let Some(writer) = writer.as_mut() else {
            return Err(StoreError::Failed { store: self.path.clone(), source: "it is not open for writing".into() });
        };
        if writer.is_gone() {
            return Err(StoreError::Gone { store: self.path.clone() });
        }
        let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate).at(&self.path)?;
        let result = change(&transaction).at(&self.path)?;
        transaction.commit().at(&self.path)?;
        Ok(result)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

impl UsageStore for SqliteStore {
    fn insert(&self, events: &[UsageEvent]) -> Result<Inserted> {
        self.write(|transaction| {
            let mut changes = Changes::default();
            let new =
                events.iter().map(|event| insert(transaction, &mut changes, event)).collect::<rusqlite::Result<_>>()?;
            Ok(Inserted { new, rebooked: acceptance::apply(transaction, changes)? })
        })
    }

    fn replace(&self, events: &[UsageEvent]) -> Result<Vec<bool>> {
        self.write(|transaction| {
            let changed =
                events.iter().map(|event| is_of_another_class(transaction, event)).collect::<rusqlite::Result<_>>()?;
            put(transaction, &mut events.iter().cloned())?;
            Ok(changed)
        })
    }

    fn take_notice(&self, notices: &[Noticed]) -> Result<Taken> {
        self.write(|transaction| {
            let mut changes = Changes::default();
            for noticed in notices {
                take(transaction, &mut changes, noticed)?;
            }
            let gains = changes.take_gains();
            Ok(Taken { days: acceptance::apply(transaction, changes)?, gains })
        })
    }

    fn was_shown(&self, user: &str, request_id: &str) -> Result<bool> {
        self.ask(|connection| questions::was_shown(connection, user, request_id))
    }

    fn had_turn(&self, user: &str, interaction_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool> {
        self.ask(|connection| questions::had_turn(connection, user, interaction_id, before))
    }

    fn last_editor(&self, user: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<Option<LastEditor>> {
        self.ask(|connection| questions::last_editor(connection, user, before))
    }

    fn acceptance(&self, day: NaiveDate) -> Result<BTreeMap<String, Acceptance>> {
        self.ask(|connection| acceptance::of_day(connection, day))
    }

    fn accounts(&self, from: NaiveDate, to: NaiveDate) -> Result<Vec<AccountUse>> {
        self.ask(|connection| accounts::of_days(connection, from, to))
    }

    fn quotas(&self) -> Result<Vec<(String, Quota)>> {
        self.ask(accounts::quotas)
    }

    fn reopen(&self, error: &StoreError) -> Result<()> {
        let mut writer = self.lock();
        // Closed first: SQLite forgets a process's locks on a file when any of its connections to it is closed.
        *writer = None;
        self.readers.close();
        let opened = match error {
            StoreError::Corrupt { .. } => Writer::open_anew(&self.path),
            _ => match Writer::open(&self.path) {
                Err(StoreError::Corrupt { .. }) => Writer::open_anew(&self.path),
                opened => opened,
            },
        };
        *writer = Some(opened?);
        Ok(())
    }

    fn knows(&self, events: &[UsageEvent]) -> Result<Vec<bool>> {
        self.ask(|connection| {
            let mut known = connection.prepare_cached("SELECT 1 FROM usage_event WHERE id = ?1")?;
            events.iter().map(|event| known.exists([event.id.as_bytes()])).collect()
        })
    }

    fn is_whole(&self) -> Result<bool> {
        self.ask(questions::is_whole)
    }

    fn mark_whole(&self) -> Result<()> {
        self.write(|transaction| questions::mark_whole(transaction))
    }

    fn was_answered(&self, user: &str, request_id: &str, before: (DateTime<Utc>, ExchangeId)) -> Result<bool> {
        self.ask(|connection| questions::was_answered(connection, user, request_id, before))
    }

    fn day(&self, day: NaiveDate) -> Result<DayUsage> {
        self.ask(|connection| questions::day(connection, day))
    }

    fn days(&self) -> Result<Vec<NaiveDate>> {
        self.ask(questions::days)
    }

    fn events(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        user: Option<&str>,
        each: &mut dyn FnMut(UsageEvent) -> ControlFlow<()>,
    ) -> Result<()> {
        self.ask(|connection| questions::events(connection, from, to, user, each))
    }

    fn noise_counts(&self, from: NaiveDate, to: NaiveDate, user: Option<&str>) -> Result<BTreeMap<String, u64>> {
        self.ask(|connection| questions::noise_counts(connection, from, to, user))
    }

    fn replace_all(&self, events: &mut dyn Iterator<Item = UsageEvent>) -> Result<()> {
        self.write(|transaction| put(transaction, events))
    }

    fn refresh(&self, limit: usize) -> Result<bool> {
        self.write(|transaction| rollup::refresh(&mut Rows(transaction), limit))
    }

    fn user_days(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        users: Option<&BTreeSet<String>>,
        each: &mut dyn FnMut(NaiveDate, &str, UserDay) -> ControlFlow<()>,
    ) -> Result<()> {
        self.ask_rows(|rows| rollup::user_days(rows, from, to, users, each))
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

    fn last_seen(&self) -> Result<BTreeMap<String, Client>> {
        self.ask_rows(|rows| rollup::last_seen(rows))
    }

    fn forget(&self, user: &str, pseudonym: &str) -> Result<BTreeSet<NaiveDate>> {
        let disguise = Disguise::new()
            .map_err(|error| StoreError::Failed { store: self.path.clone(), source: error.to_string().into() })?;
        let days = self.write(|transaction| forget::forget(transaction, user, pseudonym, &disguise))?;
        self.empty_wal();
        Ok(days)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

/// Stores an event that is not there yet; says whether it was not.
fn insert(transaction: &Transaction<'_>, changes: &mut Changes, event: &UsageEvent) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(&format!(
        "INSERT INTO usage_event ({}) VALUES ({}) ON CONFLICT (id) DO NOTHING",
        row::COLUMNS,
        row::PLACES
    ))?;
    let is_new = row::execute(&mut statement, event)? == 1;
    if is_new {
        changes.events_changed(&event.user, event.day());
        accounts::take_event(transaction, event)?;
        facts::rebook(transaction, changes, event)?;
    }
    Ok(is_new)
}

/// Whether the event that is stored under the id is of another class, or there is none.
fn is_of_another_class(transaction: &Transaction<'_>, event: &UsageEvent) -> rusqlite::Result<bool> {
    let mut same = transaction.prepare_cached("SELECT 1 FROM usage_event WHERE id = ?1 AND class = ?2")?;
    Ok(!same.exists(params![event.id.as_bytes(), event.class.as_str()])?)
}

/// Stores events in the place of those with the same id.
fn put(transaction: &Transaction<'_>, events: &mut dyn Iterator<Item = UsageEvent>) -> rusqlite::Result<()> {
    let mut changes = Changes::default();
    let mut statement = transaction.prepare_cached(&format!(
        "INSERT OR REPLACE INTO usage_event ({}) VALUES ({})",
        row::COLUMNS,
        row::PLACES
    ))?;
    for event in events {
        if let Some((day, user)) = questions::booked(transaction, event.id)? {
            changes.events_changed(&user, day);
        }
        changes.events_changed(&event.user, event.day());
        row::execute(&mut statement, &event)?;
        accounts::take_event(transaction, &event)?;
        facts::rebook(transaction, &mut changes, &event)?;
    }
    acceptance::apply(transaction, changes).map(drop)
}

fn take(transaction: &Transaction<'_>, changes: &mut Changes, noticed: &Noticed) -> rusqlite::Result<()> {
    let (user, day) = (&*noticed.user, noticed.at.date_naive());
    let observations = match &noticed.notice {
        Notice::Telemetry(observations) => {
            changes.telemetry_came(user, day);
            observations
        }
        Notice::CliTelemetry(observations) => observations,
        Notice::Account(account) => return accounts::take(transaction, user, noticed.at, noticed.id, account),
    };
    observations.iter().try_for_each(|observation| facts::take(transaction, changes, user, day, observation))
}
